"""One example whose features are replaced by draws from marginals, one feature at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from captum_ext.forward.shortcut.lazy_rows import Example, PatchedRows
from captum_ext.perturbation.marginals import Marginal
from captum_ext.perturbation.probability_evaluator import ProbabilityEvaluator
from captum_ext.perturbation.regions import Features
from captum_ext.perturbation.rows import perturb_each
from captum_ext.randomness import example_generator

#: Sets the streams of features apart.
STREAMS = 1_000_003


class ReplacedExample:
    """The versions of one example: those of the first feature first, then those of the second ...

    Args:
        xs: for each input ``[...]``.
        features: of the example.
        marginals: of each input.
        n_samples: draws for each feature, where its marginal does not enumerate.
        seed: of the draws. Each feature has its own stream, the same in every example.

    Attributes:
        counts: versions with another value of each feature.

    Raises:
        ValueError: a marginal that does not fit.
    """

    def __init__(
        self,
        xs: Sequence[Tensor],
        features: Features,
        marginals: Sequence[Marginal],
        n_samples: int,
        seed: int,
    ) -> None:
        self.features = features
        self.marginals = marginals
        self.n_samples = n_samples
        self.seed = seed
        self.examples = tuple(Example(x) for x in xs)
        sizes = [regions.sizes for regions in features.regions]
        for x, regions, marginal in zip(xs, features.regions, marginals, strict=True):
            marginal.check(x, regions)
        self.counts = [
            marginals[places[0][0]].count(sizes[places[0][0]][places[0][1]], n_samples)
            if len(places) == 1
            else n_samples
            for places in features.places
        ]
        self._ends = list(accumulate(self.counts))
        self._unchanged = tuple(
            (torch.empty(0, dtype=torch.long, device=x.device), x.new_empty(max(self.counts), 0))
            for x in xs
        )
        self._last: tuple[int, list[tuple[Tensor, Tensor]]] = (-1, [])

    @property
    def n_rows(self) -> int:
        """How many versions there are."""
        return self._ends[-1]

    def __call__(self, rows: Tensor) -> tuple[PatchedRows, ...]:
        """The versions ``rows [b]``, which follow one another."""
        start, stop = int(rows[0]), int(rows[0]) + len(rows)
        runs: list[list[tuple[Tensor, Tensor]]] = [[] for _ in self.examples]
        feature = bisect_right(self._ends, start)
        while start < stop:
            end = min(stop, self._ends[feature])
            first = start - (self._ends[feature] - self.counts[feature])
            for run, (positions, values) in zip(runs, self._patches(feature), strict=True):
                run.append((positions, values[first : first + end - start]))
            start, feature = end, feature + 1
        return tuple(
            PatchedRows(example, run) for example, run in zip(self.examples, runs, strict=True)
        )

    def _patches(self, feature: int) -> list[tuple[Tensor, Tensor]]:
        """For each input, the positions that the feature has there, and the values drawn."""
        # A batch may end within a feature.
        if self._last[0] != feature:
            self._last = (feature, self._drawn(feature))
        return self._last[1]

    def _drawn(self, feature: int) -> list[tuple[Tensor, Tensor]]:
        patches = list(self._unchanged)
        places = self.features.places[feature]
        generator = example_generator((self.seed * STREAMS + feature) % 2**63)
        for which, number in places:
            x, region = self.examples[which].x, self.features.regions[which][number]
            marginal = self.marginals[which]
            count = marginal.count(len(region), self.n_samples)
            values = marginal.draw(x, region, count, generator)
            if len(places) > 1:
                # Independent of what stands in the other inputs, also where it is enumerated.
                chosen = torch.randint(count, (self.n_samples,), generator=generator)
                values = values[chosen.to(values.device)]
            patches[which] = (region.positions, values)
        return patches


def mean_scores(
    evaluator: ProbabilityEvaluator,
    tensors: tuple[Tensor, ...],
    examples: Sequence[ReplacedExample],
) -> list[Tensor]:
    """For each example the mean score of the versions of each feature ``[F]``, on the CPU.

    Args:
        evaluator: of the model.
        tensors: for each input ``[B, ...]``.
        examples: of the batch.
    """
    counts = torch.tensor([count for example in examples for count in example.counts])
    ends = counts.cumsum(0)
    totals = torch.zeros(len(counts), dtype=torch.float64)
    done = 0
    n_rows = [example.n_rows for example in examples]
    perturb = perturb_each(examples)
    for _, _, scores in evaluator.stream(tensors, perturb, n_rows, evaluator.one_score_each):
        evaluator.check(scores)
        rows = torch.arange(done, done + len(scores))
        totals.index_add_(0, torch.searchsorted(ends, rows, right=True), scores.double().cpu())
        done += len(scores)
    return list((totals / counts).split([len(example.features) for example in examples]))
