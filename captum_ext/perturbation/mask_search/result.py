"""The result of a mask search for one example."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from captum_ext.checks import check_choice
from captum_ext.perturbation.mask_search.archive import ASIDE
from captum_ext.perturbation.mask_search.effects import Effects, effects
from captum_ext.perturbation.mask_search.kept_example import KeptExample
from captum_ext.perturbation.mask_search.search import Trail

#: What can be attributed: see :meth:`MaskSearch.attribution`.
KINDS = ("effect", "mask", "frequency")


@dataclass(frozen=True, eq=False)
class MaskSearch:
    """The result of a search for one example.

    Attributes:
        important: True where the best mask keeps the input, or, for ``objective="delete"``, where
            it deletes it: ``[...]`` of bool, of the shape of an example, for each input. The best
            of those that the search tried: it does not begin from the whole example, which may
            score higher.
        unimportant: the mask of the lowest score, of all that the search tried and the complement
            of ``important``; likewise.
        score: of the whole example.
        important_score, unimportant_score: of what the masks show.
        best, mean: fitness in the population, of each generation ``[T]`` in float64, as it is
            compared: to the first five digits of float32. The first generation is drawn; the best
            never falls.
        evaluations: masks that the model had been shown up to each generation ``[T]``.
        level: the score is the same, whatever is kept: nothing is important.
    """

    important: tuple[Tensor, ...]
    unimportant: tuple[Tensor, ...]
    score: float
    important_score: float
    unimportant_score: float
    best: Tensor
    mean: Tensor
    evaluations: Tensor
    level: bool
    _example: KeptExample = field(repr=False)
    _trail: Trail = field(repr=False)
    _bounded: bool = field(repr=False)

    @property
    def important_impact(self) -> float:
        """Feature impact index of the important mask: how far its score is from the whole's."""
        return abs(self.score - self.important_score)

    @property
    def unimportant_impact(self) -> float:
        """Feature impact index of the unimportant mask."""
        return abs(self.score - self.unimportant_score)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The whole example, for each input ``[...]``."""
        return self._example.xs

    @property
    def important_only(self) -> tuple[Tensor, ...]:
        """For each input ``[...]`` what the important mask shows, the baseline elsewhere."""
        return self._shown(self.important)

    @property
    def unimportant_only(self) -> tuple[Tensor, ...]:
        """For each input ``[...]`` what the unimportant mask shows."""
        return self._shown(self.unimportant)

    @property
    def masks(self) -> Tensor:
        """All masks that the model was shown, ``[N, features]`` of bool, each once."""
        archive = self._trail.archive
        return archive.masks(list(range(len(archive))))

    @property
    def scores(self) -> Tensor:
        """The score of each mask, ``[N]`` in float64."""
        return self._trail.archive.scores

    @cached_property
    def effects(self) -> Effects:
        """What keeping each feature adds to the score, or to its log-odds, by all masks.

        See :func:`captum_ext.perturbation.mask_search.effects`.
        """
        return effects(self._trail.archive, bounded=self._bounded)

    def attribution(self, kind: str = "effect") -> tuple[Tensor, ...]:
        """A map for each input, of its shape, in float64.

        Args:
            kind: ``"effect"``: see :attr:`effects`; ``"mask"``, 1 where a feature is important,
                else 0; ``"frequency"``, which part of the fittest masks of all generations have
                it, from 0 to 1 (have it deleted, for ``objective="delete"``).

        Raises:
            ValueError: another kind.
        """
        check_choice(kind, "attribution", KINDS)
        trail = self._trail
        if self.level:
            values = torch.zeros(len(trail.live), dtype=torch.float64)
        elif kind == "effect":
            values = self.effects.values
        elif kind == "mask":
            values = trail.best.double()
        else:
            values = trail.elite / len(trail.best_fitness)
        return self._example.spread(values)

    def _shown(self, masks: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        sources = zip(masks, self._example.xs, self._example.baselines, strict=True)
        return tuple(torch.where(mask, x, baseline) for mask, x, baseline in sources)


def found(example: KeptExample, trail: Trail, *, bounded: bool) -> MaskSearch:
    """What the trail of a finished search comes to.

    Args:
        example: of which masks were shown.
        trail: of :func:`captum_ext.perturbation.mask_search.search_masks`.
        bounded: scores are probabilities.
    """
    archive = trail.archive
    rest = trail.live & ~trail.best
    whole, best, other = archive.places(torch.stack([trail.live, trail.best, rest])).tolist()
    scores = archive.scores
    # Nothing has been shown, too, but is no part of the example.
    tried = torch.tensor(archive.origins) != ASIDE
    tried[other] = True
    worst = best if trail.level else int(scores.where(tried, torch.inf).argmin())
    return MaskSearch(
        example.spread(trail.best),
        example.spread(archive.masks([worst])[0]),
        float(scores[whole]),
        float(scores[best]),
        float(scores[worst]),
        torch.tensor(trail.best_fitness, dtype=torch.float64),
        torch.tensor(trail.mean_fitness, dtype=torch.float64),
        torch.tensor(trail.evaluations),
        trail.level,
        example,
        trail,
        bounded,
    )
