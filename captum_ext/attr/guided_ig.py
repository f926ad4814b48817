"""Guided IG: integrated gradients along gentle slopes (Kapishnikov et al., CVPR 2021).

From the baseline to the input, each step takes the same part of the L1 distance, but gives it to
the features with the smallest ``|df/dx|`` first. No feature may be more than ``max_dist`` ahead of
the straight line, or behind it:

    alpha_j = (j + 1) / n_steps,   x_min, x_max = baseline + (alpha_j -+ max_dist) (x - baseline)

    repeat, until ||x - x_{j+1}||_1 = (1 - alpha_j) ||x - baseline||_1:
        of the features below x_max, move the ``fraction`` with the smallest gradient towards it

    attribution = sum_j (x_{j+1} - x_j) df(x_j)/dx

PAIR saliency has the same algorithm for single NumPy arrays; its class raises on NumPy 2.

Paper: arXiv 2106.09788.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from captum.attr import GradientAttribution
from torch import Tensor

from captum_ext._captum import log_usage
from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.budgets import Knob
from captum_ext.checks import MOST_STEPS, check_baselines, check_int, check_number, precise
from captum_ext.forward import Evaluator, as_channels_last, batch_size_or_default
from captum_ext.path import PathView, Points, column, integrate
from captum_ext.soundness.identities import PATH_TOLERANCE, Completeness
from captum_ext.spec import MethodSpec, Need
from captum_ext.targets import check_call

#: L1 distances that differ by less, relative to the whole way, are the same (as PAIR has it).
CLOSE = 1e-9


class GuidedIG(AttributionMixin, GradientAttribution):
    """Guided Integrated Gradients: the path changes the features with small gradients first.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> GuidedIG(model).attribute(torch.rand(4, 3), target=1, n_steps=20).shape
        torch.Size([4, 3])
    """

    _multiply_by_inputs = True

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 200,
        fraction: float = 0.25,
        max_dist: float = 0.02,
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        return_path: bool = False,
        show_progress: bool = False,
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: ``[B, ...]`` of a floating-point dtype, or a tuple of such tensors, of which
                all features share one path.
            baselines: where the path begins, in any of Captum's forms; None is zero.
            n_steps: steps of the path.
            fraction: the part of all features, in [0, 1], that a step changes at a time (at least
                one, which is slow on images). 1 gives Integrated Gradients.
            max_dist: how far, in [0, 1], a feature may be off the straight line, as a part of its
                way. 0 gives Integrated Gradients, 1 lets the path go anywhere between
                baseline and input.
            internal_batch_size: paths that walk together; None chooses by device and size.
            return_convergence_delta: also give, for each example, by how much the sum of its
                attributions misses ``f(x) - f(baseline)``.
            return_path: also give all points.
            show_progress: a bar on stderr.

        Returns:
            Attributions like ``inputs``; then, if requested, the deltas ``[B]`` and the paths
            ``[B, 1, n_steps + 1, ...]`` (a tuple, where inputs is one).

        Raises:
            TypeError: inputs that are not of a floating-point dtype; an argument of a wrong type.
            ValueError: baselines of another shape; an argument out of its range; a gradient that
                is not finite.
        """
        tensors = check_call(inputs, target, additional_forward_args)
        evaluator = Evaluator(self.forward_func, target, additional_forward_args)
        result = integrate(
            GuidedPath(
                tensors,
                check_baselines(baselines, tensors),
                n_steps,
                fraction,
                max_dist,
                gradients=evaluator.gradients,
            ),
            tensors,
            1,
            n_steps,
            batch_size=batch_size_or_default(internal_batch_size, tensors, self.forward_func),
            evaluator=evaluator,
            deltas=return_convergence_delta,
            keep_points=return_path,
            show_progress=show_progress,
            description="Guided IG",
        )
        return result.as_returned(inputs)


