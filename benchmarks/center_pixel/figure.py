"""The figure of :mod:`benchmarks.center_pixel`: a heat table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.center_pixel.report import CenterFinding, Table, ordered
from captum_ext.study import StudyResults
from captum_ext.visualize.style import FAINT, INK, write_title

# Inches: a row and a column of the heat table, the names, the passes, head and foot.
_ROW, _COLUMN, _NAMES, _PASSES, _HEAD, _FOOT, _GAP = 0.21, 0.52, 1.75, 0.75, 0.8, 0.62, 0.14


def draw(
    results: StudyResults, table: Table, sizes: Sequence[int], outputs: Sequence[str]
) -> Figure:
    """The center's share by method, output and size: a panel for each output."""
    names = ordered(list(results.methods), table)
    panel, tall = _COLUMN * len(sizes), _ROW * len(names)
    right = _NAMES + len(outputs) * (panel + _GAP)
    width, height = right + _PASSES, _HEAD + tall + _FOOT
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    title = "Only the center pixel decides. How much of the attribution does it get?"
    write_title(figure, title, 0.1, 0.1, 9.5)
    for number, output in enumerate(outputs):
        left = _NAMES + number * (panel + _GAP)
        axes = figure.add_axes((left / width, _FOOT / height, panel / width, tall / height))
        _draw_panel(axes, [[table.get((name, output, size)) for size in sizes] for name in names])
        axes.set_xticks(np.arange(len(sizes)) + 0.5, list(map(str, sizes)), fontsize=7, color=INK)
        axes.set_title(output.replace("_", "-"), fontsize=8.5, color=INK, pad=17)
        titles = [results.methods[name] for name in names] if number == 0 else []
        axes.set_yticks(np.arange(len(titles)) + 0.5, titles, fontsize=7, color=INK)
    top = height - _HEAD
    figure.text(right / width, (top + 0.05) / height, "passes", fontsize=7, color=INK, va="bottom")
    for row, name in enumerate(names):
        # At the largest size that a method can take.
        own = {size: f.passes for (method, _, size), f in table.items() if method == name and f.n}
        text = f"{own[max(own)]:,.0f}" if own else "-"
        y = top - (row + 0.53) * _ROW
        figure.text(right / width, y / height, text, fontsize=6.5, color=INK, va="center")
    _draw_scale(figure, width, height, len(results.images))
    return figure


def _draw_panel(axes: Axes, rows: Sequence[Sequence[CenterFinding | None]]) -> None:
    values = [[found.share if found else np.nan for found in row] for row in rows]
    axes.pcolormesh(
        np.ma.masked_invalid(values), cmap="YlGn", vmin=0, vmax=1, edgecolors="white", linewidth=1.2
    )
    for y, row in enumerate(rows):
        for x, found in enumerate(row):
            text, color = "·", FAINT
            if found is not None:
                text, color = "×", INK
                if found.n:
                    text = f"{found.hits}/{found.n}"
                    color = "white" if found.share > 0.6 else INK if found.hits else "#8a8a8a"
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=6, color=color)
    axes.set_ylim(len(rows), 0)
    axes.tick_params(length=0, labelbottom=False, labeltop=True, pad=2)
    axes.spines[:].set_visible(False)


def _draw_scale(figure: Figure, width: float, height: float, n_images: int) -> None:
    axes = figure.add_axes((0.1 / width, 0.3 / height, 1.2 / width, 0.1 / height))
    axes.imshow([np.linspace(0, 1, 100)], cmap="YlGn", aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"], fontsize=6.5, color=INK)
    axes.set_yticks([])
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_edgecolor(FAINT)
    figure.text(
        1.5 / width,
        0.4 / height,
        f"color: the center's share of |attribution|, mean of {n_images} images; figures: hits "
        "(a share above one half)\n"
        "columns: pixels of a side; × cannot; · explains another output; passes: at the largest "
        "size\nthe logit depends on all pixels: a low share is no error there",
        fontsize=6.5,
        color=INK,
        va="center",
        linespacing=1.35,
    )
