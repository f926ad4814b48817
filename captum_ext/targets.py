"""``target``: which output of the model is explained, in Captum's forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_ext._captum import _run_forward, _select_targets
from captum_ext.checks import as_tuple, check_differentiable, check_inputs, described


def check_target(target: Any, n_examples: int) -> None:
    """Raise an error unless ``target`` has one of Captum's forms.

    Whether an index lies within the model's outputs shows only when the model has run:
    :func:`select_target` checks that.

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
    target = plain_target(target)
    if not _is_small(target):
        raise ValueError(f"target must hold numbers of 64 bits; got {described(target)}")
    if target is None or _is_index(target):
        return
    if isinstance(target, Tensor):
        if not _holds_integers(target):
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
        raise TypeError(
            f"target must be a list of ints or of tuples of ints; got {described(target)}"
        )
    if len({isinstance(element, tuple) for element in target}) > 1:
        raise TypeError(f"target must not mix ints and tuples; got {described(target)}")
    if len(target) != n_examples:
        raise ValueError(
            f"target must hold one class per example; got {len(target)} for {n_examples} examples"
        )


def plain_target(target: Any) -> Any:
    """``target`` with Python's ints in place of NumPy's, as ``np.argmax`` gives them.

    An array becomes an int, or a list of ints; a tensor of integers an int, or one of int64, as
    Captum wants them.

    Example:
        >>> import numpy as np
        >>> plain_target([np.int64(1), 2]), plain_target(np.array([0, 1]))
        ([1, 2], [0, 1])
    """
    if isinstance(target, np.ndarray | np.generic):
        return target.tolist()
    if isinstance(target, Tensor) and _holds_integers(target):
        return target.long() if target.dim() else int(target)
    if isinstance(target, list | tuple):
        return type(target)(plain_target(element) for element in target)
    return target


def check_call(inputs: Any, target: Any, additional_forward_args: Any = None) -> tuple[Tensor, ...]:
    """Check the arguments of ``attribute()`` before the model runs.

    Args:
        inputs: a tensor ``[B, ...]`` of a floating-point dtype or a tuple of such.
        target: see :func:`check_target`.
        additional_forward_args: tensors among them hold a row for each example, or a scalar.

    Returns:
        The inputs as a tuple, without graph.

    Raises:
        TypeError, ValueError: as :func:`captum_ext.checks.check_inputs`, for a dtype that has no
            gradient, as :func:`check_target`, and for additional tensors of another length.

    Example:
        >>> check_call(torch.ones(1, 2, requires_grad=True), target=0)
        (tensor([[1., 1.]]),)
    """
    tensors = check_inputs(inputs)
    check_differentiable(tensors)
    n_examples = tensors[0].shape[0]
    check_target(target, n_examples)
    check_additional(additional_forward_args, n_examples)
    return tuple(x.detach() for x in tensors)


def check_additional(additional_forward_args: Any, n_examples: int) -> None:
    """Refuse additional tensors that hold another number of rows than there are examples.

    Raises:
        ValueError: the number of the tensor, and its shape.

    Example:
        >>> check_additional((torch.zeros(3), 2), n_examples=2)
        Traceback (most recent call last):
        ...
        ValueError: additional_forward_args must hold tensors of one row per example, 2; number 0 \
has shape (3,)
    """
    for number, value in enumerate(as_tuple(additional_forward_args)):
        if isinstance(value, Tensor) and value.dim() > 0 and len(value) != n_examples:
            raise ValueError(
                f"additional_forward_args must hold tensors of one row per example, {n_examples}; "
                f"number {number} has shape {tuple(value.shape)}"
            )


def check_images(inputs: Any, target: Any, additional_forward_args: Any) -> tuple[Tensor, ...]:
    """Like :func:`check_call`; the inputs must also be images.

    Raises:
        ValueError: an input that is not ``[B, C, H, W]``.

    Example:
        >>> check_images(torch.rand(1, 3), target=0, additional_forward_args=None)
        Traceback (most recent call last):
        ...
        ValueError: inputs must be images [B, C, H, W]; got shape (1, 3)
    """
    tensors = check_call(inputs, target, additional_forward_args)
    for x in tensors:
        if x.dim() != 4:
            raise ValueError(f"inputs must be images [B, C, H, W]; got shape {tuple(x.shape)}")
    return tensors


