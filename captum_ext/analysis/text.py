"""Who leads a study, as text for a terminal."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from captum_ext.analysis.leaderboard import ALPHA, Analysis, Cost, Place, Standing
from captum_ext.analysis.results import Direction
from captum_ext.analysis.statistics import SINGLE_PRECISION, fewest_images
from captum_ext.results import aligned

#: Characters of a table's line, beyond which it goes on in a second table.
WIDTH = 140
MARKS: dict[Place, str] = {"best": "*", "among the best": "+", "": " "}
ARROWS: dict[Direction, str] = {"higher": " ↑", "lower": " ↓", "none": ""}


def format_leaderboard(analysis: Analysis) -> str:
    """The standings as text, for each model a table and what to know about it.

    Methods are sorted by the first metric that has a direction. A table that is wider than
    :data:`WIDTH` goes on in a second one.

    Example:
        >>> standing = Standing(
        ...     *("net", "ig", "IG", "gain", "higher", 9, 0, 0, 0.5, 0.45, 0.55, 1.0, 9, "best", "")
        ... )
        >>> cost = Cost("net", "ig", 9, 50, 50, 0.25)
        >>> print(format_leaderboard(Analysis([standing], {}, {}, [cost], {}, 9, 0.95)))
        net
        <BLANKLINE>
        method  gain ↑               forward  backward  seconds
        ------  -------------------  -------  --------  -------
        IG      0.50 [0.45, 0.55] *       50        50     0.25
        ...
    """
    models = list(dict.fromkeys(each.model for each in analysis.standings))
    blocks = [_block(model, analysis) for model in models]
    return "\n\n".join("\n".join(lines) for lines in [*blocks, _legend(analysis)])


def _block(model: str, analysis: Analysis) -> list[str]:
    by_metric: dict[str, list[Standing]] = defaultdict(list)
    for each in analysis.standings:
        if each.model == model:
            by_metric[each.metric].append(each)
    tables = list(by_metric.values())
    ranked = next((table for table in tables if table[0].direction != "none"), tables[0])
    sign = {"higher": -1.0, "lower": 1.0, "none": 0.0}[ranked[0].direction]
    scores = [sign * each.mean if each.n else math.inf for each in ranked]
    order = sorted(range(len(ranked)), key=scores.__getitem__)
    costs = {each.method: each for each in analysis.costs if each.model == model}
    names = ["method", *(ranked[j].title for j in order)]
    groups = [[_metric_column([table[j] for j in order])] for table in tables]
    groups.append(_cost_columns([costs.get(ranked[j].method) for j in order]))
    lines, columns = [model], [names]
    for group in groups:
        wide = sum(2 + max(map(len, column)) for column in [*columns, *group]) - 2 > WIDTH
        if wide and len(columns) > 1:
            lines += ["", *_lines(columns)]
            columns = [names]
        columns += group
    return [
        *lines,
        "",
        *_lines(columns),
        *_notes([each for table in tables for each in table]),
        *_remarks([ranked[j] for j in order], analysis),
    ]


def _lines(columns: list[list[str]]) -> list[str]:
    header, *rows = zip(*columns, strict=True)
    costs = {"forward", "backward", "seconds"}
    return aligned(header, rows, [i for i, name in enumerate(header) if name not in costs])


def _metric_column(standings: Sequence[Standing]) -> list[str]:
    least = SINGLE_PRECISION * max((abs(each.mean) for each in standings if each.n), default=0.0)
    widths = [each.high - each.low for each in standings if each.high - each.low > least]
    # Two digits of an interval's width: more of the mean is not known.
    decimals = min(6, max(0, 1 - math.floor(math.log10(np.median(widths))))) if widths else 3
    numbers = [
        [f"{x:.{decimals}f}" if math.isfinite(x) else "-" for x in (each.mean, each.low, each.high)]
        for each in standings
    ]
    wide = [max(map(len, column)) for column in zip(*numbers, strict=True)]
    # A single image has a value, and no interval.
    cells = [
        f"{mean:>{wide[0]}} [{low:>{wide[1]}}, {high:>{wide[2]}}] {MARKS[each.place]}".rstrip()
        if math.isfinite(each.low)
        else mean.rjust(wide[0])
        for each, (mean, low, high) in zip(standings, numbers, strict=True)
    ]
    return [standings[0].metric + ARROWS[standings[0].direction], *cells]


def _cost_columns(costs: Sequence[Cost | None]) -> list[list[str]]:
    known = [each or Cost("", "", 0, math.nan, math.nan, math.nan) for each in costs]
    columns = {
        "forward": [f"{each.forward:,.0f}" for each in known],
        "backward": [f"{each.backward:,.0f}" for each in known],
        "seconds": [f"{each.seconds:,.2f}" for each in known],
    }
    found = [
        [name, *(cell.replace("nan", "-") for cell in cells)] for name, cells in columns.items()
    ]
    if any(each.output for each in known):
        found.append(["explains", *(each.output or "-" for each in known)])
    return found


def _remarks(standings: Sequence[Standing], analysis: Analysis) -> list[str]:
    on: dict[str, list[str]] = defaultdict(list)
    for each in standings:
        for remark in analysis.remarks.get((each.model, each.method), ()):
            on[remark.describe(analysis.n_images)].append(each.title)
    lines = [f"{', '.join(titles)}: {text}" for text, titles in on.items()]
    return ["", "remarks", *lines] if lines else []


def _notes(standings: Sequence[Standing]) -> list[str]:
    where: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in standings:
        counts = ((each.failed, "failed"), (each.missing, "not computed"))
        notes = [f"{_counted(n, 'cell')} {what}" for n, what in counts if n]
        text = "; ".join(filter(None, [*notes, each.note]))
        if text:
            where[each.title, text].append(each.metric)
    lines = [f"{title}, {', '.join(found)}: {text}" for (title, text), found in where.items()]
    found = {each.metric: each for each in standings if each.direction != "none"}
    placed = {each.metric for each in standings if each.place}
    alike = [metric for metric in found if metric not in placed]
    methods = {each.method for each in standings if each.n}
    if alike and len(methods) > 1:
        lines.append(f"No best method is told apart by {', '.join(alike)}.")
    images, fewest = max((each.n for each in standings), default=0), fewest_images(len(methods))
    if len(methods) > 1 and images < fewest:
        lines.append(
            f"{_counted(images, 'image')} cannot tell {len(methods)} methods apart, whatever their "
            f"values; {fewest} are the fewest that can."
        )
    return ["", *lines] if lines else []


def _legend(analysis: Analysis) -> list[str]:
    used = {each.place for each in analysis.standings}
    arrows = {each.direction for each in analysis.standings}
    lines = [
        f"{_counted(analysis.n_images, 'image')}. Means over images and their "
        f"[{100 * analysis.confidence:g} % intervals, bootstrap over images]. "
        "Forward, backward: examples for an attribution."
    ]
    meanings = {"higher": "↑ more is better", "lower": "↓ less is better"}
    if arrows & set(meanings):
        lines.append(", ".join(text for key, text in meanings.items() if key in arrows) + ".")
    if "best" in used:
        lines.append("* best: better than every other method.")
    if "among the best" in used:
        lines.append("+ among the best: worse than none, and others are worse than the best mean.")
    lines.append(
        f"Better and worse: p < {ALPHA:g}, sign-flip test of the differences on each image, Holm's "
        "correction over all pairs of methods by a metric."
    )
    return lines


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
