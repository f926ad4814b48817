"""Checks of arguments, made once and before the model runs.

Every error names the argument, says what was given and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor


def as_tuple(value: Any) -> tuple[Any, ...]:
    """``value`` itself if it is a tuple, else the tuple that holds only ``value``.

    Example:
        >>> as_tuple(3), as_tuple((3, 4))
        ((3,), (3, 4))
    """
    return value if isinstance(value, tuple) else (value,)


def detached(value: Any) -> Any:
    """``value`` without autograd graph, if it is a tensor or a tuple that holds some.

    Example:
        >>> detached((torch.ones(1, requires_grad=True), "rest"))
        (tensor([1.]), 'rest')
    """
    if isinstance(value, tuple):
        return tuple(detached(element) for element in value)
    return value.detach() if isinstance(value, Tensor) else value


def check_inputs(inputs: Any, name: str = "inputs") -> tuple[Tensor, ...]:
    """The tensors of ``inputs`` as a tuple, known to be non-empty, aligned and finite.

    Args:
        inputs: a tensor ``[B, ...]`` or a non-empty tuple of tensors with the same ``B >= 1``.
        name: the argument's name, for the error message.

    Returns:
        The tensors, unchanged, as a tuple.

    Raises:
        TypeError: something is not a tensor.
        ValueError: no tensor or no example, batch sizes that differ, NaN or infinite values.

    Example:
        >>> check_inputs(torch.tensor([[1.0, float("nan")]]))
        Traceback (most recent call last):
        ...
        ValueError: inputs must be finite; got 1 NaN or infinite of 2 values
    """
    tensors = as_tuple(inputs)
    if not tensors:
        raise ValueError(f"{name} must be a tensor or a tuple of tensors; got an empty tuple")
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{name} must be a tensor or a tuple of tensors; got {type(tensor).__name__}"
            )
        if tensor.dim() == 0 or tensor.numel() == 0:
            raise ValueError(
                f"{name} must hold at least one example, batch first; got shape "
                f"{tuple(tensor.shape)}"
            )
        finite = torch.isfinite(tensor)
        if not finite.all():
            bad = int((~finite).sum())
            raise ValueError(
                f"{name} must be finite; got {bad} NaN or infinite of {tensor.numel()} values"
            )
    sizes = [tensor.shape[0] for tensor in tensors]
    if len(set(sizes)) > 1:
        raise ValueError(f"{name} must all have the same number of examples; got {sizes}")
    return tensors


def check_int(value: Any, name: str, minimum: int) -> int:
    """``value`` as an int of at least ``minimum``.

    Raises:
        TypeError: not a whole number.
        ValueError: below ``minimum``.

    Example:
        >>> check_int(0, "n_samples", minimum=1)
        Traceback (most recent call last):
        ...
        ValueError: n_samples must be at least 1; got 0
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    number = int(value)
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {number}")
    return number


def check_choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """``value`` if it is one of ``choices``; otherwise an error with the nearest one.

    Raises:
        ValueError: another value.

    Example:
        >>> check_choice("logits", "output", ("probability", "logit"))
        Traceback (most recent call last):
        ...
        ValueError: unknown output 'logits'; did you mean 'logit'? (probability, logit)
    """
    allowed = list(choices)
    if value in allowed:
        return str(value)
    near = get_close_matches(str(value), allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    raise ValueError(f"unknown {name} {value!r}{hint} ({', '.join(allowed)})")
