"""The arguments of ``attribute()``, checked once for all methods before the model runs."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from captum_ext._captum import SUPPORTED_METHODS
from captum_ext.checks import as_tuple, check_choice, check_int, check_number

#: Arguments that count something, and whether None leaves the choice to the method.
COUNTS = {
    "n_steps": False,
    "n_samples": True,
    "nt_samples": False,
    "nt_samples_batch_size": True,
    "internal_batch_size": True,
    "perturbations_per_eval": True,
}
#: More would not come to an end.
MOST_COUNTED = 10**8
#: Arguments with a value for each input, where a tuple has as many as there are inputs.
PER_INPUT = (
    *("baselines", "feature_mask", "sliding_window_shapes", "strides", "stdevs"),
    *("references", "max_sigma"),
)
#: Pictures have at most so many channels; a first side of more is no channel.
MOST_CHANNELS = 4


def check_layout(inputs: tuple[Tensor, ...]) -> None:
    """Refuse pictures whose channels stand last, and complex numbers.

    Raises:
        TypeError: complex numbers, with the remedy.
        ValueError: ``[B, H, W, 3]``, with the remedy.

    Example:
        >>> check_layout((torch.zeros(1, 8, 8, 3),))
        Traceback (most recent call last):
        ...
        ValueError: inputs must have their channels first, [B, 3, H, W]; got shape (1, 8, 8, 3): \