def select_target(output: Tensor, target: Any) -> Tensor:
    """The output that ``target`` names, for each example (Captum's forms of ``target``).

    Args:
        output: ``[B, ...]``.
        target: see :func:`check_target`.

    Raises:
        ValueError: ``target`` does not fit or lies outside ``output``.

    Example:
        >>> select_target(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 0])
        tensor([2., 3.])
    """
    try:
        return _select_targets(output, plain_target(target))
    except (AssertionError, IndexError, RuntimeError, OverflowError, ValueError) as error:
        raise ValueError(
            f"target {described(target)} does not fit the model's output of shape "
            f"{tuple(output.shape)}"
        ) from error


def check_batch_first(shape: tuple[int, ...] | None) -> None:
    """Raise an error unless the output of one example is one row, or a number.

    Args:
        shape: of the model's output for one example; None: nothing is known.

    Raises:
        ValueError: it has another number of rows.

    Example:
        >>> check_batch_first((10,))
        Traceback (most recent call last):
        ...
        ValueError: inputs must have the batch first, [B, ...], and the model return a row for \
each example; for one it returns shape (10,)
    """
    if shape and shape[0] != 1:
        raise ValueError(
            "inputs must have the batch first, [B, ...], and the model return a row for each "
            f"example; for one it returns shape {shape}"
        )


def check_one_output(target: Any, shape: tuple[int, ...] | None, n_examples: int) -> None:
    """Raise an error unless ``target`` selects one number of each example's output.

    Args:
        target: see :func:`check_target`.
        shape: of the model's output, batch first; None or ``()``: nothing is known.
        n_examples: how many there are.

    Raises:
        ValueError: it selects several, or does not fit.

    Example:
        >>> check_one_output(1, (1, 5, 8, 8), 2)
        Traceback (most recent call last):
        ...
        ValueError: target must select one output per example; 1 leaves the shape (2, 8, 8) of \
the model's output (2, 5, 8, 8): pass a tuple of 3 numbers, or a model that returns [B, classes]
    """
    if not shape:
        return
    outputs = torch.zeros(()).expand(n_examples, *shape[1:])
    selected = select_target(outputs, target)
    if selected.numel() != n_examples:
        raise ValueError(
            f"target must select one output per example; {described(target)} leaves the shape "
            f"{tuple(selected.shape)} of the model's output {tuple(outputs.shape)}: pass a tuple "
            f"of {len(shape) - 1} numbers, or a model that returns [B, classes]"
        )


@contextmanager
def clear_target_errors(
    forward_func: Callable[..., Any],
    inputs: tuple[Tensor, ...],
    target: Any,
    additional_forward_args: Any = None,
) -> Iterator[None]:
    """Turns the errors that a bad ``target`` causes inside Captum into one that names it.

    After an error, the model runs once more to test whether ``target`` was the cause. Any other
    error passes unchanged.

    Example:
        >>> model, x = torch.nn.Linear(3, 2), torch.zeros(1, 3)
        >>> with clear_target_errors(model, (x,), target=5):
        ...     model(x)[:, 5]
        Traceback (most recent call last):
        ...
        ValueError: target 5 does not fit the model's output of shape (1, 2)
    """
    try:
        yield
    except (AssertionError, IndexError, RuntimeError) as error:
        problem = _target_problem(forward_func, inputs, target, additional_forward_args)
        if problem is None:
            raise
        try:
            raise problem from error
        finally:
            # An error that its own frame holds would keep all that the frame holds.
            del problem


def _target_problem(
    forward_func: Callable[..., Any],
    inputs: tuple[Tensor, ...],
    target: Any,
    additional_forward_args: Any,
) -> ValueError | None:
    try:
        with torch.no_grad():
            output = _run_forward(forward_func, inputs, None, additional_forward_args)
    except Exception:
        return None
    try:
        select_target(output, target)
    except ValueError as problem:
        return problem
    return None


def _holds_integers(x: Tensor) -> bool:
    return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)


def _is_small(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_small, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _is_index(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(_is_index(element) for element in value)
    return isinstance(value, int) and not isinstance(value, bool)
