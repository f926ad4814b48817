"""Genetic IPHA: the mask that decides the score, searched without gradients.

A binary mask ``m`` keeps features of the input ``x`` and shows a baseline ``C`` in place of the
others. A genetic algorithm looks for the mask of the highest score,

    max_m  f(m x + (1 - m) C) - sparsity mean(m),

which is the important part of the input; the mask of the lowest score is the unimportant part. On
the way the model is shown thousands of masks. What their scores say about each feature is a better
explanation than the best mask: many masks reach nearly the same score, and the best one keeps
many features by chance.

The search is the one that is published as IPHA for 32 x 32 images, a loop over pixels and masks;
here inputs of any shape are searched, all masks of all examples together.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, fields
from typing import Any

import torch
from captum.attr import PerturbationAttribution
from torch import Tensor
from tqdm.auto import tqdm

from captum_ext._captum import log_usage
from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.budgets import Budget, Call
from captum_ext.checks import check_baselines, check_choice
from captum_ext.forward import rows_per_call
from captum_ext.perturbation.feature_masks import grid_masks
from captum_ext.perturbation.mask_search import (
    KINDS,
    MaskSearch,
    SearchSettings,
    found,
    kept_examples,
    scores_of_masks,
    search_masks,
)
from captum_ext.perturbation.probabilities import Probabilities, ProbabilitiesLike
from captum_ext.perturbation.probability_evaluator import ProbabilityEvaluator
from captum_ext.randomness import GeneratorLike, seed_of
from captum_ext.spec import MethodSpec, Need, Resolution
from captum_ext.targets import check_call

#: The arguments that say how to search.
PLANNED = {field.name for field in fields(SearchSettings)} - {"bounded"}

#: The whole, nothing, and what the best mask does not keep.
EXTRA_PASSES = 3

Tensors = tuple[Tensor, ...]


class GeneticIPHA(AttributionMixin, PerturbationAttribution):
    """Searches the mask of the highest score by a genetic algorithm.

    The population begins at random. The ``n_parents`` fittest have as many children as the
    population is large, the fitter ones more: one-point crossover of two of them, then each feature
    flips by chance. Children replace the worst, where they are fitter. All masks of all examples go
    to the model together, and no mask is shown twice: a child that is known already gets another
    feature flipped, the one of which the least is known. All masks are kept until the end, at a bit
    for each feature.

    What is attributed by default is not the best mask, but the effect of each feature, estimated
    from all masks: on the photographs and CIFAR-10 images of ``benchmarks/README.md`` its SRG is
    above that of the mask and of the frequency at the same number of evaluations.

    The same seed gives the same masks, whatever the batch. In another batch a network may round
    differently: scores are compared to five digits in float32 (ten in float64), and where a tie
    lies at the edge of a digit, a search can still go another way.

    Example:
        >>> method = GeneticIPHA(lambda x: x[:, 0, 1:3, 1:3].mean((1, 2)))
        >>> image = torch.ones(1, 1, 4, 4)
        >>> effect = method.attribute(image, 0, n_generations=20, threshold=None)[0, 0]
        >>> (effect > 0.1).int()
        tensor([[0, 0, 0, 0],
                [0, 1, 1, 0],
                [0, 1, 1, 0],
                [0, 0, 0, 0]], dtype=torch.int32)
        >>> (search,) = method.search(image, 0, n_generations=20)
        >>> search.important_score, search.unimportant_score
        (1.0, 0.0)
    """

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_generations: int = 1000,
        population_size: int = 50,
        n_parents: int = 10,
        crossover_probability: float = 0.7,
        mutation_probability: float | None = None,
        threshold: float | None = 0.99,
        min_gain: float = 1e-3,
        patience: int = 10,
        objective: str = "preserve",
        sparsity: float = 0.0,
        attribution: str = "effect",
        probabilities: ProbabilitiesLike | None = "auto",
        perturbations_per_eval: int | None = None,
        generator: GeneratorLike = None,
        show_progress: bool = False,
        strategy: str = "genetic",
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: ``[B, ...]`` of a floating-point dtype, images or others, or a tuple of such
                tensors: one mask for the features of all.
            baselines: what is shown in place of a feature that is not kept, in any of Captum's
                forms; None is 0.
            feature_mask: whole numbers; values with the same number form one feature. None takes
                each pixel with its channels, or each value of inputs that are not images.
            n_generations: at most so many, after the first one, which is drawn.
            population_size: masks of an example at a time, and children of a generation.
            n_parents: the fittest masks, which have children.
            crossover_probability: of a child with two parents.
            mutation_probability: of each feature to flip in a child; None takes 1 / features.
            threshold: stop once this score is reached and ``patience`` generations have brought
                no more than ``min_gain``; and, where ``sparsity`` is 0, at a probability of 1. An
                early stop saves passes and makes effects less sure: None goes on, until all masks
                are tried or the score is seen to be constant. It is in units of the score, and
                wants another value for scores that are not probabilities.
            min_gain, patience: see ``threshold``.
            objective: ``"preserve"`` looks for what to keep for a high score, ``"delete"`` for
                what to delete for a low one (1 - score counts), ``"both"`` for the mean of the two,
                with two passes for each mask.
            sparsity: the price of keeping (or deleting) all features, in units of the score.
            attribution: ``"effect"``, ``"mask"`` or ``"frequency"``: see :meth:`MaskSearch
                <captum_ext.perturbation.mask_search.MaskSearch.attribution>`.
            probabilities: what the score is a target of: ``"softmax"`` of the outputs, ``"given"``,
                where they are probabilities, ``"independent"``, where these need not sum to one,
                ``"auto"``, whichever of the first two they look like (one number for each example
                is given), a function of them, or None for scores of any kind, as the model returns
                them.
            perturbations_per_eval: masks of each example that go into the model together; None
                chooses by device and size.
            generator: seed or torch.Generator of what is drawn.
            show_progress: a bar on stderr.
            strategy: ``"genetic"``, or ``"hill_climbing"``, where each mask of the population goes
                on by itself: some features flip, at least one, and it stays as it was where that
                is no gain.

        Returns:
            Attributions like ``inputs``. Effects are those on the score or on its log-odds, on
            whichever they add up better.

        Raises:
            TypeError: inputs or a mask of another type; an argument of a wrong type.
            ValueError: a mask or baselines of another shape; an argument out of its range; scores
                that are not finite; outputs that are no probabilities.

        Warns:
            UserWarning: examples whose score is the same whatever is kept, as where they equal
                their baseline: their attributions are 0.
        """
        check_choice(attribution, "attribution", KINDS)
        searches = self.search(
            inputs,
            baselines,
            target,
            additional_forward_args,
            feature_mask,
            probabilities,
            perturbations_per_eval,
            generator,
            show_progress,
            n_generations=n_generations,
            population_size=population_size,
            n_parents=n_parents,
            crossover_probability=crossover_probability,
            mutation_probability=mutation_probability,
            threshold=threshold,
            min_gain=min_gain,
            patience=patience,
            objective=objective,
            sparsity=sparsity,
            strategy=strategy,
        )
        maps = [search.attribution(attribution) for search in searches]
        tensors = inputs if isinstance(inputs, tuple) else (inputs,)
        results = tuple(
            torch.stack(each).to(x.dtype)
            for each, x in zip(zip(*maps, strict=True), tensors, strict=True)
        )
        return results if isinstance(inputs, tuple) else results[0]

    def search(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        probabilities: ProbabilitiesLike | None = "auto",
        perturbations_per_eval: int | None = None,
        generator: GeneratorLike = None,
        show_progress: bool = False,
        **settings: Any,
    ) -> tuple[MaskSearch, ...]:
        """What the search finds, for each example: the masks, their scores, the history.

        Args:
            inputs, baselines, ...: as of :meth:`attribute`, without ``attribution``.
            **settings: ``n_generations`` to ``strategy``, likewise.

        Returns:
            One for each example.

        Raises:
            TypeError, ValueError: as :meth:`attribute`.
        """
        tensors = check_call(inputs, target, additional_forward_args)
        for x in tensors:
            if x.dim() < 2:
                raise ValueError(f"inputs must be [B, ...]; got shape {tuple(x.shape)}")
        unknown = sorted(set(settings) - PLANNED)
        if unknown:
            raise TypeError(
                f"search has no setting {', '.join(unknown)}; use {', '.join(sorted(PLANNED))}"
            )
        bounded = probabilities is not None
        chosen = SearchSettings(**settings, bounded=bounded)
        evaluator = ProbabilityEvaluator(
            self.forward_func,
            target,
            additional_forward_args,
            batch_size=rows_per_call(perturbations_per_eval, len(tensors[0])),
        )
        if probabilities is not None:
            evaluator.probabilities = Probabilities(probabilities)
        examples = kept_examples(tensors, check_baselines(baselines, tensors), feature_mask)
        with tqdm(
            total=1 + chosen.n_generations,
            desc="Genetic IPHA",
            disable=not show_progress,
            file=sys.stderr,
        ) as bar:
            live = [example.live for example in examples]
            show = scores_of_masks(evaluator, tensors, examples)
            trails = search_masks(live, chosen, seed_of(generator), show, bar.update)
        results = tuple(
            found(example, trail, bounded=bounded)
            for example, trail in zip(examples, trails, strict=True)
        )
        same = [number for number, result in enumerate(results) if result.level]
        if same:
            warnings.warn(
                f"the score of examples {same} is the same whatever is kept (do they equal their "
                "baselines?): nothing is attributed to them",
                stacklevel=2,
            )
        return results


