"""A heat map laid over a picture, pixel by pixel: an image, not a figure."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import Colormap
from torch import Tensor

from captum_ext.checks import check_inputs, check_number
from captum_ext.visualize.heat_map import SIGNED_COLORS, check_image

#: The color map of unsigned maps.
COLORS = "turbo"
#: Rows that are blended at a time: the parts of all would take four times the picture's memory.
_ROWS = 256


def intensity(attribution: Tensor, *, signed: bool = False, outlier_perc: float = 0.0) -> Tensor:
    """One number for each pixel: how strong an attribution is there.

    Args:
        attribution: ``[C, H, W]``, or ``[H, W]``.
        signed: the sum over channels, divided by the largest magnitude: in [-1, 1]. Otherwise the
            sum of magnitudes, moved and stretched to [0, 1].
        outlier_perc: percentage of the pixels, those with the largest magnitudes, that share the
            ends of the scale.

    Returns:
        ``[H, W]`` in float32; zero everywhere, where the attribution is the same everywhere.

    Raises:
        ValueError: values that are not finite, another shape, an impossible percentage.

    Example:
        >>> intensity(torch.tensor([[[1.0, -3.0]], [[0.0, 1.0]]]))
        tensor([[0., 1.]])
        >>> intensity(torch.tensor([[[1.0, -3.0]], [[0.0, 1.0]]]), signed=True)
        tensor([[ 0.5000, -1.0000]])
    """
    check_inputs(attribution, "attribution")
    if attribution.dim() not in (2, 3):
        raise ValueError(
            f"attribution must be [C, H, W] or [H, W]; got shape {tuple(attribution.shape)}"
        )
    check_drawing(outlier_perc=outlier_perc)
    values = attribution.detach().cpu()
    planes = values if values.dim() == 3 else values[None]
    # In place from here on: a map may be as large as a photograph.
    shown = torch.zeros(planes.shape[1:], dtype=torch.float64)
    for plane in planes:
        shown += plane if signed else plane.abs()
    if not signed:
        shown -= shown.min()
    bound = float(np.quantile(shown.abs().numpy(), 1 - outlier_perc / 100)) if outlier_perc else 0.0
    # Where nearly all is zero, the largest value: to share the scale's end, it must be there.
    bound = bound or max(map(abs, map(float, shown.aminmax())))
    if bound:
        shown.div_(bound).clamp_(-1 if signed else 0, 1)
    return shown.float()


def overlay(
    image: Tensor,
    attribution: Tensor,
    *,
    signed: bool = False,
    cmap: str | Colormap | None = None,
    alpha: float = 0.5,
    outlier_perc: float = 0.0,
    gray: bool = True,
    seen: tuple[int, int, int, int] | None = None,
) -> Tensor:
    """A heat map blended over a picture.

    Args:
        image: ``[3, H, W]``, RGB in [0, 1], or ``[1, H, W]``, gray.
        attribution: ``[C, H, W]`` or ``[H, W]``; see :func:`intensity`.
        signed: red for the class, blue against it, in place of magnitudes.
        cmap: matplotlib's color map, or its name; None: turbo, or red-blue where signed.
        alpha: of the map, from 0 (the image only) to 1 (the map only).
        outlier_perc: see :func:`intensity`.
        gray: the picture is shown gray, so that all color is the map's: on brown fur, the lowest
            color of turbo would look like the highest.
        seen: the part of the picture that was explained: top, bottom, left, right. The rest is left
            gray and pale.

    Returns:
        ``[3, H, W]``, RGB in [0, 1].

    Raises:
        ValueError: shapes that do not fit, values that are not finite, an unknown ``cmap``,
            ``alpha`` outside [0, 1].

    Example:
        >>> overlay(torch.zeros(3, 1, 2), torch.tensor([[0.0, 1.0]]), alpha=1.0)[:, 0].shape
        torch.Size([3, 2])
    """
    pixels = check_image(image).detach().cpu().float().expand(3, -1, -1)
    check_drawing(alpha=alpha, cmap=cmap)
    shown = intensity(attribution, signed=signed, outlier_perc=outlier_perc)
    if shown.shape != pixels.shape[1:]:
        raise ValueError(
            f"attribution must have the image's {tuple(pixels.shape[1:])} pixels; got "
            f"{tuple(shown.shape)}"
        )
    colors = colors_of(cmap, signed=signed)
    table = torch.from_numpy(colors(np.arange(colors.N)))[:, :3].float()
    whole = torch.empty_like(pixels, memory_format=torch.contiguous_format)
    for start in range(0, len(shown), _ROWS):
        rows = slice(start, start + _ROWS)
        place = (shown[rows] + 1) / 2 if signed else shown[rows]
        painted = table[(place * colors.N).long().clamp(max=colors.N - 1)].movedim(-1, 0)
        plain = pixels[:, rows].mean(0, keepdim=True).expand(3, -1, -1)
        blended = (1 - alpha) * (plain if gray else pixels[:, rows]) + alpha * painted
        if seen is not None:
            top, bottom, left, right = seen
            upper, lower = max(top - start, 0), max(bottom - start, 0)
            pale = 0.5 + 0.5 * plain
            pale[:, upper:lower, left:right] = blended[:, upper:lower, left:right]
            blended = pale
        whole[:, rows] = blended
    return whole


def colors_of(cmap: str | Colormap | None, *, signed: bool) -> Colormap:
    """The color map of a name; turbo where there is none, or red-blue where signed.

    Example:
        >>> colors_of(None, signed=False).name
        'turbo'
    """
    if cmap is None:
        cmap = SIGNED_COLORS if signed else COLORS
    return colormaps[cmap] if isinstance(cmap, str) else cmap


def check_drawing(
    *, alpha: float = 0.5, cmap: str | Colormap | None = None, outlier_perc: float = 0.0
) -> None:
    """Refuses settings of :func:`overlay` before there is anything to draw.

    Raises:
        TypeError, ValueError: it names the setting.

    Example:
        >>> check_drawing(alpha=2)
        Traceback (most recent call last):
        ...
        ValueError: alpha must be at least 0 and at most 1; got 2
    """
    check_number(alpha, "alpha", low=0, high=1)
    check_number(outlier_perc, "outlier_perc", low=0, high=100)
    if isinstance(cmap, str) and cmap not in colormaps:
        raise ValueError(f"cmap must be a color map of matplotlib; got {cmap!r}")
