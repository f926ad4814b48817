"""The leaderboard: a row for each method of each model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum_ext.analysis.report.numbers import NOTHING, amount, finite, listed, number_format
from captum_ext.analysis.report.scales import Scale, scale_over

if TYPE_CHECKING:
    from captum_ext.analysis.leaderboard import Analysis, Cost, Standing
    from captum_ext.analysis.results import MetricFacts, StudyResults

#: How the places of a leaderboard are marked.
BEST, AMONG = "best", "among the best"


@dataclass(frozen=True)
class Bar:
    """An interval and its mean, as percentages of a column's width."""

    low: float
    width: float
    mean: float


@dataclass(frozen=True)
class Value:
    """What a metric says about a method.

    Attributes:
        mean, interval, rank: as text.
        sort_mean, sort_rank: as numbers; None, where there is none.
        place: in the leaderboard.
        bar: None, where there is no interval.
        note: what is to be known besides.
    """

    mean: str
    interval: str
    rank: str
    sort_mean: float | None
    sort_rank: float | None
    place: str
    bar: Bar | None
    note: str


@dataclass(frozen=True)
class BoardRow:
    """A method of a model: its values in the order of the metrics, images and costs.

    ``output`` is what of the model it explains, ``remarks`` what is odd about its attributions
    and values.
    """

    model: str
    method: str
    title: str
    output: str
    values: list[Value]
    images: str
    sort_images: int
    gaps: list[str]
    passes: str
    sort_passes: float | None
    seconds: str
    sort_seconds: float | None
    remarks: list[str]


@dataclass(frozen=True)
class Board:
    """All rows, the best by the first ranked metric first.

    Attributes:
        metrics: of the columns.
        rows: of the table.
        sorted_by: the metric that it is sorted by; empty, where none ranks.
        marks: the places that occur.
        notes: on means that are not over all images: each note, and on which methods.
    """

    metrics: list[MetricFacts]
    rows: list[BoardRow]
    sorted_by: str
    marks: list[str]
    notes: list[tuple[str, str]]


def board_of(results: StudyResults, analysis: Analysis) -> Board:
    """The leaderboard's table.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> from captum_ext.analysis.leaderboard import analyze
        >>> results = tiny_results()
        >>> [row.title for row in board_of(results, analyze(results)).rows]
        ['Good', 'Bad']
    """
    standings = {(each.model, each.method, each.metric): each for each in analysis.standings}
    costs = {(each.model, each.method): each for each in analysis.costs}
    metrics = list(results.metrics.values())
    scales, writers = {}, {}
    for metric in metrics:
        of_metric = [each for each in analysis.standings if each.metric == metric.name]
        bounds = finite(bound for each in of_metric for bound in (each.mean, each.low, each.high))
        scales[metric.name] = scale_over(bounds)
        writers[metric.name] = number_format(bounds)
    rows = []
    for model in results.models:
        for method, title in results.methods.items():
            known = [standings.get((model, method, metric.name)) for metric in metrics]
            values = [
                _value(standing, scales[metric.name], writers[metric.name])
                for standing, metric in zip(known, metrics, strict=True)
            ]
            cost = costs.get((model, method))
            remarks = [
                remark.describe(analysis.n_images)
                for remark in analysis.remarks.get((model, method), ())
            ]
            rows.append(_row(model, method, title, values, known, cost, remarks))
    ranked = next((metric for metric in metrics if metric.direction != "none"), None)
    if ranked is not None:
        column, sign = metrics.index(ranked), -1 if ranked.direction == "higher" else 1
        rows.sort(key=lambda row: _last(row.values[column].sort_mean, sign))
    places = {value.place for row in rows for value in row.values}
    return Board(
        metrics,
        rows,
        ranked.name if ranked else "",
        [mark for mark in (BEST, AMONG) if mark in places],
        _notes(analysis.standings, results),
    )


def _notes(standings: list[Standing], results: StudyResults) -> list[tuple[str, str]]:
    """Each note once, with the methods that it is on, metric by metric."""
    on: dict[tuple[str, str], dict[str, None]] = {}
    for each in standings:
        for part in filter(None, each.note.split("; ")):
            on.setdefault((part, results.metrics[each.metric].title), {})[each.title] = None
    every = len(results.methods)
    return [
        (note, f"{metric}, {'all methods' if len(titles) == every else listed(titles)}")
        for (note, metric), titles in on.items()
    ]


def _last(value: float | None, sign: int) -> tuple[bool, float]:
    return value is None, sign * (value or 0.0)


def _value(standing: Standing | None, scale: Scale | None, write: Callable[[float], str]) -> Value:
    if standing is None or not math.isfinite(standing.mean):
        note = standing.note if standing else ""
        return Value(NOTHING, "", NOTHING, None, None, "", None, note)
    low, high, rank = standing.low, standing.high, standing.rank
    bounded = math.isfinite(low) and math.isfinite(high)
    bar = None
    if scale is not None and bounded:
        start, end, mean = (100 * scale(each) for each in (low, high, standing.mean))
        bar = Bar(round(start, 2), round(max(end - start, 0.5), 2), round(mean, 2))
    return Value(
        mean=write(standing.mean),
        interval=f"[{write(low)}, {write(high)}]" if bounded else "",
        rank=f"{rank:.1f}" if math.isfinite(rank) else NOTHING,
        sort_mean=standing.mean,
        sort_rank=rank if math.isfinite(rank) else None,
        place=standing.place,
        bar=bar,
        note=standing.note,
    )


def _row(
    model: str,
    method: str,
    title: str,
    values: list[Value],
    known: list[Standing | None],
    cost: Cost | None,
    remarks: list[str],
) -> BoardRow:
    there = [each for each in known if each is not None]
    counts = sorted({each.n for each in there}) or [0]
    gaps = []
    for word in ("failed", "missing"):
        most = max((getattr(each, word) for each in there), default=0)
        if most:
            gaps.append(f"{most:,} {word}")
    passes = cost.forward + cost.backward if cost else math.nan
    seconds = cost.seconds if cost else math.nan
    return BoardRow(
        model=model,
        method=method,
        title=title,
        output=cost.output if cost else "",
        values=values,
        images="–".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1]))),
        sort_images=counts[0],
        gaps=gaps,
        passes=amount(passes),
        sort_passes=passes if math.isfinite(passes) else None,
        seconds=amount(seconds),
        sort_seconds=seconds if math.isfinite(seconds) else None,
        remarks=remarks,
    )
