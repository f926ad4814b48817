"""The figure of :mod:`benchmarks.growing_patch`: heat maps of one image, and SSIM over all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.growing_patch.cases import CONTROL
from benchmarks.growing_patch.figure_columns import FigureColumn
from benchmarks.growing_patch.report import Findings
from captum_ext.visualize.curves import COLORS
from captum_ext.visualize.style import BAD, FAINT, GOOD, INK, bare, write_title

# Inches: a picture, the methods' names, the chart's height, the title, captions, the legend.
_PICTURE, _NAMES, _CHART, _HEAD, _CAPTION, _LEGEND = 1.15, 1.35, 2.6, 0.6, 0.2, 1.9
_LEAST_CHART = 2.5
# Markers and colors of lines, no more than these: what changes most is the warmest.
_STYLES = list(product("os", (COLORS[1], COLORS[0], *COLORS[2:])))


def draw(
    columns: Sequence[FigureColumn], titles: Sequence[str], findings: Findings, fooled_below: float
) -> Figure:
    """Pictures, heat maps of some methods below them, and SSIM against the patch of all."""
    wide, rows = len(columns) * _PICTURE, ["what the model sees", *titles]
    chart = max(wide - _LEGEND, _LEAST_CHART)
    width = _NAMES + max(wide, chart + _LEGEND)
    height = _HEAD + len(rows) * (_PICTURE + _CAPTION) + _CHART + 0.75
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    tops = [height - _HEAD - row * (_PICTURE + _CAPTION) for row in range(len(rows))]
    for number, (column, area) in enumerate(zip(columns, [0, *findings.moved], strict=True)):
        side = 0.95 * _PICTURE
        left = (_NAMES + number * _PICTURE) / width
        grid = [
            figure.add_axes((left, (top - _PICTURE) / height, side / width, side / height))
            for top in tops
        ]
        _draw_column(grid, column)
        grid[0].set_title(f"{area:g} % gray" if area else "original", fontsize=8, color=INK, pad=3)
        if area:
            _write_captions(grid, column, fooled_below)
    for title, top in zip(rows, tops, strict=True):
        figure.text(
            (_NAMES - 0.1) / width,
            (top - 0.52 * _PICTURE) / height,
            title.replace(" ", "\n") if len(title) > 18 else title,
            fontsize=8,
            color=INK,
            ha="right",
            va="center",
        )
    axes = figure.add_axes((_NAMES / width, 0.5 / height, chart / width, _CHART / height))
    _draw_chart(axes, findings, fooled_below)
    title = "A gray patch grows, the score stays: which heat maps change?"
    write_title(figure, title, 0.1, 0.12, 10.5)
    return figure


def _draw_column(grid: Sequence[Axes], column: FigureColumn) -> None:
    for axes in grid:
        bare(axes)
    grid[0].imshow(column.picture, cmap="gray", vmin=0, vmax=1)
    for axes, heat in zip(grid[1:], column.maps, strict=True):
        if heat is not None:
            axes.imshow(heat, cmap="inferno", vmin=0, vmax=1)


def _write_captions(grid: Sequence[Axes], column: FigureColumn, fooled_below: float) -> None:
    captions = [(f"score moved {column.moved:.2f}", INK)]
    for ssim in column.ssim:
        color = BAD if ssim < fooled_below else GOOD
        captions.append(("nothing", INK) if np.isnan(ssim) else (f"SSIM {ssim:.2f}", color))
    for axes, (text, color) in zip(grid, captions, strict=True):
        axes.set_xlabel(text, fontsize=7, color=color, labelpad=2)


def _draw_chart(axes: Axes, findings: Findings, fooled_below: float) -> None:
    areas, fooled = list(findings.moved), findings.fooled(fooled_below)
    names = [name for name in reversed(findings.ordered()) if not np.isnan(findings.mean(name))]
    named = [name for name in names if name in fooled and name != CONTROL.name]
    styles = dict(zip(named, _STYLES, strict=False))
    for name in names:
        style: dict[str, Any] = {"color": FAINT, "linewidth": 1.0, "zorder": 1}
        if name in styles or name == CONTROL.name:
            style = {"linewidth": 1.4, "zorder": 2, "label": findings.methods[name]}
            if name == CONTROL.name:
                style |= {"color": INK, "linestyle": "--"}
            else:
                marker, color = styles[name]
                style |= {"color": color, "marker": marker, "markersize": 3}
        axes.plot([0, *areas], [1.0, *(found.ssim for found in findings.of(name))], **style)
    others = len(set(names) - {*styles, CONTROL.name})
    if others:
        axes.plot([], [], color=FAINT, label=f"{others} others")
    axes.axhline(fooled_below, color=FAINT, linestyle=":", linewidth=0.9, zorder=0)
    axes.set_xlabel("patch, percent of the image", fontsize=8, color=INK)
    axes.set_ylabel(
        f"SSIM to the original's map,\nmean of up to {max(findings.stays.values())} images",
        fontsize=8,
        color=INK,
    )
    axes.tick_params(labelsize=7.5, color=FAINT, labelcolor=INK)
    axes.set_xticks([0, *areas])
    axes.set_xlim(0, max(areas) * 1.02)
    axes.set_ylim(top=1.03)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_edgecolor(FAINT)
    axes.legend(
        fontsize=7,
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        title="those that change most first",
        title_fontsize=7,
        alignment="left",
    )
