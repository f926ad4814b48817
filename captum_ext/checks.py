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


def check_target(target: Any, n_examples: int) -> None:
    """Refuses a ``target`` that no model could select by (Captum's forms are allowed).

    Whether an index lies within the model's outputs shows only when the model has run:
    :func:`captum_ext.forward.select_target` checks that.

    Args:
        target: an int, a tuple of ints, a tensor of one or ``n_examples`` integers, a list of
            ``n_examples`` ints or tuples of ints, or None.
        n_examples: the number of examples of the inputs.

    Raises:
        TypeError: another type.
        ValueError: a list or tensor of another length.

    Example:
        >>> check_target([0, 1], n_examples=3)
        Traceback (most recent call last):
        ...
        ValueError: target must hold one class per example; got 2 for 3 examples
    """
    if target is None or _is_index(target):
        return
    if isinstance(target, Tensor):
        if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
            raise TypeError(f"target must hold integers; got a tensor of {target.dtype}")
        if target.dim() > 1:
            raise ValueError(
                f"target must be a tensor of 0 or 1 dimensions; got shape {tuple(target.shape)}"
            )
        count = target.numel()
        if count not in (1, n_examples):
            raise ValueError(
                f"target must hold one class per example; got {count} for {n_examples} examples"
            )
        return
    if not isinstance(target, list):
        raise TypeError(
            "target must be an int, a tuple of ints, a tensor, a list or None; got "
            f"{type(target).__name__}"
        )
    if not all(_is_index(element) for element in target):
        raise TypeError(f"target must be a list of ints or of tuples of ints; got {target!r}")
    if len({isinstance(element, tuple) for element in target}) > 1:
        raise TypeError(f"target must not mix ints and tuples; got {target!r}")
    if len(target) != n_examples:
        raise ValueError(
            f"target must hold one class per example; got {len(target)} for {n_examples} examples"
        )


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


def _is_index(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(_is_index(element) for element in value)
    return isinstance(value, int) and not isinstance(value, bool)
