"""Inpainting: fill removed segments from the pixels around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from captum_ext.checks import check_choice, check_int
from captum_ext.perturbation.segments.perturbers import Fill, Perturber
from captum_ext.randomness import GeneratorLike

BYTES = 255
#: The largest neighborhood that is looked at.
MOST_RADIUS = 1000
METHODS = ("telea", "navier-stokes", "biharmonic")


class Inpaint(Perturber):
    """Fills what is removed from what surrounds it.

    A pixel counts as removed where less than half of it is to be kept, so soft edges become hard.
    Where nothing is kept, there is nothing to fill from, and the image's mean color stands in. The
    work is done on the CPU, one image after the other. OpenCV fills in 256 levels over the image's
    range (the published version gives the whole image as bytes from 0 to 255).

    Args:
        method: ``"telea"`` or ``"navier-stokes"`` (OpenCV; ``pip install 'captum_ext[inpaint]'``),
            or ``"biharmonic"`` (scikit-image, slow where much is removed).
        radius: of the neighborhood that OpenCV looks at, in pixels.

    Raises:
        ValueError: an unknown method, a radius below 1.
        ImportError: OpenCV is needed and missing.

    Source: Telea, 2004; Bertalmio et al., CVPR 2001; Damelin and Hoang, 2018.

    Example:
        >>> image = torch.full((3, 8, 8), 0.5, dtype=torch.float64)
        >>> masks = torch.ones(1, 8, 8)
        >>> masks[0, 3:5, 3:5] = 0
        >>> bool((Inpaint("biharmonic")(image, masks) - 0.5).abs().max() < 1e-6)
        True
    """

    def __init__(self, method: str = "telea", radius: int = 3) -> None:
        self.method = check_choice(method, "method", METHODS)
        self.radius = check_int(radius, "radius", minimum=1, maximum=MOST_RADIUS)
        if method != "biharmonic":
            _opencv()

    def start(self, image: Tensor, n_samples: int, generator: GeneratorLike = None) -> Fill:
        channels = image.detach().cpu().double().numpy()
        mean = image.flatten(1).mean(1)[:, None, None].expand_as(image)
        inpaint = _biharmonic if self.method == "biharmonic" else self._with_opencv

        def one(kept: Tensor) -> Tensor:
            if not kept.any():
                return mean
            if kept.all():
                return image
            filled = torch.from_numpy(inpaint(channels, ~kept.cpu().numpy())).to(image)
            return torch.where(kept, image, filled)

        return lambda rows, masks: torch.stack([one(each) for each in masks >= 0.5])

    def _with_opencv(self, channels: np.ndarray, removed: np.ndarray) -> np.ndarray:
        cv2 = _opencv()
        flag = cv2.INPAINT_TELEA if self.method == "telea" else cv2.INPAINT_NS
        # In bytes: what OpenCV adds along a gradient is about one unit, whatever the range.
        low, reach = channels.min(), np.ptp(channels) or 1.0
        planes = np.round((channels - low) / reach * BYTES).astype(np.uint8)
        hole = removed.astype(np.uint8)
        filled = [cv2.inpaint(np.ascontiguousarray(p), hole, self.radius, flag) for p in planes]
        return np.stack(filled) / BYTES * reach + low

    def __repr__(self) -> str:
        return f"Inpaint({self.method!r}, radius={self.radius})"


def _biharmonic(channels: np.ndarray, removed: np.ndarray) -> np.ndarray:
    return np.asarray(inpaint_biharmonic(channels, removed, channel_axis=0))


def _opencv() -> Any:
    try:
        import cv2  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "inpainting by telea or navier-stokes needs OpenCV: pip install 'captum_ext[inpaint]'"
        ) from error
    return cv2