def _defaults(inputs: Tensors, resolution: Resolution, seed: int) -> dict[str, Any]:
    # Do not stop early: the effects need all generations.
    given: dict[str, Any] = {"n_generations": 60, "threshold": None}
    if resolution == "pixel" or any(x.dim() != 4 for x in inputs):
        return given
    return given | {"feature_mask": grid_masks(inputs)}


@dataclass(frozen=True)
class Generations(Budget):
    """The first population of masks, and one for each generation.

    Populations are smaller than usual where there is no room for two that are not.
    """

    def cost(self, call: Call) -> int:
        population = call.arguments.get("population_size", SearchSettings.population_size)
        masks = population * (1 + call.arguments["n_generations"])
        return EXTRA_PASSES + masks * self._each(call)

    def choose(self, passes: int, call: Call) -> dict[str, Any]:
        settings, usual = call.arguments, SearchSettings
        masks = max(4, (passes - EXTRA_PASSES) // self._each(call))
        population = settings.get("population_size", min(usual.population_size, masks // 2))
        generations = max(1, masks // population - 1)
        if "n_generations" in call.given:
            generations = settings["n_generations"]
        population = settings.get("population_size", max(2, masks // (1 + generations)))
        return {
            "n_generations": generations,
            "population_size": population,
            "n_parents": min(usual.n_parents, population),
        }

    def _each(self, call: Call) -> int:
        return 2 if call.arguments.get("objective") == "both" else 1


SPEC = MethodSpec(
    "genetic_ipha",
    "Genetic IPHA",
    "perturbation",
    "published as IPHA",
    GeneticIPHA,
    frozenset({Need.PROBABILITIES}),
    budget=Generations(),
    defaults=_defaults,
    stochastic=True,
)
