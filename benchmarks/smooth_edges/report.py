"""The results of a study of :mod:`benchmarks.smooth_edges`, as tables.

Means over photographs with their intervals:
of one combination                           d_i = SRG_i
of two levels of a factor, paired            d_i = mean over all else of (SRG_i - SRG'_i)
a factor's share of the variance             sum_levels (m_level - m)^2 / levels, over the
    variance of the combinations' means m; what the shares lack to 100 % is interaction
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, pvariance
from typing import Any, NamedTuple

import numpy as np

from benchmarks.side_by_side import failures
from benchmarks.smooth_edges.cases import OWN_NUMBER
from captum_ext.analysis.leaderboard import ALPHA
from captum_ext.analysis.statistics import Interval, holm, mean_interval, sign_flip_test
from captum_ext.study import StudyResults, analyze, format_leaderboard

FACTORS = ("segmenter", "edge", "sampler", "perturber", "n_samples", "attributer")
EDGE, ATTRIBUTER = FACTORS.index("edge"), FACTORS.index("attributer")

#: A level of each factor.
Combination = tuple[str, ...]
#: SRG of each combination and photograph.
Cells = dict[Combination, dict[str, float]]


class Column(NamedTuple):
    """How SRG was taken."""

    occlusion: str
    per: str


@dataclass(frozen=True)
class Line:
    """A line of a table, with a cell for each column.

    Attributes:
        label: what it is about.
        attributer: whose color it has in the figure; empty where it is about all.
        cells: for each column.
        told_apart: the columns whose difference is significant.
    """

    label: str
    attributer: str
    cells: dict[Column, Interval]
    told_apart: frozenset[Column] = frozenset()


def report(results: StudyResults) -> str:
    """The tables: who leads, paired differences, shares of the variance, and what failed."""
    gains = by_column(results)
    tables = {
        "SRG, soft - hard, paired": edge_differences(gains),
        "SRG, paired, mean over all else": level_differences(gains),
    }
    most = len(results.images)
    blocks = [format_leaderboard(analyze(_titled(results, gains)))]
    blocks += [_table(title, lines, most) for title, lines in tables.items() if lines]
    if len(blocks) > 1:
        blocks.append(
            "[95 % intervals, bootstrap over photographs], over as many as (n).\n* not 0: p < "
            f"{ALPHA:g}, sign-flip test, Holm's correction over a table's column."
        )
    if any(map(shares, gains.values())):
        blocks.append("share of the variance between combinations\n" + _shares(gains))
    reasons = failures(results)
    return "\n\n".join([*blocks, "\n".join(reasons)] if reasons else blocks)


def means(gains: dict[Column, Cells]) -> list[Line]:
    """A line for each combination."""
    return [
        Line(_label(gains, each), each[ATTRIBUTER], _intervals(_each(gains, _values, each)))
        for each in _combinations(gains)
    ]


def edge_differences(gains: dict[Column, Cells]) -> list[Line]:
    """A line for each combination with soft edges: by how much it is better than with hard ones."""

    def differences(cells: Cells, soft: Combination) -> list[float]:
        return _differences(cells, [(_with(soft, EDGE, "hard"), soft)])

    return _tested(
        (_label(gains, each, EDGE), each[ATTRIBUTER], _each(gains, differences, each))
        for each in _combinations(gains)
        if each[EDGE] == "soft" and _with(each, EDGE, "hard") in _combinations(gains)
    )


def level_differences(gains: dict[Column, Cells]) -> list[Line]:
    """A line for each two levels of each factor, over all combinations that have both."""
    lines = []
    for factor, name in enumerate(FACTORS):

        def differences(cells: Cells, levels: tuple[str, str], factor: int = factor) -> list[float]:
            low, high = levels
            pairs = [
                (each, _with(each, factor, high))
                for each in cells
                if each[factor] == low and _with(each, factor, high) in cells
            ]
            return _differences(cells, pairs)

        for low, high in combinations(_levels(gains, factor), 2):
            values = _each(gains, differences, (low, high))
            label = f"{name}: {shown(factor, high)} - {shown(factor, low)}"
            if any(values.values()):
                lines.append((label, "", values))
    return _tested(lines)


def shares(cells: Cells) -> dict[str, float]:
    """Each factor's share of the variance between the combinations' means, where it has levels.

    Over the photographs that have all combinations; empty where there are none, or where not every
    level was combined with every other one.
    """
    levels = [list(dict.fromkeys(each[factor] for each in cells)) for factor in range(len(FACTORS))]
    images = _shared_by(cells.values())
    if not images or len(cells) != math.prod(map(len, levels)):
        return {}
    centers = {each: fmean(own[image] for image in images) for each, own in cells.items()}
    total = pvariance(centers.values())
    return {
        name: pvariance(
            fmean(center for each, center in centers.items() if each[factor] == level)
            for level in levels[factor]
        )
        / total
        for factor, name in enumerate(FACTORS)
        if len(levels[factor]) > 1 and total > 0
    }


def by_column(results: StudyResults) -> dict[Column, Cells]:
    """SRG of what could be, for each way to take it."""
    found: dict[Column, Cells] = {}
    columns = {name: name.split() for name in results.metrics}
    # Occlusions as asked for, segments before pixels.
    for what, per, occlusion in sorted(columns.values(), key=lambda words: _order(columns, words)):
        if what == "srg":
            found[Column(occlusion, per)] = {tuple(name.split()): {} for name in results.methods}
    good = results.cells[results.cells["status"] == "ok"]
    for method, metric, image, value in zip(
        good["method"], good["metric"], good["image"], good["value"], strict=True
    ):
        what, per, occlusion = columns[metric]
        if what == "srg":
            found[Column(occlusion, per)][tuple(method.split())][image] = value
    # A combination that could never be has no place in pairs and levels.
    kept = {column: {k: own for k, own in cells.items() if own} for column, cells in found.items()}
    return {column: cells for column, cells in kept.items() if cells}


def _order(columns: dict[str, list[str]], words: list[str]) -> tuple[int, bool]:
    occlusions = [occlusion for _, _, occlusion in columns.values()]
    return occlusions.index(words[2]), words[1] == "pixel"


def _titled(results: StudyResults, gains: dict[Column, Cells]) -> StudyResults:
    """SRG only, and combinations called by what they differ in."""
    metrics = {f"srg {per} {occlusion}": f"{per} {occlusion}" for occlusion, per in gains}
    cells = results.cells[results.cells["metric"].isin(list(metrics))]
    renamed = cells.assign(metric=cells["metric"].astype(str).map(metrics))
    combinations_of = {name: tuple(name.split()) for name in results.methods}
    titles = {
        name: f"{_label(gains, each)} {shown(ATTRIBUTER, each[ATTRIBUTER])}"
        for name, each in combinations_of.items()
    }
    facts = {new: replace(results.metrics[old], name=new) for old, new in metrics.items()}
    return replace(results, cells=renamed, methods=titles, metrics=facts)


def _combinations(gains: dict[Column, Cells]) -> list[Combination]:
    return list(dict.fromkeys(each for cells in gains.values() for each in cells))


def _levels(gains: dict[Column, Cells], factor: int) -> list[str]:
    return list(dict.fromkeys(each[factor] for each in _combinations(gains)))


def _with(combination: Combination, factor: int, level: str) -> Combination:
    return (*combination[:factor], level, *combination[factor + 1 :])


def shown(factor: int, level: str) -> str:
    """A level's name: that of an attributer is an acronym."""
    return level.upper() if factor == ATTRIBUTER else level


