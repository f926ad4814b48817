"""The figure of :mod:`benchmarks.smooth_edges`."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.smooth_edges.report import (
    ATTRIBUTER,
    Column,
    Line,
    by_column,
    edge_differences,
    level_differences,
    means,
    shown,
)
from captum_ext.study import StudyResults
from captum_ext.visualize.curves import COLORS
from captum_ext.visualize.style import FAINT, INK

STYLES = {
    "rise": (COLORS[0], "o"),
    "lime": (COLORS[1], "s"),
    "shap": (COLORS[2], "^"),
    "ciu": (COLORS[3], "D"),
    "pda": (COLORS[4], "v"),
}


def picture(results: StudyResults) -> Figure:
    """A column for each way to take SRG; from above: means, soft - hard, levels of factors."""
    gains = by_column(results)
    bands = [
        (means(gains), "SRG"),
        (edge_differences(gains), "SRG, soft − hard"),
        (level_differences(gains), "SRG, difference"),
    ]
    bands = [(lines, label) for lines, label in bands if lines]
    heights = [0.35 + _height(lines) for lines, _ in bands]
    figure = Figure(
        figsize=(1.5 + 1.45 * len(gains), 0.75 + sum(heights)),
        dpi=300,
        facecolor="white",
        layout="constrained",
    )
    axes = figure.subplots(
        len(bands),
        len(gains),
        sharex="row",
        sharey="row",
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )
    for row, (lines, label) in zip(axes, bands, strict=True):
        for place, column in zip(row, gains, strict=True):
            _draw(place, lines, column)
            place.tick_params(axis="y", length=2 if place is row[0] else 0)
            place.set_xlabel(label, fontsize=7, color=INK, labelpad=2)
    for place, column in zip(axes[0], gains, strict=True):
        title = f"per {column.per},\nocclusion: {column.occlusion}"
        place.set_title(title, fontsize=7.5, color=INK, pad=4)
    names = list(dict.fromkeys(line.attributer for line in bands[0][0]))
    handles = [
        Line2D([], [], linestyle="", marker=STYLES[name][1], color=STYLES[name][0], markersize=4)
        for name in names
    ]
    figure.legend(
        handles,
        [shown(ATTRIBUTER, name) for name in names],
        loc="outside upper center",
        ncols=len(names),
        frameon=False,
        fontsize=7.5,
        labelcolor=INK,
        title="means over photographs, 95 % intervals",
        title_fontproperties={"size": 7},
        handletextpad=0.2,
    )
    return figure


def _height(lines: Sequence[Line]) -> float:
    """In inches: lines of one label lie closer together."""
    return 0.12 * len(lines) + 0.08 * len({line.label for line in lines})


def _draw(axes: Axes, lines: Sequence[Line], column: Column) -> None:
    """Means and intervals, from above; lines of one label around its tick."""
    position, ticks = 0.0, {}
    for label in dict.fromkeys(line.label for line in lines):
        own = [line for line in lines if line.label == label]
        ticks[label] = position + (len(own) - 1) / 2
        for line in own:
            color, marker = STYLES.get(line.attributer, (INK, "o"))
            n, mean, low, high = line.cells[column]
            axes.errorbar(
                mean,
                position,
                xerr=[[mean - low], [high - mean]] if n > 1 else None,
                color=color,
                marker=marker,
                markersize=3.2,
                elinewidth=0.9,
            )
            position += 1
        position += 0.6
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_yticks(list(ticks.values()), [label.replace(" - ", " − ") for label in ticks])
    axes.set_ylim(position - 0.6, -1)
    axes.tick_params(labelsize=6.5, colors=INK, length=2, width=0.6)
    axes.grid(axis="x", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.locator_params(axis="x", nbins=4, steps=[1, 2, 5, 10])
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_edgecolor(FAINT)
        spine.set_linewidth(0.6)
