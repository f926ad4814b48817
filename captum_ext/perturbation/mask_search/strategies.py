"""How a search goes from one generation of masks to the next.

All examples of a batch are handled at once, as tensors ``[B, P, G]``: P masks of G genes each. They
share what is drawn, so that none depends on its batch mates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

#: The worst that there is: of what must not be chosen.
NEVER = float("-inf")


@dataclass(frozen=True)
class Population:
    """Masks and how fit they are.

    Attributes:
        masks: ``[B, P, G]`` of bool.
        fitness: ``[B, P]`` in float64.
    """

    masks: Tensor
    fitness: Tensor

    def best(self, count: int) -> tuple[Tensor, Tensor]:
        """The fittest masks ``[B, count, G]`` and their fitness, the best one first.

        Of equals, the first ones.
        """
        order = self.fitness.argsort(dim=1, descending=True, stable=True)[:, :count]
        rows = order[..., None].expand(-1, -1, self.masks.shape[2])
        return self.masks.gather(1, rows), self.fitness.gather(1, order)


class Strategy(ABC):
    """How a search goes on."""

    @abstractmethod
    def propose(self, population: Population, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """New masks ``[B, P, G]``, and for each of them the mask that it comes from."""

    @abstractmethod
    def settle(self, population: Population, children: Population) -> Population:
        """The population that follows; a child of fitness :data:`NEVER` has no place in it."""


@dataclass(frozen=True)
class Genetic(Strategy):
    """A genetic algorithm.

    The fittest are parents, and the fitter of them have more children. A child begins like one of
    them and, where they cross over, goes on like another from a random gene on; then each gene
    flips by chance. Children replace the worst of the population, where they are fitter.

    Args:
        n_parents: how many of the fittest.
        crossover_probability: of a child with two parents.
        mutation_probability: of each gene to flip.

    Example:
        >>> population = Population(torch.eye(4).bool()[None], torch.arange(4.0)[None])
        >>> generator = torch.Generator().manual_seed(0)
        >>> children, origins = Genetic(2, 0.7, 0.0).propose(population, generator)
        >>> children[0, :, :2].any().item()
        False
    """

    n_parents: int
    crossover_probability: float
    mutation_probability: float

    def propose(self, population: Population, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        _, size, n_genes = population.masks.shape
        parents, _ = population.best(self.n_parents)
        # The least of two draws: the fittest parent has twice as many children as the middle one.
        one = torch.randint(self.n_parents, (2, size), generator=generator).amin(0)
        further = torch.randint(max(1, self.n_parents - 1), (size,), generator=generator)
        first, second = parents[:, one], parents[:, (one + 1 + further) % self.n_parents]
        cut = torch.randint(1, max(2, n_genes), (size,), generator=generator)
        crossed = torch.rand(size, generator=generator) < self.crossover_probability
        cut = torch.where(crossed, cut, n_genes)
        children = torch.where(torch.arange(n_genes) < cut[:, None], first, second)
        children = children ^ flips(size, n_genes, self.mutation_probability, generator)
        nearer = (children != first).sum(2) <= (children != second).sum(2)
        return children, torch.where(nearer[..., None], first, second)

    def settle(self, population: Population, children: Population) -> Population:
        masks = torch.cat([population.masks, children.masks], dim=1)
        fitness = torch.cat([population.fitness, children.fitness], dim=1)
        return Population(*Population(masks, fitness).best(population.fitness.shape[1]))


@dataclass(frozen=True)
class HillClimbing(Strategy):
    """Each mask climbs for itself: it flips some genes, and stays as it was, where that is no gain.

    Args:
        mutation_probability: of each gene to flip; at least one does.

    Example:
        >>> population = Population(torch.zeros(1, 2, 8).bool(), torch.zeros(1, 2))
        >>> children, _ = HillClimbing(0.0).propose(population, torch.Generator().manual_seed(0))
        >>> children.sum(2)
        tensor([[1, 1]])
    """

    mutation_probability: float

    def propose(self, population: Population, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        _, size, n_genes = population.masks.shape
        flipped = flips(size, n_genes, self.mutation_probability, generator)
        one = torch.randint(n_genes, (size,), generator=generator)
        none = ~flipped.any(1)
        flipped[none.nonzero()[:, 0], one[none]] = True
        return population.masks ^ flipped, population.masks

    def settle(self, population: Population, children: Population) -> Population:
        better = children.fitness > population.fitness
        return Population(
            torch.where(better[..., None], children.masks, population.masks),
            torch.where(better, children.fitness, population.fitness),
        )


def flips(size: int, n_genes: int, probability: float, generator: torch.Generator) -> Tensor:
    """Which genes flip ``[size, G]``, each with the same probability."""
    return torch.rand(size, n_genes, generator=generator) < probability
