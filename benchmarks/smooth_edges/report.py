"""What the rows of :mod:`benchmarks.smooth_edges` come to, as tables.

mean and standard error over photographs:    m = mean_i d_i,   s / sqrt(n)
of one combination                           d_i = SRG_i
of two levels of a factor, paired            d_i = mean over all else of (SRG_i - SRG'_i)
a factor's share of the variance             sum_levels (m_level - m)^2 / levels, over the
    variance of the combinations' means m; what the shares lack to 100 % is interaction
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, pvariance, stdev
from typing import Any, NamedTuple

from benchmarks.smooth_edges.rows import OWN_NUMBER, Row

FACTORS = ("segmenter", "edge", "sampler", "perturber", "n_samples", "attributer")
EDGE, ATTRIBUTER = FACTORS.index("edge"), FACTORS.index("attributer")

#: A level of each factor.
Combination = tuple[str, ...]
#: SRG of each combination and photograph.
Cells = dict[Combination, dict[str, float]]


class Estimate(NamedTuple):
    """A mean over ``n`` photographs, and its standard error; NaN where there are too few."""

    mean: float
    error: float
    n: int


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
    """

    label: str
    attributer: str
    cells: dict[Column, Estimate]


def report(rows: Sequence[Row]) -> str:
    """The tables: means, paired differences, shares of the variance, and what was skipped."""
    results = by_column(rows)
    photographs = len({row.pixels for row in rows})
    over = f"mean ± standard error over {photographs} photographs, or over as many as [n]"
    tables: dict[str, Callable[[dict[Column, Cells]], list[Line]]] = {
        f"SRG ({over})": means,
        "SRG, soft - hard, paired": edge_differences,
        "SRG, paired, mean over all else": level_differences,
    }
    blocks = [
        _table(title, lines, photographs)
        for title, make_lines in tables.items()
        if (lines := make_lines(results))
    ]
    if any(map(shares, results.values())):
        blocks.append("share of the variance between combinations\n" + _shares(results))
    reasons = [row.status for row in rows if not row.ok]
    counts = [f"{reasons.count(each)} rows {each}" for each in dict.fromkeys(reasons)]
    blocks += ["\n".join(counts)] if counts else []
    return "\n\n".join(blocks)


def means(results: dict[Column, Cells]) -> list[Line]:
    """A line for each combination."""
    return [
        Line(_label(results, each), each[ATTRIBUTER], _each(results, _values, each))
        for each in _combinations(results)
    ]


def edge_differences(results: dict[Column, Cells]) -> list[Line]:
    """A line for each combination with soft edges: by how much it is better than with hard ones."""

    def differences(cells: Cells, soft: Combination) -> list[float]:
        return _differences(cells, [(_with(soft, EDGE, "hard"), soft)])

    return [
        Line(_label(results, each, EDGE), each[ATTRIBUTER], _each(results, differences, each))
        for each in _combinations(results)
        if each[EDGE] == "soft" and _with(each, EDGE, "hard") in _combinations(results)
    ]


def level_differences(results: dict[Column, Cells]) -> list[Line]:
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

        for low, high in combinations(_levels(results, factor), 2):
            estimates = _each(results, differences, (low, high))
            label = f"{name}: {shown(factor, high)} - {shown(factor, low)}"
            if any(each.n for each in estimates.values()):
                lines.append(Line(label, "", estimates))
    return lines


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


def by_column(rows: Iterable[Row]) -> dict[Column, Cells]:
    """SRG of what could be, for each way to take it."""
    results: dict[Column, Cells] = {}
    for row in rows:
        combination = tuple(str(getattr(row, factor)) for factor in FACTORS)
        column = results.setdefault(Column(row.occlusion, row.per), {})
        photographs = column.setdefault(combination, {})
        if row.ok:
            photographs[row.pixels] = row.srg
    # A combination that could never be has no place in pairs and levels.
    kept = {k: {c: own for c, own in cells.items() if own} for k, cells in results.items()}
    return {column: cells for column, cells in sorted(kept.items(), key=_order(results)) if cells}


def _order(results: dict[Column, Cells]) -> Callable[[tuple[Column, Cells]], tuple[int, int]]:
    """Occlusions as asked for, segments before pixels."""
    occlusions = list(dict.fromkeys(column.occlusion for column in results))
    return lambda item: (occlusions.index(item[0].occlusion), item[0].per == "pixel")


def _combinations(results: dict[Column, Cells]) -> list[Combination]:
    return list(dict.fromkeys(each for cells in results.values() for each in cells))


def _levels(results: dict[Column, Cells], factor: int) -> list[str]:
    return list(dict.fromkeys(each[factor] for each in _combinations(results)))


def _with(combination: Combination, factor: int, level: str) -> Combination:
    return (*combination[:factor], level, *combination[factor + 1 :])


def shown(factor: int, level: str) -> str:
    """A level's name: that of an attributer is an acronym."""
    return level.upper() if factor == ATTRIBUTER else level


def _label(results: dict[Column, Cells], combination: Combination, *left_out: int) -> str:
    """The levels of factors that have several, and the segmenter, but not the attributer's."""
    return " ".join(
        level
        for factor, level in enumerate(combination)
        if factor not in (ATTRIBUTER, *left_out)
        and (factor <= EDGE or len(_levels(results, factor)) > 1)
        and level != str(OWN_NUMBER)
    )


def _each(
    results: dict[Column, Cells], values: Callable[[Cells, Any], list[float]], what: Any
) -> dict[Column, Estimate]:
    return {column: _estimate(values(cells, what)) for column, cells in results.items()}


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


def _shared_by(photographs: Iterable[dict[str, float]]) -> set[str]:
    return set.intersection(*map(set, photographs))


def _estimate(values: Sequence[float]) -> Estimate:
    if not values:
        return Estimate(math.nan, math.nan, 0)
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(fmean(values), error, len(values))


def _table(title: str, lines: Sequence[Line], photographs: int) -> str:
    labels = [f"{line.label}  {line.attributer}" for line in lines]
    width = max(map(len, labels))
    body = [
        f"{label:{width}}"
        + "".join(f"{_cell(each, photographs):>19}" for each in own.cells.values())
        for label, own in zip(labels, lines, strict=True)
    ]
    return "\n".join([title, _head(lines[0].cells, width), *body])


def _head(columns: Iterable[Column], width: int) -> str:
    return " " * width + "".join(f"{f'{each.per}, {each.occlusion}':>19}" for each in columns)


def _cell(estimate: Estimate, photographs: int) -> str:
    if not estimate.n:
        return "-"
    error = f" ± {estimate.error:.3f}" if estimate.n > 1 else ""
    fewer = f" [{estimate.n}]" if estimate.n < photographs else ""
    return f"{estimate.mean:.3f}{error}{fewer}"


def _shares(results: dict[Column, Cells]) -> str:
    found = [shares(cells) for cells in results.values()]
    width = max(map(len, FACTORS))
    lines = [
        f"{name:{width}}" + "".join(f"{f'{each[name]:.0%}' if each else '-':>19}" for each in found)
        for name in next(filter(None, found))
    ]
    return "\n".join([_head(results, width), *lines])
