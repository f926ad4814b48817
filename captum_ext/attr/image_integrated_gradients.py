"""Image IG: integrated gradients, averaged over several upper bounds (after Sundararajan et al.).

Integrated gradients go the straight way from a baseline ``b`` to the input ``x``. Here the way
ends at ``K`` upper bounds ``a_k``, and the attribution is the mean over them:

    a_k  = k / K,   k = 1 ... K
    IG_k = (x - b) * integral from 0 to a_k of df(b + t (x - b))/dx dt

    attribution = mean over k of IG_k

The ways lie on each other. So one walk from ``b`` to ``x`` is enough: of its ``K`` equal segments,
segment ``s = 0 ... K - 1`` is part of ``K - s`` ways, and its gradients count ``(K - s) / K``.
``K = 1`` gives plain integrated gradients. The attributions sum to
``mean over k of f(b + a_k (x - b)) - f(b)``.

Paper: arXiv 1703.01365 (ICML 2017).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from captum.attr import GradientAttribution
from torch import Tensor

from captum_ext._captum import SUPPORTED_METHODS, approximation_parameters, log_usage
from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.baselines import image_mean, make_baselines
from captum_ext.budgets import Knob
from captum_ext.checks import (
    MOST_STEPS,
    as_tuple,
    check_baselines,
    check_choice,
    check_int,
    precise,
)
from captum_ext.forward import (
    Evaluator,
    Perturb,
    Rows,
    batch_size_or_default,
    in_standard_layout,
)
from captum_ext.passes import checking
from captum_ext.path import Points, column
from captum_ext.soundness.evidence import is_evidence_wanted, note
from captum_ext.soundness.identities import PATH_TOLERANCE, Completeness
from captum_ext.spec import MethodSpec, Need, Resolution
from captum_ext.targets import check_call


class ImageIntegratedGradients(AttributionMixin, GradientAttribution):
    """Integrated Gradients for images: the mean over ways that end at several upper bounds.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
        >>> images = torch.rand(2, 3, 6, 6)
        >>> attributions, delta = ImageIntegratedGradients(model).attribute(
        ...     images, "blur", target=1, num_alphas=5, return_convergence_delta=True
        ... )
        >>> attributions.shape, delta.shape
        (torch.Size([2, 3, 6, 6]), torch.Size([2]))
    """

    _multiply_by_inputs = True

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        num_alphas: int = 1,
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        show_progress: bool = False,
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: ``[B, ...]`` of a floating-point dtype, or a tuple of such tensors.
            baselines: where the way begins, in any of Captum's forms; None is zero. Or a name
                of :data:`captum_ext.baselines.BASELINES`, as ``"black"`` or ``"blur"``, for inputs
                ``[B, C, ...]`` in [0, 1] (noise is drawn with the seed 0).
            n_steps: gradients for each example, whatever ``num_alphas`` is. Where they do not
                divide evenly, the first segments get one more.
            method: the quadrature rule of each segment, one of Captum's five:
                ``"gausslegendre"``, or ``"riemann_left"``, ``"riemann_right"``,
                ``"riemann_middle"``, ``"riemann_trapezoid"``. The last one's weights sum to
                ``1 - 1 / n_steps`` of the way, as Captum's do.
            num_alphas: the number ``K`` of upper bounds.
            internal_batch_size: rows per call of the model; None chooses by device and size.
            return_convergence_delta: also give, for each example, by how much the sum of its
                attributions misses ``mean_k f(b + a_k (x - b)) - f(b)``, for another ``K + 1``
                forward passes.
            show_progress: a bar on stderr.

        Returns:
            Attributions like ``inputs``; then, if requested, the deltas ``[B]``.

        Raises:
            TypeError: inputs that are not of a floating-point dtype; an argument of a wrong type.
            ValueError: baselines of another shape or an unknown name; an argument out of its
                range; fewer steps than one for each upper bound, two by a Riemann rule; a
                gradient that is not finite.
        """
        tensors = check_call(inputs, target, additional_forward_args)
        if isinstance(baselines, str):
            baselines = make_baselines(baselines, tensors, generator=0)
        starts = check_baselines(baselines, tensors)
        num_alphas = check_int(num_alphas, "num_alphas", minimum=1, maximum=MOST_STEPS)
        alphas, weights = _quadrature(n_steps, method, num_alphas)
        evaluator = Evaluator(
            self.forward_func,
            target,
            additional_forward_args,
            batch_size=batch_size_or_default(internal_batch_size, tensors, self.forward_func),
            show_progress=show_progress,
            description="Image IG",
        )
        way = _flat(tensors) - _flat(starts)
        walk = _points(starts, tensors, alphas)
        flat = way * _weighted_gradients(evaluator, tensors, walk, weights)
        parts = flat.split([x[0].numel() for x in tensors], dim=1)
        attributions = tuple(
            in_standard_layout(part.reshape(x.shape).to(x.dtype))
            for part, x in zip(parts, tensors, strict=True)
        )
        result = attributions if isinstance(inputs, tuple) else attributions[0]
        if not return_convergence_delta and not is_evidence_wanted():
            return result
        bounds = [k / num_alphas for k in range(num_alphas + 1)]
        with nullcontext() if return_convergence_delta else checking():
            gain = _mean_gain(evaluator, tensors, _points(starts, tensors, bounds), len(bounds))
        note("completeness", (flat.sum(1), gain))
        if not return_convergence_delta:
            return result
        return result, (flat.sum(1) - gain).to(tensors[0].dtype)


