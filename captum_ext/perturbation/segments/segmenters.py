"""Segmenters: functions that split one image ``[C, H, W]`` into :class:`Segments`.

Images are RGB in [0, 1] for the segmentations that look at their colors.

After Pihlgren and Främling, 2024 (arXiv 2409.04116), whose grid is transposed where rows differ
from columns; here it is not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skimage.color import gray2rgb, rgb2gray
from skimage.filters import sobel
from skimage.segmentation import watershed
from torch import Tensor

from captum_ext.baselines import MOST_SIGMA
from captum_ext.checks import MOST_ROWS, check_choice, check_int, check_number
from captum_ext.perturbation.feature_masks import grid_labels
from captum_ext.perturbation.segments.segments import Segments, check_cells, check_segments

#: Parts one image ``[C, H, W]``.
Segmenter = Callable[[Tensor], Segments]

#: Where SciPy, which the published version uses, cuts a Gaussian off, in standard deviations.
TRUNCATE = 4.0


@dataclass(frozen=True)
class Grid:
    """A grid of ``rows`` x ``cols`` rectangles.

    Args:
        rows: cells from top to bottom.
        cols: cells from left to right.
        edges: ``"hard"``, or ``"bilinear"``: a cell fades linearly from its center to its
            neighbors' centers, as the masks of RISE do; beyond the outer centers the pattern is
            mirrored.

    Raises:
        ValueError: no cells, unknown edges; when called: more cells than pixels.

    Example:
        >>> Grid(1, 2)(torch.rand(3, 2, 4)).labels
        tensor([[0, 0, 1, 1],
                [0, 0, 1, 1]])
    """

    rows: int = 7
    cols: int = 7
    edges: str = "hard"

    def __post_init__(self) -> None:
        check_int(self.rows, "rows", minimum=1, maximum=MOST_ROWS)
        check_int(self.cols, "cols", minimum=1, maximum=MOST_ROWS)
        check_choice(self.edges, "edges", ("hard", "bilinear"))

    def __call__(self, image: Tensor) -> Segments:
        height, width = _check_image(image).shape[-2:]
        rows = check_cells(self.rows, "rows", height)
        cols = check_cells(self.cols, "cols", width)
        labels = grid_labels(height, width, rows, cols, image.device)
        if self.edges == "hard":
            return Segments(labels)
        down, across = _linear(height, rows, image), _linear(width, cols, image)
        masks = down[:, None, :, None] * across[None, :, None, :]
        return Segments(labels, masks.flatten(0, 1))


class SkimageSegments:
    """A segmentation of scikit-image: slic, quickshift, felzenszwalb, watershed.

    Args:
        function: takes an image ``[H, W, C]`` (and ``channel_axis``, if it has that argument) and
            returns labels ``[H, W]``. Watershed gets the gradient's magnitude ``[H, W]`` (Sobel's,
            of the gray image), whose valleys it fills.
        **kwargs: its settings.

    Raises:
        TypeError: no function.
        ValueError: a setting that leaves pixels without segment.

    Example:
        >>> from skimage.data import astronaut
        >>> from skimage.segmentation import slic
        >>> image = torch.from_numpy(astronaut()[::8, ::8]).movedim(-1, 0) / 255
        >>> SkimageSegments(slic, n_segments=9, compactness=10)(image).labels.shape
        torch.Size([64, 64])
    """

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        if not callable(function):
            raise TypeError(f"function must be a segmentation; got {type(function).__name__}")
        if "channel_axis" in kwargs:
            raise ValueError("channel_axis must not be given: the channels of an image come last")
        for name in ("mask", "watershed_line"):
            if kwargs.get(name) is not None and kwargs[name] is not False:
                raise ValueError(f"{name} must not be given: it leaves pixels without segment")
        self.function = function
        self.kwargs = kwargs

    def __call__(self, image: Tensor) -> Segments:
        array = _check_image(image).movedim(0, -1).cpu().double().numpy()
        # Segmentations convert colors, and want three of them.
        seen = _rgb(array)
        if self.function is watershed:
            seen = sobel(rgb2gray(seen))
        channels = (
            {"channel_axis": -1}
            if "channel_axis" in inspect.signature(self.function).parameters
            else {}
        )
        labels = np.asarray(self.function(seen, **channels, **self.kwargs))
        if labels.shape != array.shape[:2]:
            raise ValueError(
                f"function must return labels of shape {array.shape[:2]}; got {labels.shape}"
            )
        if labels.dtype.kind not in "iu" or labels.min() < 0:
            raise ValueError(
                "function must return whole numbers, none of them negative; got "
                f"{labels.dtype} from {labels.min()}"
            )
        # Some start at 1, and some leave numbers out.
        numbers = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        return Segments(torch.from_numpy(numbers).to(image.device))

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        settings = "".join(f", {key}={value!r}" for key, value in self.kwargs.items())
        return f"SkimageSegments({name}{settings})"


@dataclass(frozen=True, eq=False)
class FeatureMaskSegments:
    """Segments that are given, whatever the image.

    Args:
        mask: ``[H, W]``, ``[1, H, W]`` or ``[1, 1, H, W]``: a number 0, 1, ..., S - 1 for each
            pixel, as Captum's ``feature_mask``.

    Raises:
        TypeError, ValueError: as :class:`Segments`; when called: an image of another size.

    Example:
        >>> mask = torch.tensor([[0, 1], [2, 2]])
        >>> len(FeatureMaskSegments(mask)(torch.rand(3, 2, 2)))
        3
    """

    mask: Tensor

    def __post_init__(self) -> None:
        Segments(self._labels())

    def __repr__(self) -> str:
        return f"FeatureMaskSegments({tuple(self.mask.shape)})"

    def _labels(self) -> Tensor:
        mask = self.mask
        if isinstance(mask, Tensor) and mask.dim() in (3, 4) and mask.shape[:-2].numel() == 1:
            return mask.reshape(mask.shape[-2:])
        return mask

    def __call__(self, image: Tensor) -> Segments:
        segments = Segments(self._labels().to(_check_image(image).device))
        return check_segments(segments, image, "mask")


@dataclass(frozen=True)
class Fade:
    """The segments of another segmenter, their masks blurred by a Gaussian.

    Args:
        segmenter: whose segments.
        sigma: standard deviation of the Gaussian in pixels; the image is mirrored at its border.

    Raises:
        ValueError: ``sigma`` is not positive.

    Example:
        >>> segments = Fade(Grid(1, 2), sigma=1)(torch.rand(3, 2, 4))
        >>> segments.masks[0, 0]
        tensor([0.9369, 0.6993, 0.3007, 0.0631])
    """

    segmenter: Segmenter
    sigma: float

    def __post_init__(self) -> None:
        check_number(self.sigma, "sigma", low=0, high=MOST_SIGMA, above=True)

    def __call__(self, image: Tensor) -> Segments:
        segments = check_segments(self.segmenter(_check_image(image)), image)
        masks = segments.masks.to(_dtype_of(image))
        down, across = (_blur(side, self.sigma, masks) for side in masks.shape[1:])
        return Segments(segments.labels, down @ masks @ across.T)


def _check_image(image: Any) -> Tensor:
    if not isinstance(image, Tensor) or image.dim() != 3:
        what = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"image must be a tensor [C, H, W]; got {what}")
    return image.detach()


def _dtype_of(image: Tensor) -> torch.dtype:
    return image.dtype if image.is_floating_point() else torch.get_default_dtype()


def _rgb(array: np.ndarray) -> np.ndarray:
    channels = array.shape[-1]
    if channels == 3:
        return array
    if channels != 1:
        raise ValueError(f"image must have 1 or 3 channels to be segmented; got {channels}")
    return np.asarray(gray2rgb(array[..., 0]))


def _linear(side: int, cells: int, image: Tensor) -> Tensor:
    """``[cells, side]``: how much of each cell there is at each pixel along one side."""
    positions = (torch.arange(side, dtype=torch.float64) + 0.5) * cells / side - 0.5
    positions = torch.where(positions < 0, -positions, positions)
    last = cells - 1
    positions = torch.where(positions > last, 2 * last - positions, positions).clamp(0, last)
    distances = (positions - torch.arange(cells)[:, None]).abs()
    return (1 - distances).clamp(min=0).to(image.device, _dtype_of(image))


def _blur(side: int, sigma: float, like: Tensor) -> Tensor:
    """``[side, side]``: the matrix of a Gaussian blur along one side, mirrored at the borders."""
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    weights = weights / weights.sum()
    pixels = torch.arange(side)
    sources = torch.remainder(pixels[:, None] + offsets, 2 * side)
    sources = torch.where(sources < side, sources, 2 * side - 1 - sources)
    matrix = torch.zeros(side, side, dtype=torch.float64)
    matrix.scatter_add_(1, sources, weights.expand(side, -1).contiguous())
    return matrix.to(like)
