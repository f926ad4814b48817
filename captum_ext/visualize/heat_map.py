"""Heat maps: over the image that they explain, or on their own.

Over an image, Captum's ``visualize_image_attr`` does the drawing. What it lacks is decided here:
which values the ends of the color map stand for, and what to draw of a map of zeros.

Captum clips outliers, which hides a single important pixel. By default, none are clipped here;
maps whose extremes matter are drawn on their own, on a symmetric red-blue scale.
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import visualization
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from torch import Tensor

from captum_ext.checks import check_choice, check_inputs, check_number
from captum_ext.visualize.style import FAINT, INK, bare

#: Red is evidence for the class, blue against it.
SIGNED_COLORS = "RdBu_r"
#: Captum's words for what is drawn of a map.
SIGNS = ("positive", "negative", "absolute_value", "all")
# Inches: the longer side of the image, a margin, the title, the color bar with its numbers, and
# the power of ten that may stand above it.
_SIDE, _MARGIN, _HEAD, _BAR, _EXPONENT = 4.0, 0.1, 0.35, 0.85, 0.12
# Where black lies on the gray scale from 0 to 255: dark parts would swallow the map's colors.
_BLACK = -85
# Percent. At exactly 0, rounding makes Captum look for more than the whole sum, and fail.
_NO_OUTLIERS = 1e-9


def heat_map_over_image(
    image: Tensor,
    attribution: Tensor,
    *,
    cmap: str | Colormap = "turbo",
    alpha: float = 0.5,
    sign: str | None = None,
    outlier_perc: float = 0.0,
    colorbar: bool = True,
    title: str | None = None,
) -> Figure:
    """A heat map over the image, which is gray and a little pale, so that all color is the map's.

    Args:
        image: ``[3, H, W]``, RGB in [0, 1], or ``[1, H, W]``, gray.
        attribution: ``[H, W]``, ``[1, H, W]`` or ``[C, H, W]``, of which the sum over channels is
            drawn; a map that is the same in all channels, as that of a perturbation method, counts
            once.
        cmap: matplotlib's color map, or its name.
        alpha: of the map, from 0 (the image only) to 1 (the map only).
        sign: what is drawn. None suits most: a map with both signs, as LIME's, is drawn with zero
            in the middle of the color map; one without, as RISE's, from its lowest to its highest
            value, which shows its differences however far from zero it lies. Or Captum's
            ``"all"`` (zero in the middle in any case), ``"positive"``, ``"negative"`` or
            ``"absolute_value"`` (each from zero).
        outlier_perc: the largest values that hold this percentage of the map's sum share the last
            color, as in Captum; 0 clips none.
        colorbar: whether to draw the scale, in the attribution's units.
        title: to write above.

    Returns:
        The figure.

    Raises:
        TypeError: no tensors, no numbers.
        ValueError: shapes that do not fit, values that are not finite, colors outside [0, 1],
            an unknown ``cmap`` or ``sign``, ``alpha`` outside [0, 1], ``outlier_perc`` outside
            [0, 100).

    Example:
        >>> image, attribution = torch.rand(3, 8, 8), torch.randn(3, 8, 8)
        >>> figure = heat_map_over_image(image, attribution, title="LIME")
        >>> [artist.get_alpha() for artist in figure.axes[0].images]
        [None, 0.5]
    """
    height, width = check_image(image).shape[-2:]
    head = _HEAD if title else _EXPONENT if colorbar else 0.0
    figure, axes = _sized(width, height, head, _BAR if colorbar else 0.0)
    draw_heat_map_over_image(
        axes,
        image,
        attribution,
        cmap=cmap,
        alpha=alpha,
        sign=sign,
        outlier_perc=outlier_perc,
        colorbar=colorbar,
    )
    if title:
        axes.set_title(title, fontsize=11, color=INK)
    return figure


def draw_heat_map_over_image(
    axes: Axes,
    image: Tensor,
    attribution: Tensor,
    *,
    cmap: str | Colormap = "turbo",
    alpha: float = 0.5,
    sign: str | None = None,
    outlier_perc: float = 0.0,
    colorbar: bool = False,
) -> ScalarMappable:
    """Draws a heat map over the image into given axes, for grids of pictures.

    Args:
        axes: where to draw.
        image, attribution, ...: as of :func:`heat_map_over_image`.
        colorbar: whether to draw the scale at the right of the axes.

    Returns:
        The scale: its color map, and the values at the ends of it.

    Raises:
        TypeError, ValueError: as :func:`heat_map_over_image`.

    Example:
        >>> attribution = torch.tensor([[0.0, 0.25, 1.0]])
        >>> scale = draw_heat_map_over_image(Figure().subplots(), torch.rand(3, 1, 3), attribution)
        >>> scale.get_clim()
        (0.0, 1.0)
    """
    pixels = check_image(image).detach().movedim(0, -1).cpu().double().numpy()
    values = _check_attribution(attribution, image)
    alpha = check_number(alpha, "alpha", low=0, high=1)
    outlier_perc = check_number(outlier_perc, "outlier_perc", low=0, high=100)
    if outlier_perc == 100:
        raise ValueError("outlier_perc must be below 100 to leave any value; got 100")
    offset = 0.0
    if sign is None:
        sign = "all" if values.min() < 0 < values.max() else "positive"
        offset = float(values.min()) if sign == "positive" else 0.0
    bound = _draw_blended(
        axes,
        pixels,
        values - offset,
        sign=check_choice(sign, "sign", SIGNS),
        cmap=cmap,
        alpha_overlay=alpha,
        outlier_perc=max(outlier_perc, _NO_OUTLIERS),
    )
    drawn = axes.images[-1]
    colors = drawn.cmap
    low, high = offset - bound if sign == "all" else offset, offset + bound
    if sign == "negative":
        # Captum's scale goes from zero down; a color bar's goes up.
        low, high, colors = -bound, 0.0, colors.reversed()
    scale = ScalarMappable(Normalize(low, high), colors)
    if colorbar:
        _draw_bar(axes, scale)
    return scale


def draw_signed(axes: Axes, values: Tensor | np.ndarray) -> None:
    """Draws one heat map on a symmetric red-blue scale; white is zero.

    Args:
        axes: where to draw.
        values: ``[H, W]``.

    Example:
        >>> axes = Figure().subplots()
        >>> draw_signed(axes, np.array([[-1.0, 2.0]]))
        >>> axes.images[0].get_clim() == (-2.0, 2.0)
        True
    """
    array = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    bound = float(np.abs(array[np.isfinite(array)]).max(initial=0.0)) or 1.0
    axes.imshow(array, cmap=SIGNED_COLORS, vmin=-bound, vmax=bound, interpolation="nearest")
    bare(axes)


def _sized(width: int, height: int, head: float, bar: float) -> tuple[Figure, Axes]:
    """A figure for one picture, with room above and at the right, in inches."""
    scale = _SIDE / max(width, height)
    wide, high = max(width * scale, 1), max(height * scale, 1)
    total_wide, total_high = wide + 2 * _MARGIN + bar, high + 2 * _MARGIN + head
    figure = Figure(figsize=(total_wide, total_high), dpi=100, facecolor="white")
    left, bottom = _MARGIN / total_wide, _MARGIN / total_high
    return figure, figure.add_axes((left, bottom, wide / total_wide, high / total_high))


def _draw_blended(
    axes: Axes, pixels: np.ndarray, values: np.ndarray, *, sign: str, **settings: object
) -> float:
    """Has Captum draw; gives the absolute value that the last color stands for."""
    shown = {
        "positive": values.clip(min=0),
        "negative": values.clip(max=0),
        "absolute_value": np.abs(values),
        "all": values,
    }[sign]
    highest = float(np.abs(shown).max())
    # Captum refuses a map of zeros, and warns of one that is close: it sees one scaled to 1.
    scaled = shown / highest if highest else np.full_like(shown, -1 if sign == "negative" else 1)
    visualization.visualize_image_attr(
        scaled,
        pixels,
        method="blended_heat_map",
        sign=sign,
        plt_fig_axis=(axes.figure, axes),
        use_pyplot=False,
        **settings,
    )
    gray, drawn = axes.images[-2:]
    # Otherwise a dim image would be drawn with the contrast of a bright one.
    gray.set_clim(_BLACK, 255)
    bare(axes)
    if not highest:
        drawn.set_data(np.zeros_like(shown))
        return 1.0
    at_the_end = np.abs(np.asarray(drawn.get_array())) == 1
    return float(np.abs(shown)[at_the_end].min())


def _draw_bar(axes: Axes, scale: ScalarMappable) -> None:
    # An inset is as high as the picture, whatever its shape; its width goes by the longer side.
    left, right, bottom, top = axes.images[-1].get_extent()
    unit = max(1.0, (bottom - top) / (right - left))
    place = axes.inset_axes((1 + 0.03 * unit, 0.0, 0.04 * unit, 1.0))
    formatter = ScalarFormatter()
    formatter.set_powerlimits((-3, 4))
    bar = axes.figure.colorbar(scale, cax=place, format=formatter)
    bar.outline.set_edgecolor(FAINT)
    bar.outline.set_linewidth(0.6)
    place.tick_params(labelsize=7.5, labelcolor=INK, color=FAINT, width=0.6, length=3)
    place.yaxis.get_offset_text().set(fontsize=7, color=INK)


def check_image(image: Tensor, name: str = "image") -> Tensor:
    """An image that can be drawn.

    Raises:
        TypeError: no tensor.
        ValueError: neither RGB nor gray, values that are not finite or not in [0, 1].

    Example:
        >>> check_image(torch.ones(3, 2, 2)).shape
        torch.Size([3, 2, 2])
    """
    check_inputs(image, name)
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"{name} must be [3, H, W] or [1, H, W]; got shape {tuple(image.shape)}")
    low, high = image.min().item(), image.max().item()
    if low < 0 or high > 1:
        raise ValueError(f"{name} must be in [0, 1]; got values from {low:g} to {high:g}")
    return image


def _check_attribution(attribution: Tensor, image: Tensor) -> np.ndarray:
    """``[H, W]`` in float64."""
    check_inputs(attribution, "attribution")
    height, width = image.shape[-2:]
    channels = attribution.shape[0] if attribution.dim() == 3 else 1
    if (
        attribution.dim() not in (2, 3)
        or attribution.shape[-2:] != image.shape[-2:]
        or channels not in (1, image.shape[0])
    ):
        raise ValueError(
            f"attribution must be [{height}, {width}], or that with one channel or the image's "
            f"{image.shape[0]}; got shape {tuple(attribution.shape)}"
        )
    planes = attribution.detach().reshape(channels, height, width).cpu().to(torch.float64)
    same = bool((planes == planes[:1]).all())
    return np.asarray(planes[0] if same else planes.sum(0))
