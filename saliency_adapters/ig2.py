"""IG2 on any ``call_model_function`` (Zhuo and Ge, TPAMI 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Any

import numpy as np
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency
from torch import Tensor

from captum_ext.attr.ig2 import Descent
from captum_ext.call_model import (
    LAYER_BASELINE,
    REP_DISTANCE_GRADIENTS,
    REP_LAYER_VALUES,
    CallModelFunction,
    answer_of,
    as_example,
    as_mask,
    as_numbers,
    ask,
    check_finite,
    check_function,
)
from captum_ext.checks import check_inputs, check_int, check_interval
from captum_ext.path import Integral, PathView, Points, integrate

_POSITIONAL = Parameter.POSITIONAL_OR_KEYWORD
_FUNCTION = (
    Parameter("call_model_function", _POSITIONAL),
    Parameter("call_model_args", _POSITIONAL, default=None),
)
_SETTINGS = (
    Parameter("steps", _POSITIONAL, default=201),
    Parameter("step_size", _POSITIONAL, default=256.0),
    Parameter("clip_min_max", _POSITIONAL, default=(0, 255)),
)
_BASELINES = Parameter("baselines", _POSITIONAL)
#: The authors' order of the arguments after ``x_value``, and PAIR's.
_PUBLISHED = Signature([_BASELINES, *_FUNCTION, *_SETTINGS])
_PAIRS = Signature([*_FUNCTION, _BASELINES.replace(default=None), *_SETTINGS])


class IG2(CoreSaliency):  # type: ignore[misc]
    """IG2 on a model of any framework; see :class:`captum_ext.attr.IG2` for the equations.

    The ``call_model_function`` answers INPUT_OUTPUT_GRADIENTS, REP_LAYER_VALUES and
    REP_DISTANCE_GRADIENTS: the gradient of minus the squared distance between the
    representation of its input and ``call_model_args["layer_baseline"]``, which this class sets, in
    a copy, to the references' REP_LAYER_VALUES. All references go through it as one batch.
    A factor of that gradient does not matter.

    Example:
        >>> from torch import nn
        >>> from captum_ext.call_model import call_model_function
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> image, references = 255 * np.random.rand(4, 4, 3), 255 * np.random.rand(5, 4, 4, 3)
        >>> IG2().GetMask(image, references, call_model_function(model, target=1)).shape
        (4, 4, 3)
    """

    expected_keys = (INPUT_OUTPUT_GRADIENTS, REP_LAYER_VALUES, REP_DISTANCE_GRADIENTS)

    def GetMask(  # noqa: N802
        self, x_value: Any, *args: Any, return_path: bool = False, **kwargs: Any
    ) -> Any:
        """The mask of one input, in either order of the arguments:

        - ``GetMask(x_value, baselines, call_model_function, call_model_args=None, steps=201,
          step_size=256.0, clip_min_max=[0, 255], return_path=False)``, as published;
        - ``GetMask(x_value, call_model_function, call_model_args=None, baselines=..., ...)``, as
          PAIR's methods have it, so that ``GetSmoothedMask(x_value, call_model_function,
          call_model_args, baselines=...)`` works.

        Args:
            x_value: ``[H, W, C]``, or an array of other than 3 dimensions.
            baselines: the references ``[R, H, W, C]`` (or ``[R, ...]``).
            call_model_function: see the class.
            call_model_args: handed through in a copy, never changed; None is allowed.
            steps: steps of each path.
            step_size: Euclidean length of a step, in units of ``x_value``.
            clip_min_max: smallest and largest value of a point; None does not clip.
            return_path: also give the points.

        Returns:
            The mask, of the shape of ``x_value``, and, if requested, the paths
            ``[steps + 1, R, ...]``.

        Raises:
            TypeError: an argument is missing or of a wrong type.
            ValueError: references of another shape or none; a key that is not answered, or with
                values of a wrong shape; settings out of their range.
        """
        if len(args) == 7:  # return_path comes last in the published order
            *args, return_path = args  # type: ignore[assignment]
        given = _arguments("GetMask", args, kwargs)
        (x,) = check_inputs(as_example(x_value), "x_value")
        result = _CallModelDescent(x, given).walk(keep_points=return_path)
        mask = as_mask(-result.attributions[0])
        return mask if result.points is None else (mask, _as_path(result.points))

    def Get_GradPath(self, x_value: Any, *args: Any, **kwargs: Any) -> np.ndarray:  # noqa: N802
        """The points of the paths alone, without asking for INPUT_OUTPUT_GRADIENTS.

        Args as for :meth:`GetMask`; ``x_value`` may also be repeated for each reference,
        ``[R, ...]``, as the authors' function wants it.

        Returns:
            ``[steps + 1, R, ...]``.
        """
        given = _arguments("Get_GradPath", args, kwargs)
        x_value = as_numbers(x_value, "x_value")
        baselines = as_numbers(given["baselines"], "baselines")
        if x_value.ndim > 0 and x_value.ndim == baselines.ndim:
            if len(x_value) != len(baselines) or not bool((x_value == x_value[:1]).all()):
                raise ValueError(
                    f"x_value must be one input, or the same one for each of the {len(baselines)} "
                    f"references; got shape {x_value.shape}"
                )
            x_value = x_value[0]
        (x,) = check_inputs(as_example(x_value), "x_value")
        return _as_path(_CallModelDescent(x, given, with_gradients=False).walk(True).points or ())


class _CallModelDescent(Descent):
    """With the gradients that a ``call_model_function`` answers."""

    def __init__(self, x: Tensor, given: dict[str, Any], with_gradients: bool = True) -> None:
        references = _references(given["baselines"], x)
        steps = check_int(given["steps"], "steps", minimum=1)
        super().__init__((x,), (references,), steps, given["step_size"], given["clip_min_max"])
        self.function: CallModelFunction = given["call_model_function"]
        self.arguments = {} if given["call_model_args"] is None else given["call_model_args"]
        self.with_gradients = with_gradients

    def walk(self, keep_points: bool) -> Integral:
        return integrate(
            self,
            self.inputs,
            self.n_references,
            self.n_steps,
            # All at once: the references' representations go in as one batch, too.
            batch_size=self.n_references,
            keep_points=keep_points,
        )

    def aim(self, goals: Points, paths: Tensor) -> None:
        batch = np.stack([as_mask(goal[None]) for goal in goals[0]])
        values = answer_of(self.function, dict(self.arguments), REP_LAYER_VALUES, batch)
        self.goals = (
            values.detach()
            if isinstance(values, Tensor)
            else as_numbers(values, f"call_model_function's answer to {REP_LAYER_VALUES}")
        )
        if self.goals.shape[:1] != (len(paths),):
            raise ValueError(
                f"call_model_function must answer {REP_LAYER_VALUES} with {len(paths)} rows, one "
                f"for each reference; got shape {tuple(self.goals.shape)}"
            )
        check_finite(self.goals, REP_LAYER_VALUES)

    def look(self, points: Points, paths: Tensor) -> PathView:
        rows = (paths - self.first).cpu()
        goals = self.goals[rows if isinstance(self.goals, Tensor) else rows.numpy()]
        keys = [REP_DISTANCE_GRADIENTS, *([INPUT_OUTPUT_GRADIENTS] * self.with_gradients)]
        arguments = dict(self.arguments) | {LAYER_BASELINE: goals}
        toward, *gradients = ask(self.function, arguments, points[0], keys)
        return PathView(tuple(gradients) or (torch.zeros_like(toward),), (toward,))


def _arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments after ``x_value`` by name, from either order."""
    pairs_order = bool(args) and callable(args[0])
    signature = _PAIRS if pairs_order else _PUBLISHED
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}() {error}; it takes x_value, then {signature}") from None
    bound.apply_defaults()
    given = dict(bound.arguments)
    if given["baselines"] is None:
        raise TypeError(f"{name}() needs baselines: pass the references")
    check_function(given["call_model_function"])
    arguments = given["call_model_args"]
    if arguments is not None and not isinstance(arguments, Mapping):
        raise TypeError(f"call_model_args must be a dict or None; got {type(arguments).__name__}")
    if given["clip_min_max"] is not None:
        given["clip_min_max"] = check_interval(given["clip_min_max"], "clip_min_max")
    return given


def _references(baselines: Any, x: Tensor) -> Tensor:
    """``baselines [R, ...]`` as ``[1, R, ...]`` with the channels first."""
    array = as_numbers(baselines, "baselines")
    wanted = tuple(as_mask(x).shape)
    if array.shape[1:] != wanted or array.ndim != len(wanted) + 1:
        raise ValueError(
            f"baselines must be references [R{''.join(f', {side}' for side in wanted)}], each of "
            f"the shape of x_value; got shape {array.shape}"
        )
    if len(array) == 0:
        raise ValueError(f"baselines must hold at least one reference; got shape {array.shape}")
    references = torch.cat([as_example(reference) for reference in array])
    return check_inputs(references, "baselines")[0][None].to(x)


def _as_path(points: Points) -> np.ndarray:
    """Of one input, ``[1, R, steps + 1, ...]``, as PAIR's arrays are, the steps first."""
    steps_first = points[0][0].movedim(1, 0)
    path: np.ndarray = (
        steps_first.movedim(2, -1) if steps_first.dim() == 5 else steps_first
    ).numpy()
    return path
