"""A segmenter that always finds enough segments: where another finds too few, it takes a grid.

Segmentations of photographs find one or two segments in small, smooth or noisy pictures. Nothing
can be said about the parts of a picture that has one part only.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from captum_ext.checks import AttributionWarning
from captum_ext.perturbation.segments.segmenters import Grid, Segmenter, SkimageSegments
from captum_ext.perturbation.segments.segments import Segments, check_segments

#: Fewer segments explain next to nothing.
LEAST_SEGMENTS = 8
#: About so many cells has a grid in their place, as RISE has it.
CELLS = 49
#: An error or a warning lists at most so many examples.
MOST_NAMED = 5


class SegmentsFound(NamedTuple):
    """What :meth:`SegmentsOrGrid.find` gives.

    Attributes:
        segments: of the image.
        grid: rows and columns, where these are a grid's; else None.
        n_found: segments that the other segmenter found; 0 where it cannot divide such an image,
            as one of 4 channels, or of fewer pixels than cells.
    """

    segments: Segments
    grid: tuple[int, int] | None
    n_found: int


@dataclass(frozen=True)
class SegmentsOrGrid:
    """The segments of another segmenter; a grid where it finds fewer than 8, or cannot work.

    The grid has about 49 cells, as near to squares as the image allows (7 x 7 of a square one),
    and never more than pixels. A :class:`Grid` with more rows or columns than pixels gets as many
    as there are.

    Args:
        segmenter: whose segments.

    Warns:
        AttributionWarning: a grid is used.

    Example:
        >>> import warnings
        >>> from skimage.segmentation import slic
        >>> from captum_ext.perturbation import SkimageSegments
        >>> import torch
        >>> segmenter = SegmentsOrGrid(SkimageSegments(slic, n_segments=2))
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     len(segmenter(torch.zeros(3, 28, 28)))
        49
    """

    segmenter: Segmenter

    def __call__(self, image: Tensor) -> Segments:
        found = self.find(image)
        warn_of_grids(self.segmenter, [(0, found.n_found, found.grid)])
        return found.segments

    def find(self, image: Tensor, most: int = CELLS) -> SegmentsFound:
        """The segments, and whether they are a grid's; without a warning.

        Args:
            image: ``[C, H, W]``.
            most: cells of a grid.
        """
        height, width = image.shape[-2:]
        if isinstance(self.segmenter, Grid):
            own = self.segmenter
            rows, cols = min(own.rows, height), min(own.cols, width)
            grid = None if (rows, cols) == (own.rows, own.cols) else (rows, cols)
            return SegmentsFound(Grid(rows, cols, own.edges)(image), grid, 0)
        n_found = 0
        if not isinstance(self.segmenter, SkimageSegments) or image.shape[0] in (1, 3):
            segments = check_segments(self.segmenter(image), image)
            n_found = len(segments)
            if n_found >= min(LEAST_SEGMENTS, height * width):
                return SegmentsFound(segments, None, n_found)
        grid = suitable_grid(height, width, most)
        return SegmentsFound(Grid(*grid)(image), grid, n_found)


def warn_of_grids(
    segmenter: object, found: Iterable[tuple[int, int, tuple[int, int] | None]]
) -> None:
    """One warning of the examples that a grid divides.

    Args:
        segmenter: what finds too few segments in them.
        found: for each example its number, how many segments were found, and rows and columns of
            the grid; None where there is none.
    """
    by_grid: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, n_found, grid in found:
        if grid is not None:
            by_grid.setdefault(grid, []).append((number, n_found))
    for (rows, cols), examples in by_grid.items():
        numbers, counts = (
            ", ".join(map(str, column[:MOST_NAMED])) + ", ..." * (len(column) > MOST_NAMED)
            for column in zip(*examples, strict=True)
        )
        warnings.warn(
            f"{segmenter} found {counts} segments in example{'s' * (len(examples) > 1)} {numbers}, "
            f"fewer than {LEAST_SEGMENTS}: a grid of {rows}x{cols} is used. Pass another "
            "segmenter, or a feature_mask, to choose the segments",
            AttributionWarning,
            stacklevel=3,
        )


def suitable_grid(height: int, width: int, most: int = CELLS) -> tuple[int, int]:
    """Rows and columns of up to ``most`` cells, nearly squares, of an image.

    Example:
        >>> suitable_grid(32, 32), suitable_grid(20, 60), suitable_grid(100, 1), suitable_grid(2, 3)
        ((7, 7), (4, 12), (49, 1), (2, 3))
    """
    rows = min(height, max(1, round(math.sqrt(most * height / width))))
    cols = min(width, max(1, most // rows))
    return min(height, rows if rows * cols <= most else max(1, most // cols)), cols
