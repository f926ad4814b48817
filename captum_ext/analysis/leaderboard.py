"""Who leads a study, where that is more than chance, and what it costs.

:func:`analyze` turns the cells of a study into standings, comparisons, agreement and costs; the
statistics are those of :mod:`captum_ext.analysis.statistics`. Cells that failed or are missing are
left out of means, and counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from captum_ext.analysis.ranks import Agreement, average_ranks, rank_agreement
from captum_ext.analysis.remarks import Remark, remarks_of
from captum_ext.analysis.results import Direction, StudyResults
from captum_ext.analysis.statistics import (
    SINGLE_PRECISION,
    Array,
    Comparison,
    Interval,
    compare_pairs,
    fewest_images,
    mean_intervals,
)

Place = Literal["best", "among the best", ""]

#: A corrected p below which a difference counts.
ALPHA = 0.05


@dataclass(frozen=True)
class Standing:
    """A method by one metric on one model.

    Attributes:
        model, method, metric: names; ``title`` is the method's.
        direction: of the metric.
        n: images with a value, a mean over seeds.
        failed, missing: cells without.
        mean, low, high: over these images, with an interval; NaN without values.
        rank: the average rank, 1 for the best, over the ``n_ranked`` images where every method has
            a value; NaN for a metric without direction.
        place: ``"best"``, if it is significantly better than every other method. ``"among the
            best"``, if it is significantly worse than none, and some method is worse than the best
            mean. Empty for others, and for all where nothing is told apart. The best mean is one
            over at least half of the images, of a method that is not significantly worse than
            another.
        note: what to know before comparing it with the others: a mean over other images.
    """

    model: str
    method: str
    title: str
    metric: str
    direction: Direction
    n: int
    failed: int
    missing: int
    mean: float
    low: float
    high: float
    rank: float
    n_ranked: int
    place: Place
    note: str


@dataclass(frozen=True)
class Cost:
    """Examples sent forward and backward, and seconds, of a method's mean attribution.

    ``n`` is the number of attributions, one for each image and seed; without any, means are NaN.
    ``output`` is what of the model they explain.
    """

    model: str
    method: str
    n: int
    forward: float
    backward: float
    seconds: float
    output: str = ""


@dataclass(frozen=True)
class Analysis:
    """What a study says.

    Attributes:
        standings: by model, metric and method, in the order of the study.
        comparisons: of every two methods, by model and metric.
        agreement: between metrics with a direction, by model.
        costs: by model and method.
        friedman: p of the hypothesis that no method differs, by model and metric.
        n_images: of the study.
        confidence: of the intervals.
        remarks: on attributions and values, by model and method.
    """

    standings: list[Standing]
    comparisons: dict[tuple[str, str], list[Comparison]]
    agreement: dict[str, Agreement]
    costs: list[Cost]
    friedman: dict[tuple[str, str], float]
    n_images: int
    confidence: float
    remarks: Mapping[tuple[str, str], Sequence[Remark]] = field(default_factory=dict)


def analyze(
    results: StudyResults, *, confidence: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> Analysis:
    """The statistics of a study, complete or not.

    Args:
        results: of the study.
        confidence: of the intervals, in (0, 1).
        n_resamples: of the bootstrap.
        seed: of resamples and flips.

    Raises:
        ValueError: a cell of a model, image, method or metric that the study does not name, or an
            argument out of range.

    Example:
        >>> import pandas as pd
        >>> from captum_ext.analysis.results import COLUMNS, MetricFacts
        >>> rows = [
        ...     {"model": "net", "image": f"{i}", "method": method, "metric": "gain", "seed": 0,
        ...      "status": "ok", "value": value + i % 3}
        ...     for i in range(8) for method, value in (("a", 0.5), ("b", 0.25))
        ... ]
        >>> results = StudyResults(
        ...     "Example", pd.DataFrame(rows, columns=list(COLUMNS)), ["net"], list("01234567"),
        ...     {"a": "A", "b": "B"}, {"gain": MetricFacts("gain", "Gain", "higher")},
        ... )
        >>> [(each.title, each.place, each.rank) for each in analyze(results).standings]
        [('A', 'best', 1.0), ('B', '', 2.0)]
    """
    grid = _CellGrid.of(results)
    methods = list(results.methods)
    standings: list[Standing] = []
    comparisons, agreement, friedman = {}, {}, {}
    for m, model in enumerate(results.models):
        for k, (metric, facts) in enumerate(results.metrics.items()):
            table = grid.values[m, k]
            options: dict[str, Any] = {"confidence": confidence, "n_resamples": n_resamples}
            intervals = mean_intervals(table, **options, seed=seed)
            pairs = compare_pairs(table, methods, **options, seed=seed)
            ranks = average_ranks(_without_rounding(table), higher=facts.direction == "higher")
            places = _places(dict(zip(methods, intervals, strict=True)), pairs, facts.direction)
            comparisons[model, metric], friedman[model, metric] = pairs, ranks.p
            ranked = facts.direction != "none"
            most = max((each.n for each in intervals), default=0)
            for j, (method, title) in enumerate(results.methods.items()):
                n, mean, low, high = intervals[j]
                failed, missing, odd = (int(count[m, k, j]) for count in grid.counts)
                standings.append(
                    Standing(
                        *(model, method, title, metric, facts.direction),
                        *(n, failed, missing),
                        *(mean, low, high),
                        rank=float(ranks.ranks[j]) if ranked else math.nan,
                        n_ranked=ranks.n if ranked else 0,
                        place=places.get(method, ""),
                        note=_note(n, most, odd),
                    )
                )
        agreement[model] = rank_agreement(
            {
                metric: _without_rounding(grid.values[m, k])
                for k, metric in enumerate(results.metrics)
            },
            {metric: facts.direction for metric, facts in results.metrics.items()},
        )
    costs = _costs(results)
    n_images = len(results.images)
    remarks = remarks_of(results)
    return Analysis(
        standings, comparisons, agreement, costs, friedman, n_images, confidence, remarks
    )


@dataclass
class _CellGrid:
    """Means over seeds ``[models, metrics, images, methods]``.

    ``counts`` are ``[models, metrics, methods]``: cells failed, missing, and ok but not finite.
    """

    values: Array
    counts: list[npt.NDArray[np.int64]]

    @classmethod
    def of(cls, results: StudyResults) -> _CellGrid:
        names = {
            "model": results.models,
            "metric": list(results.metrics),
            "image": results.images,
            "method": list(results.methods),
        }
        codes = [_codes(results, column, known) for column, known in names.items()]
        shape = tuple(len(known) for known in names.values())
        status = results.cells["status"]
        value = results.cells["value"].to_numpy(dtype=np.float64, na_value=math.nan)
        ok = (status == "ok").to_numpy(dtype=bool)
        known = ok & np.isfinite(value)
        cell = np.ravel_multi_index(tuple(code[known] for code in codes), shape)
        # A sum of differences from one seed's value: seeds that agree have exactly their mean.
        base = np.full(math.prod(shape), np.nan)
        base[cell] = value[known]
        size = len(base)
        sums = np.bincount(cell, value[known] - base[cell], minlength=size)
        values = base + sums / np.maximum(1, np.bincount(cell, minlength=size))

        def count(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
            found = np.zeros((shape[0], shape[1], shape[3]), dtype=np.int64)
            np.add.at(found, tuple(codes[axis][rows] for axis in (0, 1, 3)), 1)
            return found

        lost = [(status == what).to_numpy(dtype=bool) for what in ("failed", "missing")]
        return cls(values.reshape(shape), [count(rows) for rows in [*lost, ok & ~known]])


def _without_rounding(values: Array) -> Array:
    """Values with the digits that single precision has, so that ranks do not go by the others."""
    exponent = np.floor(np.log10(np.maximum(np.abs(values), np.finfo(np.float64).tiny)))
    step = 10.0 ** (exponent + 1) * SINGLE_PRECISION
    return np.asarray(np.round(values / step) * step)


def _codes(results: StudyResults, column: str, known: list[str]) -> npt.NDArray[np.int64]:
    places = {name: place for place, name in enumerate(known)}
    codes = results.cells[column].map(places).to_numpy(dtype=np.float64, na_value=math.nan)
    unknown = np.isnan(codes)
    if unknown.any():
        name = results.cells[column].iloc[int(unknown.argmax())]
        raise ValueError(f"cells must be of the study's {column}s; got {column} {name!r}")
    return codes.astype(np.int64)


def _costs(results: StudyResults) -> list[Cost]:
    # An attribution stands beside every metric; one that failed has no costs.
    columns = ["forward", "backward", "seconds"]
    cells = results.cells[results.cells[columns].notna().all(axis=1)]
    keys = ["model", "method", "image", "seed"]
    cells = cells.drop_duplicates(keys)[[*keys, *columns, "output"]]
    cells = cells.astype(dict.fromkeys(columns, float))
    by_method = cells.groupby(["model", "method"], observed=True, sort=False)
    means, sizes = by_method[columns].mean(), by_method.size()
    known = dict(zip(means.index, means.to_numpy(), strict=True))
    outputs = by_method["output"].first()
    found = []
    for model in results.models:
        for method in results.methods:
            place = (model, method)
            forward, backward, seconds = map(float, known.get(place, [math.nan] * 3))
            output = str(outputs.get(place) or "")
            n = int(sizes.get(place, 0))
            found.append(Cost(model, method, n, forward, backward, seconds, output))
    return found


def _places(
    intervals: dict[str, Interval], pairs: list[Comparison], direction: Direction
) -> dict[str, Place]:
    if direction == "none":
        return {}
    sign = 1 if direction == "higher" else -1
    scores = {method: sign * each.mean for method, each in intervals.items() if each.n}
    better: dict[str, set[str]] = defaultdict(set)  # than a method, those that are
    common: dict[frozenset[str], int] = {}
    for pair in pairs:
        common[frozenset(pair[:2])] = pair.n
        if pair.p_corrected < ALPHA:
            first_wins = sign * pair.difference > 0
            winner, loser = pair[:2] if first_wins else (pair.second, pair.first)
            better[loser].add(winner)
    # A mean over a few easy images does not lead, nor one that loses where both have values.
    enough = max((each.n for each in intervals.values()), default=0) / 2
    leaders = [method for method in scores if not better[method] and intervals[method].n >= enough]
    leader = max(leaders, key=scores.__getitem__, default="")
    rest = [method for method in scores if method != leader]
    worse = {method for method in rest if leader in better[method]}
    if not worse:
        return {}
    if len(worse) == len(rest):
        return {leader: "best"}
    # So few images in common that no difference could count are no reason for a place.
    equal = [
        method
        for method in rest
        if not better[method] and common[frozenset((leader, method))] >= fewest_images(2, ALPHA)
    ]
    return dict.fromkeys([leader, *equal], "among the best")


def _note(n: int, most: int, odd: int) -> str:
    notes = [f"{odd} values that are no finite numbers"] if odd else []
    if n < most:
        notes.append(f"mean over {n} images, of others over up to {most}" if n else "no values")
    return "; ".join(notes)
