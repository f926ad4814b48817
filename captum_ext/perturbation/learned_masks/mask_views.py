"""Masks on a coarse grid, and their upsampling to the pixels of an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from captum_ext.baselines import MOST_SIGMA, blur
from captum_ext.checks import MOST_ROWS, check_int, check_number, described, precise

#: Standard deviation of a mask's smoothing in sides of the image: 5 pixels of 224.
SMOOTHING = 5 / 224
#: Pixels that an image is moved by at most.
JITTER = 2


class MaskView:
    """How masks on a grid lie over the images of one input, and these below them.

    Args:
        x: the input ``[B, C, H, W]``.
        mask_size: cells along the shorter side, or ``(rows, columns)``; no more than pixels.
        smoothing: standard deviation of the Gaussian that the enlarged mask is smoothed with, in
            pixels; 0 does not. None takes 5 for a shorter side of 224, and in proportion.
        jitter: the farthest that :meth:`moved` moves an image, in pixels; below the shorter side.
            None takes 2, where that is.

    Attributes:
        grid: rows and columns of a mask.

    Raises:
        TypeError, ValueError: numbers of another type, or out of their range.

    Example:
        >>> view = MaskView(torch.rand(1, 3, 8, 8), mask_size=4, smoothing=0, jitter=1)
        >>> view.grid, view(torch.ones(1, 4, 4)).shape
        ((4, 4), torch.Size([1, 8, 8]))
    """

    def __init__(
        self, x: Tensor, mask_size: Any, smoothing: float | None, jitter: int | None
    ) -> None:
        self.sides = (x.shape[2], x.shape[3])
        self.grid = _grid(mask_size, self.sides)
        if smoothing is None:
            sigma = SMOOTHING * min(self.sides)
        else:
            sigma = check_number(smoothing, "smoothing", low=0, high=MOST_SIGMA)
        if jitter is None:
            jitter = min(JITTER, min(self.sides) - 1)
        self.jitter = check_int(jitter, "jitter", minimum=0, maximum=MOST_ROWS)
        if jitter >= min(self.sides):
            raise ValueError(
                f"jitter must be below the shortest side, {min(self.sides)} pixels; got {jitter}"
            )
        self.rows, self.columns = (
            _enlarging(cells, pixels, sigma, x)
            for cells, pixels in zip(self.grid, self.sides, strict=True)
        )

    def __call__(self, masks: Tensor) -> Tensor:
        """Masks ``[b, rows, columns]`` as large as the image, and smooth: ``[b, H, W]``."""
        # In full precision, also where the caller has autocast switched on.
        with torch.autocast(masks.device.type, enabled=False):
            return self.rows @ masks @ self.columns.T

    def moved(self, images: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Images ``[b, C, H, W]`` moved alike, by a step that is drawn; borders replicated."""
        steps = torch.randint(-self.jitter, self.jitter + 1, (2,), generator=generator)
        if not bool(steps.any()):
            return images
        rows, columns = (
            (torch.arange(side) + step).clamp(0, side - 1).to(images[0].device)
            for side, step in zip(self.sides, steps, strict=True)
        )
        return tuple(x[:, :, rows[:, None], columns] for x in images)


def _enlarging(cells: int, pixels: int, sigma: float, x: Tensor) -> Tensor:
    """The matrix ``[pixels, cells]`` that enlarges bilinearly, and smooths, along a side."""
    units = torch.eye(cells, dtype=precise(x), device=x.device)[None, :, :, None]
    enlarged = functional.interpolate(units, size=(pixels, 1), mode="bilinear", align_corners=False)
    return (blur(enlarged, sigma=sigma) if sigma > 0 else enlarged)[0, :, :, 0].T.contiguous()


def _grid(mask_size: Any, sides: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the mask for an image of ``sides``."""
    if isinstance(mask_size, tuple | list):
        if len(mask_size) != 2:
            raise ValueError(
                f"mask_size must be a number or (rows, columns); got {described(mask_size)}"
            )
        sizes = [check_int(each, "each side of mask_size", 1, MOST_ROWS) for each in mask_size]
        return min(sizes[0], sides[0]), min(sizes[1], sides[1])
    scale = min(1.0, check_int(mask_size, "mask_size", 1, MOST_ROWS) / min(sides))
    return max(1, round(sides[0] * scale)), max(1, round(sides[1] * scale))
