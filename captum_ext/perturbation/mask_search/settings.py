"""Settings of a mask search: goal, strategy and stopping rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_ext.checks import MOST_STEPS, check_choice, check_int, check_number
from captum_ext.perturbation.mask_search.strategies import Genetic, HillClimbing, Strategy

OBJECTIVES = ("preserve", "delete", "both")
STRATEGIES = ("genetic", "hill_climbing")


@dataclass(frozen=True)
class SearchSettings:
    """How to search; see :meth:`captum_ext.attr.GeneticIPHA.attribute` for the arguments.

    Args:
        bounded: the score is a probability, of which 1 is the highest.

    Raises:
        TypeError, ValueError: an argument of a wrong type, or out of its range.
    """

    n_generations: int = 1000
    population_size: int = 50
    n_parents: int = 10
    crossover_probability: float = 0.7
    mutation_probability: float | None = None
    threshold: float | None = 0.99
    min_gain: float = 1e-3
    patience: int = 10
    objective: str = "preserve"
    sparsity: float = 0.0
    strategy: str = "genetic"
    bounded: bool = True

    def __post_init__(self) -> None:
        check_int(self.n_generations, "n_generations", minimum=1, maximum=MOST_STEPS)
        check_int(self.population_size, "population_size", minimum=2, maximum=MOST_STEPS)
        if (
            check_int(self.n_parents, "n_parents", minimum=1, maximum=MOST_STEPS)
            > self.population_size
        ):
            raise ValueError(
                f"n_parents must be at most population_size, {self.population_size}; "
                f"got {self.n_parents}"
            )
        check_number(self.crossover_probability, "crossover_probability", low=0, high=1)
        if self.mutation_probability is not None:
            check_number(self.mutation_probability, "mutation_probability", low=0, high=1)
        if self.threshold is not None:
            check_number(self.threshold, "threshold", high=1 if self.bounded else math.inf)
        check_number(self.min_gain, "min_gain", low=0)
        check_int(self.patience, "patience", minimum=1, maximum=MOST_STEPS)
        check_choice(self.objective, "objective", OBJECTIVES)
        check_number(self.sparsity, "sparsity", low=0)
        check_choice(self.strategy, "strategy", STRATEGIES)

    def strategy_for(self, n_genes: int) -> Strategy:
        """How masks of so many genes go on."""
        rate = 1 / n_genes if self.mutation_probability is None else self.mutation_probability
        if self.strategy == "hill_climbing":
            return HillClimbing(rate)
        return Genetic(self.n_parents, self.crossover_probability, rate)

    def shown(self, masks: Tensor, live: Tensor) -> Tensor:
        """What the model is shown for masks ``[n, G]``: ``[n, G]``, or twice as many.

        Example:
            >>> masks = torch.tensor([[True, False, False]])
            >>> live = torch.tensor([True, True, False])
            >>> SearchSettings(objective="both").shown(masks, live).int()
            tensor([[1, 0, 0],
                    [0, 1, 0]], dtype=torch.int32)
        """
        if self.objective == "preserve":
            return masks
        hidden = live & ~masks
        return hidden if self.objective == "delete" else torch.cat([masks, hidden])

    def fitness(self, masks: Tensor, scores: Tensor) -> Tensor:
        """Of masks ``[n, G]``, from the scores of what was shown for them."""
        if self.objective == "delete":
            scores = 1 - scores
        elif self.objective == "both":
            kept, hidden = scores.chunk(2)
            scores = (kept + 1 - hidden) / 2
        return scores - self.sparsity * masks.double().mean(1)

    def finished(self, best: Sequence[float], price: float) -> bool:
        """Whether to stop, by the best fitness of each generation.

        Args:
            best: up to now.
            price: what its sparsity costs the best mask.
        """
        if self.threshold is None:
            return False
        score = best[-1] + price
        if self.bounded and not self.sparsity and score >= 1:
            return True
        if len(best) <= self.patience or score < self.threshold:
            return False
        return best[-1] - best[-1 - self.patience] <= self.min_gain
