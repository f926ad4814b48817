"""Images for the exam: photographs turned gray, resized and rounded to gray levels, or noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from skimage.color import rgb2gray
from skimage.transform import resize
from torch import Tensor

from captum_ext.checks import check_int
from captum_ext.choices import EXAM_IMAGES as IMAGES
from captum_ext.exam.center_pixel import WHITE
from captum_ext.image_files import read_image


def gray_levels(source: str | Path, size: int, n_classes: int = 256, seed: int = 0) -> Tensor:
    """An image whose every pixel is one of ``n_classes`` gray levels.

    Args:
        source: ``"random"`` (each pixel uniform over the levels), ``"astronaut"``, ``"chelsea"``,
            ``"coffee"``, ``"rocket"``, or the path of an image file.
        size: height and width in pixels; the image is resized, not cropped.
        n_classes: number of levels; level c is the value c / 255.
        seed: of the random image.

    Returns:
        ``[1, 1, size, size]`` in float64.

    Raises:
        ValueError: see :func:`captum_ext.image_files.read_image`.

    Example:
        >>> gray_levels("chelsea", 9).shape
        torch.Size([1, 1, 9, 9])
    """
    check_int(size, "size", minimum=3)
    if source == "random":
        levels = np.random.default_rng(seed).integers(0, n_classes, (size, size))
    else:
        return as_gray_levels(read_image(source), size, n_classes)
    return torch.from_numpy(levels / WHITE)[None, None]


def as_gray_levels(image: Tensor, size: int, n_classes: int = 256) -> Tensor:
    """A picture whose every pixel is one of ``n_classes`` gray levels.

    Args:
        image: ``[3, H, W]`` or ``[1, H, W]`` in [0, 1].
        size, n_classes: as of :func:`gray_levels`.

    Returns:
        ``[1, 1, size, size]`` in float64.

    Example:
        >>> as_gray_levels(torch.ones(3, 8, 8), 3).unique() * 255
        tensor([255.], dtype=torch.float64)
    """
    pixels = image.detach().cpu().double().movedim(0, -1).numpy()
    gray = rgb2gray(pixels) if pixels.shape[-1] == 3 else pixels[..., 0]
    small = resize(gray, (size, size), anti_aliasing=True)
    return torch.from_numpy(np.rint(np.clip(small, 0, 1) * (n_classes - 1)) / WHITE)[None, None]


def set_center(image: Tensor, level: int, n_classes: int = 256) -> Tensor:
    """A copy of ``image [B, 1, D, D]`` with gray level ``level`` at the center.

    Raises:
        ValueError: ``level`` is not below ``n_classes``.

    Example:
        >>> set_center(torch.zeros(1, 1, 3, 3), 51)[0, 0, 1, 1].item()  # doctest: +ELLIPSIS
        0.2...
    """
    if check_int(level, "center_value", minimum=0) >= n_classes:
        raise ValueError(f"center_value must be below {n_classes}; got {level}")
    result = image.clone()
    result[..., image.shape[-2] // 2, image.shape[-1] // 2] = level / WHITE
    return result


def exam_images(
    source: str | Path,
    n_images: int,
    size: int,
    n_classes: int = 256,
    center_value: int | None = None,
    seed: int = 0,
    relevant: Tensor | None = None,
) -> Tensor:
    """Images to examine methods on: the wanted one first, then others with random intensities.

    Args:
        source: of the first image, see :func:`gray_levels`.
        n_images: how many; the others take turns among :data:`IMAGES`, and their relevant pixels
            get gray levels drawn evenly.
        size: height and width in pixels.
        n_classes: number of gray levels.
        center_value: the first image's center; None leaves it as photographed.
        seed: of the random images and intensities.
        relevant: the pixels that the examined model looks at, its ``ground_truth()``: bool
            ``[1, 1, size, size]``. None takes the center.

    Returns:
        ``[n_images, 1, size, size]`` in float64.

    Raises:
        ValueError: no image, sizes or levels out of range, or a source that cannot be read.

    Example:
        >>> exam_images("coffee", 3, size=9).shape
        torch.Size([3, 1, 9, 9])
    """
    check_int(n_images, "n_images", minimum=1)
    first = gray_levels(source, size, n_classes, seed)
    if center_value is not None:
        first = set_center(first, center_value, n_classes)
    if relevant is None:
        relevant = torch.zeros(first.shape, dtype=torch.bool)
        relevant[..., size // 2, size // 2] = True
    elif relevant.shape != first.shape:
        raise ValueError(
            f"relevant must be {tuple(first.shape)}, as an image; got {tuple(relevant.shape)}"
        )
    draws = np.random.default_rng([seed, 1])
    levels = draws.integers(0, n_classes, (n_images, int(relevant.sum()))) / WHITE
    images = [first]
    for index in range(1, n_images):
        image = gray_levels(IMAGES[index % len(IMAGES)], size, n_classes, seed + index)
        image[relevant] = torch.from_numpy(levels[index])
        images.append(image)
    return torch.cat(images)