class GuidedPath:
    """The path of Guided IG, for gradients of any source: a :class:`captum_ext.path.Path`.

    Args:
        inputs: for each input ``[B, ...]``.
        baselines: like ``inputs``.
        n_steps, fraction, max_dist: see :meth:`GuidedIG.attribute`.
        gradients: ``gradients(points, examples)`` of the explained output.
    """

    def __init__(
        self,
        inputs: Points,
        baselines: Points,
        n_steps: int,
        fraction: float,
        max_dist: float,
        gradients: Callable[[Points, Tensor], Points],
    ) -> None:
        self.n_steps = check_int(n_steps, "n_steps", minimum=1, maximum=MOST_STEPS)
        self.max_dist = check_number(max_dist, "max_dist", low=0, high=1)
        fraction = check_number(fraction, "fraction", low=0, high=1)
        self.gradients = gradients
        self.inputs = inputs
        self.baselines = baselines
        n_features = sum(x[0].numel() for x in inputs)
        self.n_at_a_time = math.floor(fraction * (n_features - 1)) + 1

    def start(self, paths: Tensor) -> Points:
        points = tuple(as_channels_last(x[paths]) for x in self.baselines)
        self.first = paths[0]
        origin = _flat(points)
        self.way = _flat(tuple(as_channels_last(x[paths]) for x in self.inputs)) - origin
        self.origin = origin
        # How far each feature has come, apart from where it began: in a point of low precision
        # a small step would be lost.
        self.offset = torch.zeros_like(origin)
        return points

    def look(self, points: Points, paths: Tensor) -> PathView:
        return PathView(self.gradients(points, paths))

    def move(self, points: Points, view: PathView, paths: Tensor, step: int) -> Points:
        rows = paths - self.first
        way, offset = self.way[rows], self.offset[rows]
        alpha = (step + 1) / self.n_steps
        lowest = way * max(alpha - self.max_dist, 0.0)
        highest = way * min(alpha + self.max_dist, 1.0)
        behind = torch.where(way > 0, offset < lowest, offset > lowest)
        offset = torch.where(behind, lowest, offset)
        whole = _l1(way)
        excess = _l1(way - offset) - whole * (1 - alpha)
        offset = self._approach(offset, highest, _flat(view.gradients).abs(), excess, whole)
        self.offset[rows] = offset
        if step == self.n_steps - 1:
            return tuple(as_channels_last(x[paths]) for x in self.inputs)
        return _unflat(self.origin[rows] + offset, points)

    def finished(self, still: Tensor, paths: Tensor) -> Tensor:
        # Another may have made a step that is lost in the precision of its points.
        return still & ~self.way[paths - self.first].any(1)

    def _approach(
        self, offset: Tensor, highest: Tensor, slope: Tensor, excess: Tensor, whole: Tensor
    ) -> Tensor:
        """Moves ``offset [rows, features]`` by the L1 distance ``excess [rows]`` to ``highest``.

        The features with the least ``slope`` go first, some at a time.
        """
        close = max(CLOSE, 4 * torch.finfo(offset.dtype).eps) * whole
        slope = slope.masked_fill(offset == highest, math.inf)
        while True:
            threshold = column(slope.kthvalue(self.n_at_a_time, dim=1).values, slope)
            chosen = (slope <= threshold) & (slope < math.inf) & column(excess > close, slope)
            room = (highest - offset) * chosen
            most = _l1(room)
            # The part of the room that is wanted. More than all of it: others must move as well.
            part = torch.where(most > 0, excess / most, math.inf)
            partly = offset + room * column(part.clamp(max=1), room)
            offset = torch.where(chosen & column(part >= 1, room), highest, partly)
            excess = excess - most
            slope = slope.masked_fill(chosen, math.inf)
            if not bool(((excess > close) & chosen.any(1)).any()):
                return offset


def _flat(tensors: Points) -> Tensor:
    """All features of each row: ``[rows, features]``, 4-d tensors with the channels last."""
    flat = [(x.movedim(1, -1) if x.dim() == 4 else x).reshape(len(x), -1) for x in tensors]
    together = flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)
    return together.to(precise(together))


def _unflat(flat: Tensor, like: Points) -> Points:
    parts = flat.split([x[0].numel() for x in like], dim=1)
    return tuple(
        part.reshape(x.movedim(1, -1).shape).movedim(-1, 1).to(x.dtype)
        if x.dim() == 4
        else part.reshape(x.shape).to(x.dtype)
        for part, x in zip(parts, like, strict=True)
    )


def _l1(differences: Tensor) -> Tensor:
    return differences.abs().sum(1)


SPEC = MethodSpec(
    "guided_ig",
    "Guided IG",
    "path",
    "Kapishnikov et al., CVPR 2021",
    GuidedIG,
    frozenset({Need.GRADIENTS}),
    budget=Knob("n_steps", each=2),
    promises=(Completeness(PATH_TOLERANCE, "take more n_steps", 0.02, noted=True),),
    promises_dummy=True,
)
