"""Feature masks: which values of the input a perturbation method treats as one feature."""

from __future__ import annotations

import torch
from torch import Tensor


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
            row = torch.arange(height, device=tensor.device) * rows // height
            col = torch.arange(width, device=tensor.device) * cols // width
            # A short side has fewer lines than the grid has rows: number only those in use.
            row, col = row.unique(return_inverse=True)[1], col.unique(return_inverse=True)[1]
            mask = (row[:, None] * (int(col.max()) + 1) + col)[None, None]
        masks.append(mask + offset)
        offset += int(mask.max()) + 1
    return tuple(masks)
