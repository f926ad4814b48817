"""The curves of the occlusion metrics: the model's output as more and more is removed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from torch import Tensor

from captum_ext.metrics.occlusion import OcclusionCurves
from captum_ext.visualize.style import FAINT, INK

#: Colors that color-blind readers can distinguish (Okabe and Ito, 2008, without yellow and black).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LIF, _MIF = "least relevant first (LIF)", "most relevant first (MIF)"
_ERROR = "± standard error"
# How opaque the bands are (more so of one method alone), and the area between its curves.
_BAND, _BAND_OF_ONE, _AREA = 0.12, 0.25, 0.1


def curves_figure(
    curves: OcclusionCurves | Mapping[str, OcclusionCurves],
    *,
    ylabel: str = "output",
    title: str | None = None,
) -> Figure:
    """The occlusion curves of one or several methods, with their symmetric relevance gain.

    For each method, in its own color, the mean over the batch with a band of its standard
    error: solid as the least relevant is removed first, dashed as the most relevant is. The area
    between the two is shaded where there is one method only.

    Args:
        curves: of one method, or of several by their titles. Examples whose curves are not finite,
            as :meth:`OcclusionCurves.normalized` makes them, are left out.
        ylabel: what the output is.
        title: of the figure.

    Returns:
        The figure.

    Raises:
        TypeError: something else than curves.
        ValueError: no method; curves that are not ``[B, K]`` with at least two points; a method
            without an example whose curves are finite.

    Example:
        >>> curves = OcclusionCurves(torch.tensor([[1.0, 0.8, 0.0]]), torch.tensor([[1, 0.2, 0.0]]))
        >>> figure = curves_figure({"RISE": curves, "LIME": curves}, ylabel="probability")
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()][:2]
        ['RISE: SRG 0.200', 'LIME: SRG 0.200']
    """
    figure = Figure(figsize=(6.2, 3.4), dpi=100, facecolor="white", layout="constrained")
    axes = figure.subplots()
    draw_curves(axes, curves, ylabel=ylabel)
    if title:
        axes.set_title(title, fontsize=11, color=INK, loc="left")
    return figure


def draw_curves(
    axes: Axes, curves: OcclusionCurves | Mapping[str, OcclusionCurves], *, ylabel: str = "output"
) -> None:
    """Draws occlusion curves into given axes, with their legend at the right.

    Args:
        axes: where to draw.
        curves, ylabel: as of :func:`curves_figure`.

    Raises:
        TypeError, ValueError: as :func:`curves_figure`.

    Example:
        >>> curves = OcclusionCurves(torch.tensor([[1.0, 0.8, 0.0]]), torch.tensor([[1, 0.2, 0.0]]))
        >>> axes = Figure().subplots()
        >>> draw_curves(axes, curves)
        >>> [line.get_linestyle() for line in axes.lines]
        ['-', '--']
    """
    methods = _check_curves(curves)
    band = _BAND_OF_ONE if len(methods) == 1 else _BAND
    for both, color in zip(methods.values(), _colors(len(methods)), strict=True):
        part = np.linspace(0, 1, both.lif.shape[1])
        least = _draw_curve(axes, part, both.lif, band, color=color, linestyle="-")
        most = _draw_curve(axes, part, both.mif, band, color=color, linestyle="--")
        if len(methods) == 1:
            axes.fill_between(part, least, most, color=color, alpha=_AREA, linewidth=0)
    _dress(axes, ylabel)
    axes.legend(
        handles=_legend(methods),
        title=next(iter(methods)) or None if len(methods) == 1 else None,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        frameon=False,
        fontsize=8,
        title_fontsize=8,
        alignment="left",
        labelcolor=INK,
    )


def _draw_curve(
    axes: Axes, part: np.ndarray, curve: Tensor, band: float, color: str, linestyle: str
) -> np.ndarray:
    mean = curve.mean(0).numpy()
    axes.plot(part, mean, color=color, linestyle=linestyle, linewidth=1.6)
    if len(curve) > 1:
        error = (curve.std(0) / len(curve) ** 0.5).numpy()
        axes.fill_between(part, mean - error, mean + error, color=color, alpha=band, linewidth=0)
    return np.asarray(mean)


def _dress(axes: Axes, ylabel: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_xlabel("part removed", fontsize=9, color=INK)
    axes.set_ylabel(ylabel, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, labelcolor=INK, color=FAINT, width=0.6)
    axes.grid(color=FAINT, linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set(edgecolor=FAINT, linewidth=0.6)


def _legend(methods: Mapping[str, OcclusionCurves]) -> list[Artist]:
    """One method's name is the legend's title; colors distinguish several methods."""
    colors = _colors(len(methods))
    gains = [_gain(both) for both in methods.values()]
    one = len(methods) == 1
    shared = colors[0] if one else INK
    entries: list[Artist] = [
        Line2D([], [], color=shared, linewidth=1.6, linestyle="-", label=_LIF),
        Line2D([], [], color=shared, linewidth=1.6, linestyle="--", label=_MIF),
    ]
    if any(len(both.lif) > 1 for both in methods.values()):
        entries.append(Patch(color=shared, alpha=_BAND_OF_ONE, linewidth=0, label=_ERROR))
    if one:
        return [*entries, Patch(color=shared, alpha=_AREA, linewidth=0, label=gains[0])]
    names = [
        Line2D([], [], color=color, linewidth=3, label=f"{title}: {gain}")
        for title, color, gain in zip(methods, colors, gains, strict=True)
    ]
    return [*names, *entries]


def _gain(curves: OcclusionCurves) -> str:
    # The minus of the axes' numbers, which is longer than a hyphen.
    return f"SRG {(curves.lif - curves.mif).mean().item():.3f}".replace("-", "\N{MINUS SIGN}")


def _colors(count: int) -> list[str]:
    if count <= len(COLORS):
        return list(COLORS[:count])
    return [to_hex(colormaps["turbo"](position)) for position in np.linspace(0.05, 0.95, count)]


def _check_curves(
    curves: OcclusionCurves | Mapping[str, OcclusionCurves],
) -> dict[str, OcclusionCurves]:
    """The curves of each method, of the examples that have finite ones, in float64."""
    methods = {"": curves} if isinstance(curves, OcclusionCurves) else curves
    if not isinstance(methods, Mapping):
        raise TypeError(
            f"curves must be OcclusionCurves or a dict of them; got {type(curves).__name__}"
        )
    if not methods:
        raise ValueError("curves must hold at least one method; got none")
    return {str(title): _check_method(title, both) for title, both in methods.items()}


def _check_method(title: str, curves: OcclusionCurves) -> OcclusionCurves:
    name = f"curves of {title!r}" if title else "curves"
    if not isinstance(curves, OcclusionCurves):
        raise TypeError(f"{name} must be OcclusionCurves; got {type(curves).__name__}")
    for each in curves:
        if not isinstance(each, Tensor):
            raise TypeError(f"{name} must hold tensors; got {type(each).__name__}")
    shapes = [tuple(each.shape) for each in curves]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] < 2:
        raise ValueError(
            f"{name} must both be [B, K] with at least 2 points; got shapes {shapes[0]} and "
            f"{shapes[1]}"
        )
    least, most = (each.detach().cpu().double() for each in curves)
    finite = torch.isfinite(least + most).all(1)
    if not finite.any():
        raise ValueError(f"{name} must be finite for at least one example; got none")
    return OcclusionCurves(least[finite], most[finite])