pass inputs.movedim(-1, 1), and a model that begins with x.movedim(1, -1)
    """
    for x in inputs:
        if x.is_complex():
            raise TypeError(
                f"inputs must hold real numbers; got {x.dtype}: pass torch.view_as_real(inputs), "
                "and a model that begins with torch.view_as_complex"
            )
        if x.dim() == 4 and x.shape[3] == 3 and min(x.shape[1:3]) > MOST_CHANNELS:
            raise ValueError(
                f"inputs must have their channels first, [B, 3, H, W]; got shape {tuple(x.shape)}: "
                "pass inputs.movedim(-1, 1), and a model that begins with x.movedim(1, -1)"
            )


def checked_arguments(
    settings: Mapping[str, Any], inputs: tuple[Tensor, ...], takes_sets: bool
) -> dict[str, Any]:
    """Arguments known to be right as far as all methods agree on them.

    Args:
        settings: arguments of ``attribute()``.
        inputs: that are explained, ``[B, ...]`` each.
        takes_sets: whether baselines may be a set that all examples share.

    Returns:
        The arguments: baselines in the inputs' dtype, feature numbers from 0 without gaps.

    Raises:
        TypeError, ValueError: the argument's name, what it was and what it may be.

    Example:
        >>> x = torch.zeros(1, 1, 2, 2)
        >>> mask = torch.tensor([[[[3, 3], [7, 9]]]])
        >>> checked_arguments({"feature_mask": mask}, (x,), False)["feature_mask"]
        tensor([[[[0, 0],
                  [1, 2]]]])
    """
    checked = dict(settings)
    for name, optional in COUNTS.items():
        if name in checked and not (optional and checked[name] is None):
            checked[name] = check_int(checked[name], name, 1, MOST_COUNTED)
    if checked.get("baselines") is not None and not callable(checked["baselines"]):
        checked["baselines"] = _checked_baselines(checked["baselines"], inputs, takes_sets)
    if checked.get("feature_mask") is not None:
        checked["feature_mask"] = _checked_masks(checked["feature_mask"], inputs)
    for name in ("sliding_window_shapes", "strides"):
        if checked.get(name) is not None:
            _check_windows(checked[name], name, inputs)
    if "stdevs" in checked:
        checked["stdevs"] = _checked_noise(checked["stdevs"], len(inputs))
    if "method" in checked:
        check_choice(checked["method"], "method", SUPPORTED_METHODS)
    return checked


def _checked_baselines(given: Any, inputs: tuple[Tensor, ...], takes_sets: bool) -> Any:
    values = as_tuple(given)
    if len(values) != len(inputs):
        raise ValueError(
            f"baselines must hold one value for each of the {len(inputs)} inputs; got {len(values)}"
        )
    checked = [
        _checked_baseline(value, x, takes_sets) for value, x in zip(values, inputs, strict=True)
    ]
    return tuple(checked) if isinstance(given, tuple) else checked[0]


def _checked_baseline(value: Any, x: Tensor, takes_sets: bool) -> Any:
    if not isinstance(value, Tensor):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"baselines must be tensors or numbers; got {type(value).__name__}")
        check_number(value, "baselines")
        number = check_number(value, "baselines", -_largest(x.dtype), _largest(x.dtype))
        return number if x.is_floating_point() else value
    bad = int((~torch.isfinite(value)).sum())
    if bad:
        raise ValueError(
            f"baselines must be finite; got {bad} NaN or infinite of {value.numel()} values"
        )
    shape, own = tuple(value.shape), tuple(x.shape[1:])
    is_set = takes_sets and own in (shape[1:], shape[2:]) and value.numel() > 0
    if not is_set and (shape[1:] != own or not shape or shape[0] not in (1, len(x))):
        several = ", or a set [R, ...]" if takes_sets else ""
        raise ValueError(
            f"baselines must have the shape {(1, *own)} or {(len(x), *own)}{several}, or be a "
            f"number; got shape {shape}"
        )
    if value.is_complex() and not x.is_complex():
        raise TypeError(f"baselines must be of the inputs' dtype, {x.dtype}; got {value.dtype}")
    return value.detach().to(x)


def _largest(dtype: torch.dtype) -> float:
    """The largest number of a dtype."""
    if dtype == torch.bool:
        return 1
    return (torch.finfo if dtype.is_floating_point else torch.iinfo)(dtype).max


def _checked_noise(given: Any, n_inputs: int) -> Any:
    """Standard deviations as Captum wants them: floats, one for all inputs or one for each."""
    checked = tuple(check_number(value, "stdevs", low=0) for value in as_tuple(given))
    if isinstance(given, tuple) and len(given) != n_inputs:
        raise ValueError(
            f"stdevs must hold one number for each of the {n_inputs} inputs; got {len(given)}"
        )
    return checked if isinstance(given, tuple) else checked[0]


def _checked_masks(given: Any, inputs: tuple[Tensor, ...]) -> Any:
    values = as_tuple(given)
    if len(values) != len(inputs):
        raise ValueError(
            f"feature_mask must hold one mask for each of the {len(inputs)} inputs; got "
            f"{len(values)}"
        )
    for mask, x in zip(values, inputs, strict=True):
        _check_mask(mask, x)
    # Captum wants as many dimensions as the input has.
    masks = [
        mask.long().reshape((1,) * (x.dim() - mask.dim()) + mask.shape)
        for mask, x in zip(values, inputs, strict=True)
    ]
    numbers = torch.unique(torch.cat([mask.reshape(-1).cpu() for mask in masks]))
    if int(numbers[-1]) + 1 != len(numbers):
        # Captum makes a feature of every number up to the largest.
        masks = [torch.searchsorted(numbers.to(mask.device), mask) for mask in masks]
    checked = [mask.to(x.device).contiguous() for mask, x in zip(masks, inputs, strict=True)]
    return tuple(checked) if isinstance(given, tuple) else checked[0]


def _check_mask(mask: Any, x: Tensor) -> None:
    if not isinstance(mask, Tensor):
        raise TypeError(f"feature_mask must be a tensor; got {type(mask).__name__}")
    if mask.is_floating_point() or mask.is_complex():
        raise TypeError(f"feature_mask must hold whole numbers; got a tensor of {mask.dtype}")
    if mask.numel() == 0:
        raise ValueError(f"feature_mask must not be empty; got shape {tuple(mask.shape)}")
    try:
        fits = torch.broadcast_shapes(mask.shape, x.shape) == x.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"feature_mask must broadcast to the input's shape {tuple(x.shape)}; got "
            f"{tuple(mask.shape)}"
        )
    least = int(mask.min())
    if least < 0:
        raise ValueError(f"feature_mask must hold numbers from 0; the least is {least}")


def _check_windows(given: Any, name: str, inputs: tuple[Tensor, ...]) -> None:
    """Windows and strides in Captum's forms: whole numbers from 1, one for each side."""
    several = isinstance(given, tuple) and any(isinstance(each, tuple) for each in given)
    values = given if several else (given,)
    if len(values) != len(inputs):
        raise ValueError(
            f"{name} must hold one value for each of the {len(inputs)} inputs; got {len(values)}"
        )
    for value, x in zip(values, inputs, strict=True):
        sides = as_tuple(value)
        for side in sides:
            check_int(side, name, minimum=1)
        if isinstance(value, tuple) and len(sides) != x.dim() - 1:
            raise ValueError(
                f"{name} must hold {x.dim() - 1} numbers, one for each side of an input of shape "
                f"{tuple(x.shape)}; got {len(sides)}"
            )
        if name == "sliding_window_shapes" and isinstance(value, tuple):
            large = [s for s, most in zip(sides, x.shape[1:], strict=True) if s > most]
            if large:
                raise ValueError(
                    f"{name} must fit into an input of shape {tuple(x.shape[1:])}; got {sides}"
                )


def count_features(settings: Mapping[str, Any], inputs: tuple[Tensor, ...]) -> int:
    """How many features an example has: those of its mask, or its values.

    Example:
        >>> count_features({}, (torch.zeros(2, 3, 4),))
        12
    """
    masks = settings.get("feature_mask")
    if masks is None:
        return sum(x[0].numel() for x in inputs)
    return len(torch.unique(torch.cat([mask.reshape(-1).cpu() for mask in as_tuple(masks)])))
