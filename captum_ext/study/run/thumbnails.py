"""Small pictures for a study's report."""

from __future__ import annotations

from io import BytesIO

from PIL import Image
from torch import Tensor

from captum_ext.visualize import intensity, overlay

#: Pixels of a side.
SIDE = 160
_QUALITY = 85


def picture_jpeg(seen: Tensor) -> bytes:
    """What a model sees, ``[C, h, w]`` in [0, 1], as a JPEG.

    Example:
        >>> import torch
        >>> picture_jpeg(torch.zeros(1, 4, 4))[:2].hex()
        'ffd8'
    """
    return _jpeg(seen.detach().cpu().float().expand(3, -1, -1))


def map_jpeg(seen: Tensor, attribution: Tensor) -> bytes:
    """A heat map of magnitudes over what a model sees, both ``[C, h, w]``, as a JPEG.

    The highest percent of the pixels share the scale's end, as PAIR draws its masks.
    """
    return _jpeg(overlay(seen, intensity(attribution, outlier_perc=1.0), alpha=0.6))


def _jpeg(image: Tensor) -> bytes:
    pixels = (image.clamp(0, 1) * 255).round().byte().movedim(0, -1).contiguous().numpy()
    picture = Image.fromarray(pixels)
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Of a few pixels each is to be seen.
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    stream = BytesIO()
    picture.resize(size, how).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
