"""Contextual importance and utility (CIU) of segments.

    importance = (max - min) / (highest - lowest)     how far the segment moves the output
    utility    = (f(x) - min) / (max - min)           how good its present value is
    influence  = importance * (utility - expected utility)

``min`` and ``max`` are taken over the samples in which the segment (or the combination of segments)
or a part of it is perturbed and nothing else; ``lowest`` and ``highest`` over all samples.

Source: Främling, 1996 and 2020 (arXiv 2009.13996); Pihlgren and Främling, 2024 (arXiv 2409.04116).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from captum_ext.checks import check_choice, check_number
from captum_ext.perturbation.segments.attributers import Attributer, as_precise, check_outputs
from captum_ext.perturbation.segments.samplers import check_samples

#: Keeps quotients of outputs that do not differ finite, as the published implementation does.
EPSILON = 1e-12
VALUES = ("importance", "utility", "influence")
#: Combinations that are compared with all samples at a time.
CHUNK = 1024


class Ciu(NamedTuple):
    """All three, for each combination of segments.

    Attributes:
        importance, utility, influence: ``[..., X]``.
        combinations: ``[X, S]`` of bool, as samples: False for the segments that each is about.
    """

    importance: Tensor
    utility: Tensor
    influence: Tensor
    combinations: Tensor


class _CiuAttributer(Attributer):
    needs_kept = True

    value: str
    expected_utility: float

    def __post_init__(self) -> None:
        check_choice(self.value, "value", VALUES)
        check_number(self.expected_utility, "expected_utility")

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        scores: Tensor = getattr(self._ciu(outputs, kept), self.value)
        return scores

    def _ciu(self, outputs: Tensor, kept: Tensor) -> Ciu:
        raise NotImplementedError

    def _from_range(
        self, low: Tensor, high: Tensor, outputs: Tensor, kept: Tensor, combinations: Tensor
    ) -> Ciu:
        whole = _whole(outputs, kept)
        reach = high - low
        utility = (whole - low) / (reach + EPSILON)
        importance = reach / (_range(outputs) + EPSILON)
        influence = importance * (utility - self.expected_utility)
        return Ciu(importance, utility, influence, combinations)


@dataclass(frozen=True)
class OriginalCiuAttributer(_CiuAttributer):
    """CIU from samples that perturb one segment at a time, as the package py-ciu-image.

    Args:
        inverse: the samples keep one segment at a time, and each output ``f`` counts as ``1 - f``,
            except that of the whole image. This is what the published implementation does; its
            importance may lie far above 1.
        value: the score: ``"importance"``, ``"utility"`` or ``"influence"``.
        expected_utility: utility at which the influence is zero.

    Raises:
        ValueError: an unknown value; when called: samples with other numbers of segments, or a
            segment that no sample keeps or removes alone.

    Example:
        >>> samples = torch.tensor([[0, 1], [1, 0], [1, 1]])
        >>> OriginalCiuAttributer(value="importance")(torch.tensor([0.0, 0.5, 1.0]), samples)
        tensor([1.0000, 0.5000])
    """

    inverse: bool = False
    value: str = "influence"
    expected_utility: float = 0.5

    def explain(self, outputs: Tensor, samples: Tensor) -> Ciu:
        """Importance, utility and influence of each segment; arguments as when called."""
        precise, kept = check_outputs(outputs, samples, needs_kept=True)
        self.check(kept)
        self.check_outputs(precise)
        return _as_precise(self._ciu(precise, kept), outputs)

    def check(self, samples: Tensor) -> None:
        points = samples if self.inverse else ~samples
        count, n_segments = points.sum(1), samples.shape[1]
        what = "kept" if self.inverse else "perturbed"
        if ((count > 1) & (count < n_segments)).any():
            raise ValueError(f"samples must have all, none, or exactly one segment {what}")
        missing = int((~points[count == 1].any(0)).sum())
        if missing:
            raise ValueError(
                f"n_samples must be at least {n_segments}: each segment must be the only one "
                f"{what} in a sample; {missing} never are"
            )

    def _ciu(self, outputs: Tensor, kept: Tensor) -> Ciu:
        points = kept if self.inverse else ~kept
        members = (points & (points.sum(1, keepdim=True) == 1)).T
        whole = _whole(outputs, kept)
        low, high = _extremes(1 - outputs if self.inverse else outputs, members)
        low, high = torch.minimum(low, whole), torch.maximum(high, whole)
        return self._from_range(low, high, outputs, kept, _all_but_one(kept))


@dataclass(frozen=True)
class CiuAttributer(_CiuAttributer):
    """CIU from any samples, of single segments or of combinations.

    Args:
        value: the score: ``"importance"``, ``"utility"`` or ``"influence"``.
        expected_utility: utility at which the influence is zero.

    Raises:
        ValueError: an unknown value; when called: a segment that is perturbed in no sample by
            itself.

    Example:
        >>> samples = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> outputs = torch.tensor([0.0, 0.0, 0.5, 1.0])
        >>> CiuAttributer("importance")(outputs, samples)
        tensor([1.0000, 0.5000])
        >>> CiuAttributer().explain(outputs, samples).combinations.int().tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """

    value: str = "influence"
    expected_utility: float = 0.5

    def check(self, samples: Tensor) -> None:
        alone = (~samples)[(~samples).sum(1) == 1].any(0)
        if not alone.all():
            raise ValueError(
                "n_samples is too small: CIU needs, for each of the "
                f"{samples.shape[1]} segments, a sample that perturbs it alone (as "
                f"SingleFeatureSampler gives); {int((~alone).sum())} segments have none"
            )

    def explain(self, outputs: Tensor, samples: Tensor, combinations: Tensor | None = None) -> Ciu:
        """Importance, utility and influence of combinations of segments.

        Args:
            outputs: ``[..., N]``.
            samples: ``[N, S]``.
            combinations: ``[X, S]``, as samples: 0 or False for the segments that belong to a
                combination; None takes each distinct row of ``samples``, sorted.

        Raises:
            ValueError: shapes that do not fit.
        """
        precise, kept = check_outputs(outputs, samples, needs_kept=True)
        self.check_outputs(precise)
        if combinations is None:
            chosen = kept.unique(dim=0)
        else:
            chosen = check_samples(combinations, kept.shape[1]).cpu()
        return _as_precise(self._of(precise, kept, chosen), outputs)

    def _ciu(self, outputs: Tensor, kept: Tensor) -> Ciu:
        return self._of(outputs, kept, _all_but_one(kept))

    def _of(self, outputs: Tensor, kept: Tensor, combinations: Tensor) -> Ciu:
        removed = (~kept).to(torch.float32)
        extremes = []
        for chunk in combinations.split(CHUNK):
            # A sample counts where it perturbs nothing outside of the combination.
            outside = chunk.to(removed) @ removed.T
            extremes.append(_extremes(outputs, outside == 0))
        low, high = (torch.cat(part, dim=-1) for part in zip(*extremes, strict=True))
        return self._from_range(low, high, outputs, kept, combinations)


def _as_precise(found: Ciu, outputs: Tensor) -> Ciu:
    importance, utility, influence = (as_precise(value, outputs) for value in found[:3])
    return Ciu(importance, utility, influence, found.combinations)


def _whole(outputs: Tensor, kept: Tensor) -> Tensor:
    """The output of the whole image, ``[..., 1]``."""
    return outputs[..., kept.all(1)][..., :1]


def _all_but_one(kept: Tensor) -> Tensor:
    return ~torch.eye(kept.shape[1], dtype=torch.bool)


def _range(outputs: Tensor) -> Tensor:
    return outputs.amax(-1, keepdim=True) - outputs.amin(-1, keepdim=True)


def _extremes(outputs: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest output ``[..., X]`` of the members ``[X, N]`` of each group."""
    each = outputs[..., None, :]
    return each.where(members, math.inf).amin(-1), each.where(members, -math.inf).amax(-1)
