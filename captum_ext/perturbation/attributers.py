"""Attributers: what the outputs for perturbed samples say about each segment.

``attributer(outputs, samples)`` takes the model's outputs ``[N]`` (or of several outputs ``[...,
N]``) and the samples ``[N, S]`` (True or 1: the segment was kept), and gives one score for each
segment, ``[..., S]``. Some also need the output of the whole image, or of none of it: a sample that
keeps all segments, or no segment, must then be among the samples.

After Pihlgren and Främling, 2024 (arXiv 2409.04116). Contextual importance and utility have a file
of their own, :mod:`captum_ext.perturbation.ciu`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import check_choice, check_int
from captum_ext.perturbation.samplers import check_samples

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
            ``[..., S]``, of the dtype of ``outputs``.

        Raises:
            TypeError: not tensors, outputs that are not of a floating-point dtype.
            ValueError: shapes that do not fit, outputs that are not finite, or samples that say
                too little.
        """
        outputs, kept = check_outputs(outputs, samples, self.needs_kept, self.needs_removed)
        self.check(kept)
        return self._scores(outputs, kept)

    @abstractmethod
    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor: ...


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
        weights = kept.to(outputs.dtype)
        return outputs @ weights / weights.sum(0)


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
        ones = torch.ones(len(kept), 1, dtype=torch.bool, device=kept.device)
        return _least_squares(torch.cat([kept, ones], dim=1), outputs)[..., :-1]


@dataclass(frozen=True)
class KernelShapAttributer(Attributer):
    """KernelSHAP: Shapley values as the solution of a weighted linear fit.

        min_phi sum_n k(|Z_n|) (f_n - f_none - phi . Z_n)^2   with   sum_s phi_s = f_all - f_none
        k(z) = (S - 1) / (C(S, z) z (S - z))

    The constraint holds exactly (the published implementation gives it the weight 1e5).

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
        mixed = samples.any(1) & ~samples.all(1)
        needed = samples.shape[1] - 1
        if int(mixed.sum()) < needed:
            raise ValueError(
                f"n_samples must be at least {needed + 2} for KernelSHAP with {needed + 1} "
                f"segments ({needed} of them neither whole nor empty); got "
                f"{int(mixed.sum())} such samples"
            )

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        whole, empty = kept.all(1), ~kept.any(1)
        base = outputs[..., empty].mean(-1, keepdim=True)
        gain = outputs[..., whole].mean(-1, keepdim=True) - base
        mixed = ~(whole | empty)
        z = kept[mixed].double()
        # The last segment gets what the others leave of the gain.
        design = z[:, :-1] - z[:, -1:]
        rest = outputs[..., mixed].double() - base - gain * z[:, -1]
        weights = _shapley_kernel(z.sum(1), z.shape[1]).sqrt()
        others = _least_squares(design * weights[:, None], rest * weights).to(outputs.dtype)
        return torch.cat([others, gain - others.sum(-1, keepdim=True)], dim=-1)


@dataclass(frozen=True)
class PdaAttributer(Attributer):
    """Prediction difference: how the whole image's probability differs from that without a segment.

    The probability without segment ``s`` is the mean over the samples that perturb it; with
    ``weighted`` each counts by 1 / (number of segments that it perturbs).

        probability:  p - p_s
        information:  log2 p - log2 p_s
        evidence:     log2 (p / (1 - p)) - log2 (p_s / (1 - p_s))

    The last two take corrected probabilities, ``p <- (p N + 1) / (N + K)`` (Laplace).

    Args:
        mode: one of the three.
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
        check_choice(self.mode, "mode", ("probability", "information", "evidence"))
        check_int(self.n_classes, "n_classes", minimum=2)
        check_int(self.n_train, "n_train", minimum=1)

    def check(self, samples: Tensor) -> None:
        _check_every_segment(samples, "perturbed")

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        low, high = float(outputs.min()), float(outputs.max())
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise ValueError(
                "outputs must be probabilities in [0, 1] for PDA (let forward_func end in a "
                f"softmax); got values from {low:g} to {high:g}"
            )
        outputs = outputs.clamp(0, 1)
        removed = (~kept).to(outputs.dtype)
        if self.weighted:
            removed = removed / removed.sum(1, keepdim=True).clamp(min=1)
        without = outputs @ removed / removed.sum(0)
        whole = outputs[..., kept.all(1)].mean(-1, keepdim=True)
        return self._measure(whole) - self._measure(without)

    def _measure(self, p: Tensor) -> Tensor:
        if self.mode == "probability":
            return p
        # In double precision: 1 - p of a sure model is lost in float32.
        corrected = (p.double() * self.n_train + 1) / (self.n_train + self.n_classes)
        if self.mode == "evidence":
            corrected = corrected / (1 - corrected)
        return corrected.log2().to(p.dtype)


def check_outputs(
    outputs: Any, samples: Any, needs_kept: bool = False, needs_removed: bool = False
) -> tuple[Tensor, Tensor]:
    """Outputs ``[..., N]`` and samples ``[N, S]`` (as bool), known to fit each other.

    Raises:
        TypeError: not tensors, outputs that are not of a floating-point dtype.
        ValueError: shapes that do not fit, outputs that are not finite, or no sample that keeps
            all segments, or none, where one is needed.
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
    if not torch.isfinite(outputs).all():
        raise ValueError("outputs must be finite; got NaN or infinite values")
    if needs_kept and not kept.all(1).any():
        raise ValueError("samples must hold one that keeps all segments")
    if needs_removed and kept.any(1).all():
        raise ValueError("samples must hold one that keeps no segment")
    return outputs, kept.to(outputs.device)


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


def _least_squares(design: Tensor, values: Tensor) -> Tensor:
    """The smallest ``w [..., S]`` among those that minimize ``||design w - values||``."""
    # In double precision and on the CPU, the only place where torch can tell the rank.
    a = design.double().cpu()
    b = values.double().cpu().reshape(-1, len(a)).T
    solution = torch.linalg.lstsq(a, b, driver="gelsy")
    if int(solution.rank) < a.shape[1]:
        warnings.warn(
            f"the samples leave the fit open: {a.shape[1]} coefficients, rank "
            f"{int(solution.rank)}; the smallest coefficients are taken, more samples would help",
            stacklevel=4,
        )
    result: Any = solution.solution.T.reshape(*values.shape[:-1], a.shape[1])
    return result.to(values.device, values.dtype)


def _shapley_kernel(sizes: Tensor, n_segments: int) -> Tensor:
    """``k(z)`` up to a constant factor: binomials of many segments leave the range of floats."""
    total = torch.tensor(float(n_segments), dtype=torch.float64, device=sizes.device)
    log_binomial = (
        torch.lgamma(total + 1) - torch.lgamma(sizes + 1) - torch.lgamma(total - sizes + 1)
    )
    log_kernel = -log_binomial - (sizes * (total - sizes)).log()
    return (log_kernel - log_kernel.max()).exp()
