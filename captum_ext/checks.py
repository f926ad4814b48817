"""Checks of tensor arguments, done once before the model runs.

:mod:`captum_ext.value_checks` checks plain values.
Every error names the argument, the given value and the allowed values.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import Tensor

from captum_ext.value_checks import (  # noqa: F401 - both kinds of checks from one module
    MOST_ROWS,
    MOST_STEPS,
    AttributionWarning,
    as_tuple,
    check_choice,
    check_int,
    check_interval,
    check_number,
    described,
    most_of,
    one_line,
    printable,
    unknown,
)


def detached(value: Any) -> Any:
    """``value`` without autograd graph, if it is a tensor or a tuple that holds some.

    Example:
        >>> detached((torch.ones(1, requires_grad=True), "rest"))
        (tensor([1.]), 'rest')
    """
    if isinstance(value, tuple):
        return tuple(detached(element) for element in value)
    return value.detach() if isinstance(value, Tensor) else value


def is_continuous(x: Tensor) -> bool:
    """Whether ``x`` may have a gradient: its numbers are not whole.

    Example:
        >>> is_continuous(torch.zeros(1)), is_continuous(torch.zeros(1, dtype=torch.int64))
        (True, False)
    """
    return x.is_floating_point() or x.is_complex()


def precise(x: Tensor) -> torch.dtype:
    """The dtype of ``x``, or float32, if that is more precise: for sums and small differences.

    Example:
        >>> precise(torch.zeros(1, dtype=torch.float16)), precise(torch.zeros(1).double())
        (torch.float32, torch.float64)
    """
    return torch.promote_types(x.dtype, torch.float32)


def check_forward_func(forward_func: Any) -> None:
    """Raise an error unless ``forward_func`` is callable.

    Raises:
        TypeError: neither a module nor a function.

    Example:
        >>> check_forward_func(3)
        Traceback (most recent call last):
        ...
        TypeError: forward_func must be a module or a function; got int
    """
    if not callable(forward_func):
        raise TypeError(
            f"forward_func must be a module or a function; got {type(forward_func).__name__}"
        )


def check_inputs(inputs: Any, name: str = "inputs") -> tuple[Tensor, ...]:
    """Return ``inputs`` as a tuple; check that all are non-empty, aligned and finite.

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


def check_baselines(baselines: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One baseline for each example, from any of Captum's forms of ``baselines``.

    Args:
        baselines: a number, a tensor ``[1, ...]`` or ``[B, ...]``, a tuple with one of them for
            each input, or None for zero.
        inputs: tensors ``[B, ...]``.

    Returns:
        Tensors of the shape and dtype of ``inputs``, without graph.

    Raises:
        TypeError: another type.
        ValueError: another number of baselines, another shape, NaN or infinite values.

    Example:
        >>> check_baselines(0.5, (torch.zeros(1, 2),))
        (tensor([[0.5000, 0.5000]]),)
    """
    given = (0,) * len(inputs) if baselines is None else as_tuple(baselines)
    if len(given) != len(inputs):
        raise ValueError(
            f"baselines must hold one value for each of the {len(inputs)} inputs; got {len(given)}"
        )
    return tuple(_check_baseline(value, x) for value, x in zip(given, inputs, strict=True))


def _check_baseline(value: Any, x: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        shapes = [(count, *x.shape[1:]) for count in dict.fromkeys((x.shape[0], 1))]
        if tuple(value.shape) not in shapes:
            raise ValueError(
                f"baselines must have the shape {' or '.join(map(str, shapes))}, or be a number; "
                f"got shape {tuple(value.shape)}"
            )
        check_inputs(value, "baselines")
        return value.detach().to(x).expand_as(x)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"baselines must be tensors or numbers; got {type(value).__name__}")
    return torch.full_like(x.detach(), check_number(value, "baselines"))


def check_references(baselines: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Sets of references, from the forms of ``baselines`` that path methods take.

    Args:
        baselines: a tensor ``[R, ...]`` for all examples, or one set for each of them
            ``[B, R, ...]`` (``[1, R, ...]`` is for all, too), or a tuple of such tensors.
        inputs: tensors ``[B, ...]``.

    Returns:
        For each input ``[1, R, ...]`` or ``[B, R, ...]``, in its dtype.

    Raises:
        TypeError: not tensors.
        ValueError: none, of another shape, or not finite.

    Example:
        >>> check_references(torch.zeros(5, 3), (torch.zeros(2, 3),))[0].shape
        torch.Size([1, 5, 3])
    """
    given = as_tuple(baselines)
    if len(given) != len(inputs):
        raise ValueError(
            f"baselines must hold references for each of the {len(inputs)} inputs; got {len(given)}"
        )
    references = []
    for value, x in zip(given, inputs, strict=True):
        if not isinstance(value, Tensor):
            raise TypeError(f"baselines must be tensors of references; got {type(value).__name__}")
        sets = value.detach().unsqueeze(0) if value.dim() == x.dim() else value.detach()
        one, many = ("".join(f", {side}" for side in x.shape[1:]), x.shape[0])
        if (
            sets.dim() != x.dim() + 1
            or sets.shape[2:] != x.shape[1:]
            or sets.shape[0] not in (1, many)
        ):
            raise ValueError(
                f"baselines must be references [R{one}], or a set for each example "
                f"[{many}, R{one}]; got shape {tuple(value.shape)}"
            )
        if sets.shape[1] == 0:
            raise ValueError(
                f"baselines must hold at least one reference; got shape {tuple(value.shape)}"
            )
        check_inputs(sets, "baselines")
        references.append(sets.to(x))
    counts = [reference.shape[1] for reference in references]
    if len(set(counts)) > 1:
        raise ValueError(
            f"baselines must hold the same number of references for each input; got {counts}"
        )
    return tuple(references)


def check_differentiable(tensors: tuple[Tensor, ...], name: str = "inputs") -> None:
    """Raise an error for tensors that cannot have a gradient.

    Raises:
        TypeError: not of a floating-point dtype.

    Example:
        >>> check_differentiable((torch.zeros(1, dtype=torch.int64),))
        Traceback (most recent call last):
        ...
        TypeError: inputs must be of a floating-point dtype; got torch.int64
    """
    for tensor in tensors:
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be of a floating-point dtype; got {tensor.dtype}")
