"""Attributers: scores of segments from the outputs for perturbed samples.

``attributer(outputs, samples)`` takes the model's outputs ``[N]`` (or of several outputs ``[...,
N]``) and the samples ``[N, S]`` (True or 1: the segment was kept), and gives one score for each
segment, ``[..., S]``. Some also need the output of the whole image, or of none of it. Then the
samples must include one that keeps all segments, or none.

After Pihlgren and Främling, 2024 (arXiv 2409.04116). For contextual importance
and utility, see :mod:`captum_ext.perturbation.segments.ciu`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import check_choice, check_int, precise
from captum_ext.perturbation.probabilities import MODES, MOST_EXAMPLES, difference
from captum_ext.perturbation.segments.linear_fit import least_squares, shapley_kernel
from captum_ext.perturbation.segments.samplers import check_samples
from captum_ext.soundness.evidence import note

#: Samples that are weighed at a time.
CHUNK = 512
#: By how much a probability may leave [0, 1] by rounding.
ROUNDING = 1e-6


class Attributer(ABC):
    """Attributes outputs to segments.

    Attributes:
        needs_kept: needs a sample that keeps all segments.
        needs_removed: needs a sample that keeps none.
    """

    needs_kept: bool = False
    needs_removed: bool = False

    def check(self, samples: Tensor) -> None:  # noqa: B027 (most need no check)
        """Refuses samples ``[N, S]`` of bool that say too little, before the model runs.

        Raises:
            ValueError: too few samples, and how many are needed; a segment that is never kept or
                never perturbed, where that is needed.
        """

    def __call__(self, outputs: Tensor, samples: Tensor) -> Tensor:
        """The scores.

        Args:
            outputs: ``[..., N]``.
            samples: ``[N, S]``.

        Returns:
            ``[..., S]``, of the dtype of ``outputs``, or of float32, if that is more precise.

        Raises:
            TypeError: not tensors, outputs that are not of a floating-point dtype.
            ValueError: shapes that do not fit, outputs that are not finite, or samples that say
                too little.
        """
        precise, kept = check_outputs(outputs, samples, self.needs_kept, self.needs_removed)
        self.check(kept)
        self.check_outputs(precise)
        return as_precise(self._scores(precise, kept), outputs)

    def check_outputs(self, outputs: Tensor) -> None:
        """Refuses outputs that it can make nothing of, as soon as the model has given some.

        Raises:
            ValueError: they are not finite, or not what the class says.
        """
        if not torch.isfinite(outputs).all():
            raise ValueError("outputs must be finite; got NaN or infinite values")

    @abstractmethod
    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        """The scores, from outputs in float64 and samples on the CPU."""


@dataclass(frozen=True)
class RiseAttributer(Attributer):
    """RISE: the mean output of the samples that keep the segment.

        score_s = sum_n Z_ns f_n / sum_n Z_ns

    Source: Petsiuk et al., BMVC 2018 (arXiv 1806.07421), equation 6 with segments for pixels.

    Example:
        >>> samples = torch.tensor([[1, 0], [0, 1], [1, 1]])
        >>> RiseAttributer()(torch.tensor([1.0, 0.0, 1.0]), samples)
        tensor([1.0000, 0.5000])
    """

    def check(self, samples: Tensor) -> None:
        _check_every_segment(samples, "kept")

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        # Part by part: with a segment for each pixel, all samples as numbers take gigabytes.
        parts = zip(outputs.split(CHUNK, dim=-1), kept.split(CHUNK), strict=True)
        total = outputs.new_zeros(*outputs.shape[:-1], kept.shape[1])
        count = outputs.new_zeros(kept.shape[1])
        for part, own in parts:
            weights = own.to(outputs.dtype)
            total += part @ weights
            count += weights.sum(0)
        return total / count


@dataclass(frozen=True)
class LinearLimeAttributer(Attributer):
    """Linear LIME: the coefficients of a linear model that is fitted to the outputs.

        min_{w, b} sum_n (f_n - b - w . Z_n)^2

    Where the samples leave the fit open, the smallest coefficients are taken, with a warning.

    Source: Ribeiro et al., KDD 2016 (arXiv 1602.04938), without kernel and without selection.

    Example:
        >>> samples = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
        >>> outputs = 3 * samples[:, 0] - samples[:, 1] + 0.5
        >>> print(LinearLimeAttributer()(outputs, samples).round(decimals=4))
        tensor([ 3., -1.])
    """

    def check(self, samples: Tensor) -> None:
        _check_enough(samples, samples.shape[1] + 1, "a linear model")

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        ones = torch.ones(len(kept), 1, dtype=torch.bool)
        return least_squares(torch.cat([kept, ones], dim=1).double(), outputs)[..., :-1]


@dataclass(frozen=True)
class KernelShapAttributer(Attributer):
    """KernelSHAP: Shapley values as the solution of a weighted linear fit.

        min_phi sum_n k(|Z_n|) (f_n - f_none - phi . Z_n)^2   with   sum_s phi_s = f_all - f_none
        k(z) = (S - 1) / (C(S, z) z (S - z))

    The constraint holds exactly (the published implementation gives it the weight 1e5). Samples
    that keep about half of many segments weigh next to nothing: those of
    :class:`~captum_ext.perturbation.ShapSampler` tell more.

    Source: Lundberg and Lee, NeurIPS 2017 (arXiv 1705.07874), theorem 2.

    Example:
        >>> samples = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
        >>> product = samples.prod(1).double()
        >>> print(KernelShapAttributer()(product, samples).round(decimals=4))
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    needs_kept = True
    needs_removed = True

    def check(self, samples: Tensor) -> None:
        n_segments = samples.shape[1]
        mixed = int((samples.any(1) & ~samples.all(1)).sum())
        if mixed < n_segments - 1:
            raise ValueError(
                f"n_samples must be at least {n_segments + 1} for KernelSHAP with {n_segments} "
                f"segments: the whole, the empty, and {n_segments - 1} that keep some of them; got "
                f"{mixed} such"
            )

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        whole, empty = kept.all(1), ~kept.any(1)
        base = outputs[..., empty].mean(-1, keepdim=True)
        gain = outputs[..., whole].mean(-1, keepdim=True) - base
        mixed = ~(whole | empty)
        z = kept[mixed].double()
        # Each segment gets an equal part of the gain, and the fit says how it differs from that.
        # Rows of zero sum keep the sum of the differences at zero.
        share = gain / z.shape[1]
        design = z - z.mean(1, keepdim=True)
        rest = outputs[..., mixed] - base - share * z.sum(1)
        weights = shapley_kernel(z.sum(1), z.shape[1]).sqrt()
        n_free = z.shape[1] - 1
        scores = share + least_squares(design * weights[:, None], rest * weights, n_free)
        note("completeness", (scores.sum(-1).reshape(-1), gain.reshape(-1)))
        return scores


