"""The exam's figure: the heat map of every method for one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from captum_ext.visualize.heat_map import draw_signed
from captum_ext.visualize.style import BAD, FAINT, GOOD, INK, bare

MOST_COLUMNS = 10
CROP = 5
# Inches: a heat map's column, a row with its captions, the side panels, the title, and what each
# more line of it takes.
_CELL, _ROW, _SIDE, _HEAD, _LINE = 1.3, 1.56, 2.2, 0.5, 0.2
# A frame's reach from its pixel, of the width, and at least, in pixels: wide enough to be seen.
_REACH, _LEAST_REACH = 0.06, 0.7
_FEW = 5
# As the heat maps' ends.
_POSITIVE, _NEGATIVE = "#b2182b", "#2166ac"


@dataclass(frozen=True)
class Panel:
    """One method's column in an exam figure.

    Args:
        title: the method's.
        heat_map: ``[1, D, D]``.
        right: whether the method is right, which decides the note's color; None: not judged.
        note: a line to write below.
        exact: ``[1, D, D]``, what its values should be; None: unknown.
    """

    title: str
    heat_map: Tensor
    right: bool | None
    note: str
    exact: Tensor | None = None


def exam_figure(
    image: Tensor,
    panels: Sequence[Panel],
    facts: Sequence[str],
    top_classes: Sequence[tuple[str, float]],
    title: str,
    relevant: Sequence[int] = (),
) -> Figure:
    """What every method says about one exam image.

    A column per method: above, its whole heat map with its range; below, the middle of it, or its
    values at given pixels. Each is scaled to its own extremes, as one usually sees a heat map,
    however small they are. At the left the image and the facts, at the right the model's top
    classes. Many methods wrap into several bands.

    Args:
        image: ``[1, D, D]`` in [0, 1].
        panels: one per method.
        facts: lines to write below the image.
        top_classes: class names with probabilities, highest first.
        title: of the figure.
        relevant: flat indices of pixels, which are marked; below each map are then its values
            there, beside the exact ones. None: its middle.

    Example:
        >>> import torch
        >>> image = torch.rand(1, 9, 9)
        >>> panel = Panel("Saliency", image, right=False, note="rank 3")
        >>> figure = exam_figure(image, [panel], ["level 4"], [("4", 0.9)], "Exam")
        >>> len(figure.axes)
        5
    """
    bands = max(1, -(-len(panels) // MOST_COLUMNS))
    columns = max(1, -(-len(panels) // bands))  # as many in each band, but for the last
    head = _HEAD + _LINE * title.count("\n")
    height = head + max(2 * bands * _ROW, 2 * _SIDE)
    figure = Figure(figsize=(2 * _SIDE + columns * _CELL, height), dpi=100, facecolor="white")
    figure.suptitle(
        title, x=0.012, y=1 - 0.12 / height, ha="left", va="top", fontsize=11, color=INK
    )
    outer = figure.add_gridspec(
        1,
        3,
        width_ratios=[_SIDE, columns * _CELL, _SIDE],
        left=0.012,
        right=0.99,
        top=1 - (head + 0.1) / height,
        bottom=0.25 / height,
        wspace=0.05,
    )
    sides = {"height_ratios": [_SIDE, height - head - _SIDE], "hspace": 0.02}
    _draw_facts(figure, outer[0].subgridspec(2, 1, **sides), image, facts)
    grid = outer[1].subgridspec(2 * bands, columns, hspace=0.38, wspace=0.1)
    for index, panel in enumerate(panels):
        band, column = divmod(index, columns)
        heat = panel.heat_map.detach().cpu().double().numpy()[0]
        above, below = (figure.add_subplot(grid[2 * band + row, column]) for row in (0, 1))
        _draw_whole(above, panel, heat)
        if relevant:
            pixels = list(relevant)
            _mark(above, pixels, heat.shape[1])
            exact = None if panel.exact is None else panel.exact.detach().cpu().flatten()[pixels]
            _draw_values(below, heat.flat[pixels], exact)
        else:
            _draw_middle(below, heat)
        color = INK if panel.right is None else GOOD if panel.right else BAD
        below.set_xlabel(panel.note, fontsize=6.5, color=color, labelpad=2)
    _draw_top_classes(figure, outer[2].subgridspec(2, 1, **sides), top_classes)
    return figure


def _draw_whole(axes: Axes, panel: Panel, heat: np.ndarray) -> None:
    draw_signed(axes, heat)
    axes.set_title(panel.title, fontsize=7.5, color=INK, pad=3)
    axes.set_xlabel(f"{heat.min():.1e} … {heat.max():.1e}", fontsize=6, color=INK, labelpad=2)


def _draw_middle(axes: Axes, heat: np.ndarray) -> None:
    row, col = heat.shape[0] // 2, heat.shape[1] // 2
    reach = min(CROP // 2, row, col, heat.shape[0] - row - 1, heat.shape[1] - col - 1)
    crop = heat[row - reach : row + reach + 1, col - reach : col + reach + 1]
    draw_signed(axes, crop)
    axes.add_patch(Rectangle((reach - 0.5, reach - 0.5), 1, 1, fill=False, edgecolor=INK))


def _mark(axes: Axes, pixels: Sequence[int], width: int) -> None:
    """Frames pixels, so that their color stays to be seen."""
    reach = max(_REACH * width, _LEAST_REACH)
    for pixel in pixels:
        row, col = divmod(pixel, width)
        corner = (col - reach, row - reach)
        frame = Rectangle(corner, 2 * reach, 2 * reach, fill=False, edgecolor=INK, linewidth=0.6)
        frame.set_clip_on(False)  # that of a pixel at the edge reaches out
        axes.add_patch(frame)


def _draw_values(axes: Axes, values: np.ndarray, exact: Tensor | None) -> None:
    """Bars beside the exact values; both scaled to the same length, as the agreement has it."""
    places = range(len(values))
    colors = [_POSITIVE if value > 0 else _NEGATIVE for value in values]
    axes.axhline(0, color=FAINT, linewidth=0.6)
    axes.bar(places, _normalized(values), color=colors, width=0.75)
    if exact is not None:
        axes.scatter(places, _normalized(exact.double().numpy()), s=7, color=INK, zorder=3)
    axes.set_ylim(-1.08, 1.08)
    axes.set_box_aspect(1)
    bare(axes)


def _normalized(values: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(values))
    return values / length if np.isfinite(length) and length > 0 else np.zeros_like(values)


def _draw_facts(figure: Figure, place: Any, image: Tensor, facts: Sequence[str]) -> None:
    axes = figure.add_subplot(place[0])
    axes.imshow(image[0].detach().cpu().numpy(), cmap="gray", vmin=0, vmax=1)
    bare(axes)
    axes.set_anchor("NW")
    text = figure.add_subplot(place[1])
    text.axis("off")
    text.text(0, 0.98, "\n".join(facts), fontsize=8, va="top", color=INK, linespacing=1.5)


def _draw_top_classes(figure: Figure, place: Any, top_classes: Sequence[tuple[str, float]]) -> None:
    axes = figure.add_subplot(place[0])
    positions = range(len(top_classes))
    axes.barh(positions, [value for _, value in top_classes], color="#7a9cc6", height=0.62)
    for position, (name, value) in enumerate(top_classes):
        axes.text(0.02, position, f"{name}: {value:.2g}", va="center", fontsize=7.5, color=INK)
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    if len(top_classes) < _FEW:
        axes.set_ylim(_FEW - 0.5, -0.5)  # two bars are no thicker than five
    axes.set_title("top classes", fontsize=8, color=INK, loc="left", pad=3)
    bare(axes)
    axes.spines[:].set_visible(False)