def _quadrature(n_steps: int, method: str, num_alphas: int) -> tuple[list[float], list[float]]:
    """Where on the way, in [0, 1], the gradients are taken, and the weight of each."""
    check_choice(method, "method", SUPPORTED_METHODS)
    n_steps = check_int(n_steps, "n_steps", minimum=1, maximum=MOST_STEPS)
    # Captum's Riemann rules have no single point.
    least = 1 if method == "gausslegendre" else 2
    if n_steps < least * num_alphas:
        raise ValueError(
            f"n_steps must be at least {least * num_alphas} by {method}, {least} for each of "
            f"num_alphas={num_alphas} upper bounds; got {n_steps}"
        )
    # Captum's trapezoids leave out one part of the way in n. They would leave out more here, where
    # each segment has few.
    covered = 1 - 1 / n_steps if method == "riemann_trapezoid" else 1.0
    sizes_of, alphas_of = approximation_parameters(method)
    alphas: list[float] = []
    weights: list[float] = []
    for segment in range(num_alphas):
        n_points = n_steps // num_alphas + (segment < n_steps % num_alphas)
        sizes = sizes_of(n_points)
        scale = covered / sum(sizes) / num_alphas * (num_alphas - segment) / num_alphas
        alphas += [(segment + alpha) / num_alphas for alpha in alphas_of(n_points)]
        weights += [scale * size for size in sizes]
    return alphas, weights


def _points(baselines: Points, inputs: Points, alphas: list[float]) -> Perturb:
    """The points ``b + alpha (x - b)``, made when the evaluator asks for them."""
    parts = [torch.tensor(alphas, dtype=precise(x), device=x.device) for x in inputs]

    def points(examples: Tensor, samples: Tensor) -> Points:
        return tuple(
            torch.lerp(
                b[examples].to(part.dtype), x[examples].to(part.dtype), column(part[samples], x)
            ).to(x.dtype)
            for b, x, part in zip(baselines, inputs, parts, strict=True)
        )

    return points


def _weighted_gradients(
    evaluator: Evaluator, inputs: Points, points: Perturb, weights: list[float]
) -> Tensor:
    """The weighted sum of each example's gradients, ``[B, features]``."""

    def gradients(rows: Rows, examples: Tensor) -> Tensor:
        return _flat(evaluator.gradients(as_tuple(rows), examples))

    total = torch.zeros_like(_flat(inputs))
    weight = torch.tensor(weights, dtype=total.dtype, device=total.device)
    for examples, samples, chunk in evaluator.stream(inputs, points, len(weights), gradients):
        total.index_add_(0, examples, chunk * column(weight[samples], chunk))
    if not bool(torch.isfinite(total).all()):
        raise ValueError("forward_func has no finite gradient on a path")
    return total


def _mean_gain(evaluator: Evaluator, inputs: Points, points: Perturb, n_points: int) -> Tensor:
    """By how much the output at the other points exceeds that at the first one: ``[B]``."""
    scores = torch.stack(evaluator.each(inputs, points, [n_points] * len(inputs[0])))
    scores = scores.to(precise(scores))
    return scores[:, 1:].mean(1) - scores[:, 0]


def _flat(tensors: Points) -> Tensor:
    """All features of each row: ``[rows, features]``."""
    together = torch.cat([x.reshape(len(x), -1) for x in tensors], dim=1)
    return together.to(precise(together))


def _defaults(inputs: Points, resolution: Resolution, seed: int) -> dict[str, Any]:
    """Of photographs, the mean color: where black is the baseline, nothing black has a share."""
    if resolution == "pixel" or any(x.dim() != 4 or not x.is_floating_point() for x in inputs):
        return {}
    return {"baselines": tuple(image_mean(x) for x in inputs)}


SPEC = MethodSpec(
    "image_ig",
    "Image IG",
    "path",
    "Sundararajan et al., ICML 2017",
    ImageIntegratedGradients,
    frozenset({Need.GRADIENTS}),
    budget=Knob("n_steps", each=2),
    defaults=_defaults,
    promises=(Completeness(PATH_TOLERANCE, "take more n_steps", 0.005, noted=True),),
    promises_dummy=True,
)