@dataclass(frozen=True)
class PdaAttributer(Attributer):
    """Prediction difference: how the whole image's probability differs from that without a segment.

    The probability without segment ``s`` is the mean over the samples that perturb it; with
    ``weighted`` each counts by 1 / (number of segments that it perturbs).

    Args:
        mode: how the two are compared, ``"probability"``, ``"information"`` or ``"evidence"``: see
            :func:`captum_ext.perturbation.probabilities.difference`.
        n_classes: K.
        n_train: N, the number of examples that the model was trained on.
        weighted: see above; the sample that perturbs nothing counts nothing (in the published
            version it makes all scores NaN).

    Raises:
        ValueError: an unknown mode, no training example, fewer than two classes; when called:
            outputs outside [0, 1].

    Source: Robnik-Šikonja and Kononenko, IEEE TKDE 2008; Zintgraf et al., ICLR 2017
    (arXiv 1702.04595).

    Example:
        >>> samples = torch.tensor([[1, 1], [0, 1], [1, 0]])
        >>> PdaAttributer("probability")(torch.tensor([0.75, 0.25, 0.75]), samples)
        tensor([0.5000, 0.0000])
    """

    mode: str = "evidence"
    n_classes: int = 1000
    n_train: int = 1281167
    weighted: bool = False

    needs_kept = True

    def __post_init__(self) -> None:
        check_choice(self.mode, "mode", MODES)
        check_int(self.n_classes, "n_classes", minimum=2, maximum=MOST_EXAMPLES)
        check_int(self.n_train, "n_train", minimum=1, maximum=MOST_EXAMPLES)

    def check(self, samples: Tensor) -> None:
        _check_every_segment(samples, "perturbed")

    def check_outputs(self, outputs: Tensor) -> None:
        super().check_outputs(outputs)
        low, high = float(outputs.min()), float(outputs.max())
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise ValueError(
                "outputs must be probabilities in [0, 1] for PDA (end forward_func in a "
                "softmax or sigmoid, or say outputs='softmax' or 'sigmoid' to explain()); got "
                f"values from {low:g} to {high:g}"
            )

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        outputs = outputs.clamp(0, 1)
        removed = (~kept).to(outputs.dtype)
        if self.weighted:
            removed = removed / removed.sum(1, keepdim=True).clamp(min=1)
        without = outputs @ removed / removed.sum(0)
        whole = outputs[..., kept.all(1)].mean(-1, keepdim=True)
        return difference(whole, without, self.mode, self.n_train, self.n_classes)


def check_outputs(
    outputs: Any, samples: Any, needs_kept: bool = False, needs_removed: bool = False
) -> tuple[Tensor, Tensor]:
    """Outputs ``[..., N]`` in float64 and samples ``[N, S]`` as bool, known to fit, on the CPU.

    Scores are sums of thousands of outputs, and differences of nearly equal ones: too much for the
    precision in which models compute. They are few numbers, so the CPU will do.

    Raises:
        TypeError: not tensors, outputs that are not of a floating-point dtype.
        ValueError: shapes that do not fit, or no sample that keeps all segments, or none, where one
            is needed.
    """
    kept = check_samples(samples)
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        kind = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
        raise TypeError(f"outputs must be a tensor of a floating-point dtype; got {kind}")
    if outputs.dim() == 0 or outputs.shape[-1] != len(kept):
        raise ValueError(
            f"outputs must be [..., {len(kept)}], one for each sample; got shape "
            f"{tuple(outputs.shape)}"
        )
    if needs_kept and not kept.all(1).any():
        raise ValueError("samples must hold one that keeps all segments")
    if needs_removed and kept.any(1).all():
        raise ValueError("samples must hold one that keeps no segment")
    return outputs.detach().cpu().double(), kept.cpu()


def as_precise(scores: Tensor, outputs: Tensor) -> Tensor:
    """Scores on the device and in the dtype of ``outputs``, or in float32, if that is better."""
    return scores.to(outputs.device, precise(outputs))


def _check_every_segment(samples: Tensor, what: str) -> None:
    seen = (samples if what == "kept" else ~samples).any(0)
    if not seen.all():
        missing = (~seen).nonzero().flatten().tolist()
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise ValueError(
            f"n_samples is too small: each of the {samples.shape[1]} segments must be {what} in at "
            f"least one sample; {shown} never is in {len(samples)}"
        )


def _check_enough(samples: Tensor, needed: int, what: str) -> None:
    if len(samples) < needed:
        raise ValueError(
            f"n_samples must be at least {needed} for {what} of {samples.shape[1]} segments; got "
            f"{len(samples)}"
        )
