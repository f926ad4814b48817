"""Arguments of ``attribute()`` against its signature, and what Captum asserts of its own.

Captum's assertions come after passes, or name no argument: each is an error here, before the model
runs. :mod:`captum_ext.soundness.arguments` checks what all methods agree on.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_ext.checks import as_tuple, check_choice, described

#: Modes of ``torch.nn.functional.interpolate`` by the dimensions of its input.
INTERPOLATE_MODES = {
    3: ("nearest", "nearest-exact", "area", "linear"),
    4: ("nearest", "nearest-exact", "area", "bilinear", "bicubic"),
    5: ("nearest", "nearest-exact", "area", "trilinear"),
}
#: What Captum's NoiseTunnel does with its samples.
NOISE_TYPES = ("smoothgrad", "smoothgrad_sq", "vargrad")
#: Arguments of ``torch.autograd.grad`` that Captum does not set itself.
_GRAD_KWARGS = set(inspect.signature(torch.autograd.grad).parameters) - {
    *("outputs", "inputs", "grad_outputs", "allow_unused"),
}


def checked_by_signature(
    settings: Mapping[str, Any], defaults: Mapping[str, Any], counts: Mapping[str, bool]
) -> dict[str, Any]:
    """Arguments known to be of the kind of their defaults.

    Args:
        settings: arguments of ``attribute()``.
        defaults: of its signature, as of :func:`captum_ext.signatures.argument_defaults`.
        counts: names of counts; None leaves a choice to the method only where it is the default.

    Returns:
        The arguments, with bools where the default is one.

    Raises:
        TypeError: the name, and what it was.

    Example:
        >>> checked_by_signature({"abs": 1}, {"abs": True}, {})
        {'abs': True}
        >>> checked_by_signature({"abs": "yes"}, {"abs": True}, {})
        Traceback (most recent call last):
        ...
        TypeError: abs must be True or False; got 'yes'
    """
    checked = dict(settings)
    for name, value in checked.items():
        default = defaults.get(name)
        if isinstance(default, bool):
            checked[name] = check_flag(value, name)
        elif value is None and name in counts and isinstance(default, int):
            raise TypeError(f"{name} must be a whole number; got None")
    return checked


def check_flag(value: Any, name: str) -> bool:
    """``value`` as a bool, from True, False, 1 or 0.

    Raises:
        TypeError: another value.

    Example:
        >>> check_flag(0, "abs")
        False
    """
    if isinstance(value, bool | np.bool_) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{name} must be True or False; got {described(value)}")


def check_captums(
    settings: Mapping[str, Any], inputs: tuple[Tensor, ...], least_background: int = 0
) -> None:
    """Refuse what Captum's own methods assert against, or would not survive.

    Args:
        settings: all arguments of ``attribute()``, defaults included.
        inputs: that are explained, ``[B, ...]`` each.
        least_background: how many examples its baselines ``[R, ...]`` must hold, where they are a
            sample of typical inputs; else 0.

    Raises:
        TypeError, ValueError: the argument's name, what it was and what it may be.

    Example:
        >>> x = torch.zeros(1, 4)
        >>> check_captums({"n_steps": 1, "method": "riemann_trapezoid"}, (x,))
        Traceback (most recent call last):
        ...
        ValueError: n_steps must be at least 2 by riemann_trapezoid; got 1
    """
    rule = settings.get("method")
    if isinstance(rule, str) and rule.startswith("riemann") and settings.get("n_steps") == 1:
        raise ValueError(f"n_steps must be at least 2 by {rule}; got 1")
    function = settings.get("custom_attribution_func")
    if function is not None and not callable(function):
        raise TypeError(
            f"custom_attribution_func must be a function or None; got {described(function)}"
        )
    if "nt_type" in settings:
        check_choice(settings["nt_type"], "nt_type", NOISE_TYPES)
    if settings.get("sliding_window_shapes", ()) is None:
        raise TypeError("sliding_window_shapes must be whole numbers; got None")
    if settings.get("grad_kwargs") is not None:
        _check_grad_kwargs(settings["grad_kwargs"])
    if "interpolate_mode" in settings:
        for x in inputs:
            modes = INTERPOLATE_MODES.get(x.dim(), INTERPOLATE_MODES[4])
            check_choice(settings["interpolate_mode"], "interpolate_mode", modes)
    if least_background and not callable(settings.get("baselines")):
        _check_background(settings.get("baselines"), inputs, least_background)
    if settings.get("sliding_window_shapes") is not None and settings.get("strides") is not None:
        _check_strides(settings["strides"], settings["sliding_window_shapes"], inputs)


def _check_grad_kwargs(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"grad_kwargs must be a dict or None; got {described(value)}")
    for name in value:
        check_choice(name, "name in grad_kwargs", sorted(_GRAD_KWARGS))


def _check_background(given: Any, inputs: tuple[Tensor, ...], least: int) -> None:
    sizes = set()
    for value, x in zip(as_tuple(given), inputs, strict=True):
        own = ", ".join(map(str, x.shape[1:]))
        if not isinstance(value, Tensor):
            raise TypeError(
                f"baselines must be a tensor of examples [R, {own}]; got {described(value)}"
            )
        if value.dim() != x.dim() or value.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"baselines must be a set of examples [R, {own}], the same for all inputs; got "
                f"shape {tuple(value.shape)}"
            )
        if len(value) < least:
            raise ValueError(
                f"baselines must hold at least {least} examples; got {len(value)}: of one, take "
                "the method that has a single baseline (deep_lift, integrated_gradients)"
            )
        sizes.add(len(value))
    if len(sizes) > 1:
        raise ValueError(
            f"baselines must hold as many examples for each input; got {sorted(sizes)}"
        )


def _check_strides(strides: Any, windows: Any, inputs: tuple[Tensor, ...]) -> None:
    """Captum's strides, which may not be larger than the windows."""
    for number, x in enumerate(inputs):
        stride, window = (
            _sides(value, number, len(inputs), x.dim() - 1) for value in (strides, windows)
        )
        if any(step > side for step, side in zip(stride, window, strict=False)):
            raise ValueError(
                "strides must not be larger than the window, or values are left out; got "
                f"{stride} for a window of {window}"
            )


def _sides(value: Any, number: int, n_inputs: int, n_sides: int) -> tuple[int, ...]:
    several = isinstance(value, tuple) and any(isinstance(part, tuple) for part in value)
    part = value[number] if several or (n_inputs > 1 and isinstance(value, tuple)) else value
    return part if isinstance(part, tuple) else (part,) * n_sides
