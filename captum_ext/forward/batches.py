"""Batches: how many rows go into the model at once, and in which memory layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from captum_ext.checks import MOST_ROWS, check_int
from captum_ext.layers import CONVOLUTIONS

# The largest tensor of a pass should stay below this. On a CPU, glibc maps every allocation above
# 32 MiB afresh, and the page faults of each pass then cost more than a large batch saves: a
# SqueezeNet at 224 x 224 takes 13 ms an image in batches of 5, and 23 ms in batches of 32.
LARGEST_TENSOR = {"cpu": 24 * 2**20}
ACCELERATOR_LARGEST_TENSOR = 2**30
# The first convolutions of a network make 5 to 8 times as many values as it takes in.
CONVOLUTION_GROWTH = 8
MAX_BATCH = 1024


def default_batch_size(
    inputs: tuple[Tensor, ...], forward_func: Callable[..., Any] | None = None
) -> int:
    """How many rows like those of ``inputs`` make a good batch on their device.

    Args:
        inputs: tensors ``[B, ...]``.
        forward_func: the model; a module without convolutions gets larger batches.

    Example:
        >>> images = (torch.zeros(1, 3, 224, 224),)
        >>> default_batch_size(images), default_batch_size(images, nn.Flatten())
        (5, 41)
    """
    largest = LARGEST_TENSOR.get(inputs[0].device.type, ACCELERATOR_LARGEST_TENSOR)
    per_example = sum(tensor[0].numel() * tensor.element_size() for tensor in inputs)
    growth = 1 if _has_no_convolution(forward_func) else CONVOLUTION_GROWTH
    return max(1, min(MAX_BATCH, largest // (growth * per_example)))


def wider_batch_size(batch_size: int, width: int, device: torch.device) -> int:
    """How many rows make a good batch where none is made, and the first layer's output counts.

    Args:
        batch_size: for rows that are made.
        width: bytes of that output for one row.
        device: where it lies.

    Example:
        >>> wider_batch_size(58, width=256 * 8, device=torch.device("cpu"))
        1024
    """
    largest = LARGEST_TENSOR.get(device.type, ACCELERATOR_LARGEST_TENSOR)
    return max(batch_size, min(MAX_BATCH, largest // (CONVOLUTION_GROWTH * width)))


def batch_size_or_default(
    internal_batch_size: int | None, inputs: tuple[Tensor, ...], forward_func: Callable[..., Any]
) -> int:
    """``internal_batch_size``, checked, or what suits the inputs and the device."""
    if internal_batch_size is None:
        return default_batch_size(inputs, forward_func)
    return check_int(internal_batch_size, "internal_batch_size", 1, MOST_ROWS)


def rows_per_call(perturbations_per_eval: int | None, n_examples: int) -> int | None:
    """Captum's ``perturbations_per_eval``, of each example, as rows of a batch; None stays None.

    Example:
        >>> rows_per_call(4, n_examples=3)
        12
    """
    if perturbations_per_eval is None:
        return None
    return n_examples * check_int(perturbations_per_eval, "perturbations_per_eval", 1, MOST_ROWS)


def as_channels_last(tensor: Tensor) -> Tensor:
    """A 4-d tensor in the memory layout that convolutions prefer; any other as it is."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def in_standard_layout(tensor: Tensor) -> Tensor:
    """The tensor with its last dimension densest in memory, then the last but one, and so on.

    Where a side is 1, ``contiguous()`` takes other strides for these, and a convolution that is
    given gray images in such strides answers in channels_last.

    Example:
        >>> gray = torch.zeros(2, 4, 4, 1).movedim(-1, 1)
        >>> gray.is_contiguous(), gray.stride(), in_standard_layout(gray).stride()
        (True, (16, 1, 4, 1), (16, 16, 4, 1))
    """
    strides, step = [], 1
    for side in reversed(tensor.shape):
        strides.append(step)
        step *= max(1, side)
    if tensor.stride() == tuple(reversed(strides)):
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


def may_begin_linear(forward_func: Callable[..., Any]) -> bool:
    """Whether a model is worth trying with rows that are not made.

    A module with convolutions begins with one; a compiled one would be compiled again for tensors
    of another class.

    Example:
        >>> may_begin_linear(nn.Linear(2, 1)), may_begin_linear(nn.Conv2d(1, 1, 1))
        (True, False)
    """
    parts: Iterable[Any] = [forward_func]
    if isinstance(forward_func, nn.Module):
        if not _has_no_convolution(forward_func):
            return False
        parts = forward_func.modules()
    return not any(
        getattr(part, name, None) is not None
        for part in parts
        for name in ("_orig_mod", "_compiled_call_impl", "_torchdynamo_orig_callable")
    )


def _has_no_convolution(forward_func: Callable[..., Any] | None) -> bool:
    if not isinstance(forward_func, nn.Module):
        return False
    return not any(isinstance(module, CONVOLUTIONS) for module in forward_func.modules())
