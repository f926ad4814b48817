"""IG2: integrated gradients on an iterative gradient path (Zhuo and Ge, TPAMI 2024).

From the explained input ``x`` a path descends to where the model represents it as it represents a
reference ``x_r``, an example of another class. With the representation ``f~`` and step size eta:

    x_0     = x
    x_{j+1} = clip(x_j - eta g_j / ||g_j||),   g_j = d ||f~(x_j) - f~(x_r)||^2 / dx_j

    IG2     = mean over r of sum_j (x_j - x_{j+1}) df(x_j)/dx_j

What changes on the way to the other class, and matters for the output, gets attributed. The sum
of all attributions approaches ``f(x) - mean_r f(x_n)`` as the steps become small.

Paper: arXiv 2406.10852.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import GradientAttribution
from torch import Tensor, nn

from captum_ext import baselines as make
from captum_ext._captum import log_usage
from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.budgets import Call, Knob
from captum_ext.checks import (
    MOST_STEPS,
    check_choice,
    check_int,
    check_interval,
    check_number,
    check_references,
)
from captum_ext.forward import Evaluator, as_channels_last, batch_size_or_default
from captum_ext.forward.representation import Representation
from captum_ext.layers import gradients_of
from captum_ext.path import QUADRATURES, PathView, Points, column, integrate, norms
from captum_ext.soundness import observe
from captum_ext.soundness.identities import PATH_TOLERANCE, Completeness
from captum_ext.soundness.suitability import last_representation
from captum_ext.spec import MethodSpec, Need, Resolution
from captum_ext.targets import check_call

#: How far, relative to their norm, rounding may set two representations apart: so many times the
#: precision of their dtype, but no farther than the second number.
ROUNDING, MOST_ROUNDING = 16, 1e-4
#: References in the default set.
N_REFERENCES = 8


class IG2(AttributionMixin, GradientAttribution):
    """IG2: integrated gradients on a path that descends towards references of other classes.

    Args:
        forward_func: the model. A plain function needs a ``layer``.
        layer: the representation, a tensor ``[B, ...]``: a module that runs inside
            ``forward_func``, or a function that takes what ``forward_func`` takes. None takes the
            last linear or convolutional layer that runs.
        attribute_to_layer_input: represent by what goes into ``layer``, not by what comes out.
            None: the input of the default layer, the output of a given ``layer``.
        multiply_by_inputs: False gives the mean gradient on the paths in place of its product
            with the way taken.

    Raises:
        TypeError, ValueError: what is no model or layer; a plain function without a ``layer``.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> inputs, references = torch.rand(4, 3), torch.rand(5, 3)
        >>> attributions, delta = IG2(model).attribute(
        ...     inputs, references, target=1, return_convergence_delta=True
        ... )
        >>> attributions.shape, delta.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        layer: nn.Module | Callable[..., Tensor] | None = None,
        attribute_to_layer_input: bool | None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        super().__init__(forward_func)
        if layer is None and not isinstance(forward_func, nn.Module):
            wanted = "layer (or a function that represents) must be given"
            raise ValueError(f"{wanted} where forward_func is not a torch.nn.Module")
        if layer is not None and not callable(layer):
            raise TypeError(f"layer must be a module or a function; got {type(layer).__name__}")
        self.layer = layer
        self.attribute_to_layer_input = (
            layer is None if attribute_to_layer_input is None else attribute_to_layer_input
        )
        self._multiply_by_inputs = multiply_by_inputs

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        baselines: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 201,
        step_size: float | None = None,
        clip: tuple[float, float] | None = None,
        method: str = "riemann_left",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        return_path: bool = False,
        show_progress: bool = False,
        tolerance: float | None = None,
        patience: int = 10,
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: ``[B, ...]`` of a floating-point dtype, or a tuple of such tensors.
            baselines: the references. ``[R, ...]`` are shared by all examples; one set for each
                is ``[B, R, ...]``; ``[1, R, ...]`` is shared, too, and the form that Captum's
                ``NoiseTunnel`` can pass on. A tuple, where inputs is one.
            n_steps: steps of each path.
            step_size: length of a step: Euclidean, in units of the inputs, over all features (and
                inputs) of an example. None makes each path as long as the straight line to its
                reference. (The authors take 201 steps of 256 for photographs in 0 ... 255.)
            clip: smallest and largest value of the points that a path moves to. (Values of an
                input that lie outside are brought in by the first step.)
            method: the quadrature rule: ``"riemann_left"``, ``"riemann_right"`` or
                ``"riemann_trapezoid"``. The latter two take one more gradient per path.
            internal_batch_size: paths that walk together; None chooses by device and size.
            return_convergence_delta: also give, for each example, by how much the sum of its
                attributions misses ``f(x) - mean_r f(x_n)``.
            return_path: also give all points.
            show_progress: a bar on stderr.
            tolerance: stop a path whose distance to its reference (in the representation) has not
                fallen by this part of what it was at first, within ``patience`` steps. None lets
                each path go on until its gradient vanishes.
            patience: see ``tolerance``.

        Returns:
            Attributions like ``inputs``; then, if requested, the deltas ``[B]`` and the paths
            ``[B, R, n_steps + 1, ...]`` (a tuple, where inputs is one).

        Raises:
            TypeError: inputs that are not of a floating-point dtype; an argument of a wrong type.
            ValueError: no references, or of another shape; a layer that never runs; an argument
                out of its range; a path on which the gradient is not finite.
        """
        tensors = check_call(inputs, target, additional_forward_args)
        n_steps = check_int(n_steps, "n_steps", minimum=1, maximum=MOST_STEPS)
        check_choice(method, "method", QUADRATURES)
        if return_convergence_delta and not self._multiply_by_inputs:
            raise ValueError("return_convergence_delta must be False with multiply_by_inputs=False")
        references = check_references(baselines, tensors)
        batch_size = batch_size_or_default(internal_batch_size, tensors, self.forward_func)
        evaluator = Evaluator(self.forward_func, target, additional_forward_args)
        path = _ModelDescent(tensors, references, n_steps, step_size, clip, tolerance, patience)
        layer = self._layer(tensors, additional_forward_args)
        path.represent = Representation(evaluator, layer, self.attribute_to_layer_input)
        result = integrate(
            path,
            tensors,
            path.n_references,
            n_steps,
            method=method,
            batch_size=batch_size,
            multiply_by_steps=self._multiply_by_inputs,
            evaluator=evaluator,
            deltas=return_convergence_delta,
            keep_points=return_path,
            show_progress=show_progress,
            description="IG2",
        )
        # The paths lead away from the input, an attribution counts towards it.
        return result.as_returned(inputs, sign=-1 if self._multiply_by_inputs else 1)

    def _layer(self, inputs: Points, additional_forward_args: Any) -> Any:
        """The representation; the first call chooses the default one and keeps it."""
        if self.layer is None:
            facts = observe(self.forward_func, inputs, additional_forward_args)
            self.layer = facts.module(last_representation(facts))
        return self.layer


class Descent:
    """The paths of IG2, for gradients of any source: a :class:`captum_ext.path.Path`.

    Path ``p`` leads from example ``p // R`` towards the reference ``p % R``.

    Args:
        inputs: for each input ``[B, ...]``.
        references: for each input ``[1, R, ...]`` or ``[B, R, ...]``.
        n_steps, step_size, clip, tolerance, patience: see :meth:`IG2.attribute`.
    """

    def __init__(
        self,
        inputs: Points,
        references: Points,
        n_steps: int,
        step_size: float | None,
        clip: tuple[float, float] | None,
        tolerance: float | None = None,
        patience: int = 10,
    ) -> None:
        if step_size is not None:
            step_size = check_number(step_size, "step_size", low=0, above=True)
        if tolerance is not None:
            tolerance = check_number(tolerance, "tolerance", low=0)
        self.inputs = inputs
        self.references = references
        self.n_references = references[0].shape[1]
        self.n_steps = n_steps
        self.step_size = step_size
        self.clip = None if clip is None else check_interval(clip, "clip")
        self.tolerance = tolerance
        self.patience = check_int(patience, "patience", minimum=1, maximum=MOST_STEPS)

    def start(self, paths: Tensor) -> Points:
        examples = paths // self.n_references
        points = tuple(as_channels_last(x[examples]) for x in self.inputs)
        goals = tuple(
            each[examples % each.shape[0], paths % self.n_references] for each in self.references
        )
        distance = norms(tuple(goal - x for goal, x in zip(goals, points, strict=True)))
        self.first = paths[0]
        if self.step_size is None:
            self.steps = distance / self.n_steps
        else:
            # Of a reference that is the input itself, rounding would make a direction.
            self.steps = self.step_size * (distance > 0).to(distance.dtype)
        self.nearest = torch.full_like(distance, torch.inf)
        self.progress = torch.zeros_like(paths)
        self.aim(goals, paths)
        return points

    def aim(self, goals: Points, paths: Tensor) -> None:
        """Notes what the paths that begin now shall reach: the representation of ``goals``."""
        raise NotImplementedError

    def move(self, points: Points, view: PathView, paths: Tensor, step: int) -> Points:
        rows = paths - self.first
        sizes = self.steps[rows]
        if self.tolerance is not None and view.distance is not None:
            if step == 0:
                self.needed = self.tolerance * view.distance
            sizes = torch.where(self._is_stuck(view.distance, rows, step), 0, sizes)
        norm = norms(view.descent)
        moves = (norm != 0) & (sizes > 0)
        norm, sizes = torch.where(moves, norm, 1), torch.where(moves, sizes, 0)
        following = []
        for x, direction in zip(points, view.descent, strict=True):
            # First to length 1, then to that of the step: their ratio may overflow.
            step_of_x = direction / column(norm, x) * column(sizes, x)
            moved = x + step_of_x.to(x.dtype)
            if self.clip is not None:
                moved = torch.where(column(moves, x), moved.clamp(*self.clip), x)
            following.append(moved)
        return tuple(following)

    def finished(self, still: Tensor, paths: Tensor) -> Tensor:
        # From the same point a path takes the same step again.
        return still

    def _is_stuck(self, distance: Tensor, rows: Tensor, step: int) -> Tensor:
        better = distance < self.nearest[rows] - self.needed[rows]
        self.nearest[rows] = torch.where(better, distance, self.nearest[rows])
        self.progress[rows] = torch.where(better, step, self.progress[rows])
        return step - self.progress[rows] >= self.patience


class _ModelDescent(Descent):
    """With the gradients of a torch model: one forward and two backward passes at each point."""

    represent: Representation

    @torch.no_grad()
    def aim(self, goals: Points, paths: Tensor) -> None:
        _, self.goals = self.represent(goals, paths // self.n_references)
        if not bool(torch.isfinite(self.goals).all()):
            raise ValueError("layer must have finite values for references; got NaN or infinity")
        precision = torch.finfo(self.goals.dtype).eps
        self.rounding = min(ROUNDING * precision, MOST_ROUNDING) * norms((self.goals,))

    def look(self, points: Points, paths: Tensor) -> PathView:
        leaves = tuple(x.detach().requires_grad_() for x in points)
        with torch.enable_grad():
            scores, representation = self.represent(leaves, paths // self.n_references)
            total = scores.sum()
        gradients = gradients_of(total, leaves, keep_graph=True)
        rows = paths - self.first
        away = representation.detach() - self.goals[rows]
        distance = norms((away,))
        near = distance <= self.rounding[rows]
        # The distance's own gradient points where that of its square does, and does not fade.
        unit = torch.where(column(near, away), 0, away / column(distance, away)).to(away.dtype)
        ascent = gradients_of(representation, leaves, unit, name=f"layer ({self.represent.layer})")
        return PathView(gradients, tuple(-each for each in ascent), distance)


def _defaults(inputs: Points, resolution: Resolution, seed: int) -> dict[str, Any]:
    # Noise in place of examples of other classes. Shape [1, R, ...], which NoiseTunnel can pass on.
    noise = (make.uniform_noise(x, n=N_REFERENCES, generator=seed) for x in inputs)
    return {"baselines": tuple(each.unsqueeze(0) for each in noise)}


def _passes_of_step(call: Call) -> int:
    return 3 * call.n_baselines


def _passes_of_ends(call: Call) -> int:
    """What the references take, and the last gradient of other rules."""
    left = call.arguments.get("method", "riemann_left") == "riemann_left"
    return (1 if left else 4) * call.n_baselines


SPEC = MethodSpec(
    "ig2",
    "IG2",
    "path",
    "Zhuo and Ge, TPAMI 2024",
    IG2,
    frozenset({Need.GRADIENTS, Need.MODULE, Need.REFERENCES}),
    budget=Knob("n_steps", each=_passes_of_step, base=_passes_of_ends),
    defaults=_defaults,
    optional_layer=True,
    promises=(Completeness(PATH_TOLERANCE, "take more n_steps", 0.1, noted=True),),
    promises_dummy=True,
)