def _label(gains: dict[Column, Cells], combination: Combination, *left_out: int) -> str:
    """The levels of factors that have several, and the segmenter, but not the attributer's."""
    return " ".join(
        level
        for factor, level in enumerate(combination)
        if factor not in (ATTRIBUTER, *left_out)
        and (factor <= EDGE or len(_levels(gains, factor)) > 1)
        and level != OWN_NUMBER
    )


def _each(
    gains: dict[Column, Cells], values: Callable[[Cells, Any], list[float]], what: Any
) -> dict[Column, list[float]]:
    return {column: values(cells, what) for column, cells in gains.items()}


def _values(cells: Cells, combination: Combination) -> list[float]:
    return list(cells.get(combination, {}).values())


def _differences(cells: Cells, pairs: Sequence[tuple[Combination, Combination]]) -> list[float]:
    """For each photograph that has them all, the mean of ``second - first`` over some pairs."""
    pairs = [(low, high) for low, high in pairs if low in cells and high in cells]
    if not pairs:
        return []
    images = _shared_by(cells[each] for pair in pairs for each in pair)
    return [
        fmean(cells[high][image] - cells[low][image] for low, high in pairs) for image in images
    ]


def _shared_by(photographs: Iterable[dict[str, float]]) -> list[str]:
    """Those that all have, in order: resamples and flips are then the same each time."""
    first, *others = photographs
    return [image for image in first if all(image in each for each in others)]


def _intervals(values: dict[Column, list[float]]) -> dict[Column, Interval]:
    return {column: mean_interval(own) for column, own in values.items()}


def _tested(lines: Iterable[tuple[str, str, dict[Column, list[float]]]]) -> list[Line]:
    """Lines with differences, and which of them are no chance."""
    listed = list(lines)
    apart: list[set[Column]] = [set() for _ in listed]
    for column in listed[0][2] if listed else ():
        p = [
            sign_flip_test(np.column_stack([own[column], np.zeros(len(own[column]))]))[0]
            for _, _, own in listed
        ]
        for number, corrected in enumerate(holm(p)):
            if corrected < ALPHA:
                apart[number].add(column)
    return [
        Line(label, attributer, _intervals(own), frozenset(columns))
        for (label, attributer, own), columns in zip(listed, apart, strict=True)
    ]


def _table(title: str, lines: Sequence[Line], most: int) -> str:
    labels = [f"{line.label}  {line.attributer}".rstrip() for line in lines]
    width = max(map(len, labels))
    body = [
        f"{label:{width}}"
        + "".join(
            f"{_cell(each, column in own.told_apart, most):>29}"
            for column, each in own.cells.items()
        )
        for label, own in zip(labels, lines, strict=True)
    ]
    return "\n".join([title, _head(lines[0].cells, width, 29), *(line.rstrip() for line in body)])


def _head(columns: Iterable[Column], width: int, wide: int) -> str:
    return " " * width + "".join(f"{each.per} {each.occlusion}".rjust(wide) for each in columns)


def _cell(interval: Interval, told_apart: bool, most: int) -> str:
    if not interval.n:
        return "-  "
    bounds = f" [{interval.low:.3f}, {interval.high:.3f}]" if interval.n > 1 else ""
    fewer = f" ({interval.n})" if interval.n < most else ""
    return f"{interval.mean:.3f}{bounds}{fewer} {'*' if told_apart else ' '}"


def _shares(gains: dict[Column, Cells]) -> str:
    found = [shares(cells) for cells in gains.values()]
    width = max(map(len, FACTORS))
    lines = [
        f"{name:{width}}" + "".join(f"{f'{each[name]:.0%}' if each else '-':>19}" for each in found)
        for name in next(filter(None, found))
    ]
    return "\n".join([_head(gains, width, 19), *lines])
