"""Feature masks: which values of the input a perturbation method treats as one feature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import as_tuple


def pixel_masks(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Feature masks with one feature per pixel, shared by the channels (or one per value).

    Args:
        inputs: tensors ``[B, C, H, W]``, where a pixel is a feature, or of another shape, where
            each value is one.

    Returns:
        One mask ``[1, 1, H, W]`` (or ``[1, ...]``) per input; no two inputs share a feature.

    Example:
        >>> pixel_masks((torch.zeros(1, 3, 2, 2),))[0]
        tensor([[[[0, 1],
                  [2, 3]]]])
    """
    masks, offset = [], 0
    for tensor in inputs:
        shape = (1, 1, *tensor.shape[2:]) if tensor.dim() == 4 else (1, *tensor.shape[1:])
        mask = torch.arange(torch.Size(shape).numel(), device=tensor.device).reshape(shape)
        masks.append(mask + offset)
        offset += mask.numel()
    return tuple(masks)


def grid_masks(inputs: tuple[Tensor, ...], rows: int = 7, cols: int = 7) -> tuple[Tensor, ...]:
    """Feature masks that part each image into ``rows`` x ``cols`` rectangles.

    Where there are no more pixels than that, and for inputs that are no images, as
    :func:`pixel_masks`.

    Example:
        >>> grid_masks((torch.zeros(1, 3, 64, 64),))[0].unique().numel()
        49
    """
    masks, offset = [], 0
    for tensor in inputs:
        mask = pixel_masks((tensor,))[0]
        if tensor.dim() == 4 and mask.numel() > rows * cols:
            height, width = tensor.shape[2:]
            # A short side has fewer lines than the grid has rows.
            labels = grid_labels(height, width, min(rows, height), min(cols, width), tensor.device)
            mask = labels[None, None]
        masks.append(mask + offset)
        offset += int(mask.max()) + 1
    return tuple(masks)


def grid_labels(
    height: int, width: int, rows: int, cols: int, device: torch.device | None = None
) -> Tensor:
    """``[height, width]``: the number of the cell, row by row, in which each pixel lies.

    Example:
        >>> grid_labels(2, 3, rows=2, cols=3)
        tensor([[0, 1, 2],
                [3, 4, 5]])
    """
    row = torch.arange(height, device=device) * rows // height
    col = torch.arange(width, device=device) * cols // width
    return row[:, None] * cols + col


def one_for_each(
    value: Any, inputs: tuple[Tensor, ...], name: str = "feature_mask"
) -> tuple[Any, ...]:
    """A tuple with one of ``value`` for each input; None stands for as many.

    Raises:
        ValueError: another number.

    Example:
        >>> one_for_each(None, (torch.zeros(1, 2), torch.zeros(1, 3)))
        (None, None)
    """
    given = (None,) * len(inputs) if value is None else as_tuple(value)
    if len(given) != len(inputs):
        raise ValueError(
            f"{name} must hold one for each of the {len(inputs)} inputs; got {len(given)}"
        )
    return given


def check_feature_mask(mask: Any, x: Tensor) -> Tensor:
    """The numbers of the features ``[B, H, W]`` of images, from Captum's form of a mask.

    Args:
        mask: ``[1, 1, H, W]`` or ``[B, 1, H, W]``, or as many channels as ``x``, all alike.
        x: ``[B, C, H, W]``.

    Raises:
        TypeError: not a tensor of whole numbers.
        ValueError: another shape, channels that differ, negative numbers.

    Example:
        >>> check_feature_mask(torch.tensor([[[[0, 1]]]]), torch.zeros(2, 3, 1, 2)).shape
        torch.Size([2, 1, 2])
    """
    if not isinstance(mask, Tensor) or mask.is_floating_point():
        raise TypeError("feature_mask must be tensors of whole numbers")
    count, channels, height, width = x.shape
    if (
        mask.dim() != 4
        or mask.shape[0] not in (1, count)
        or mask.shape[1] not in (1, channels)
        or mask.shape[2:] != x.shape[2:]
    ):
        raise ValueError(
            f"feature_mask must have the shape {(count, 1, height, width)} or "
            f"{(1, 1, height, width)}; got {tuple(mask.shape)}"
        )
    if not bool((mask == mask[:, :1]).all()):
        raise ValueError("feature_mask must be the same for all channels")
    if int(mask.min()) < 0:
        raise ValueError(f"feature_mask must not be negative; got {int(mask.min())}")
    return mask[:, 0].long().expand(count, height, width)
