"""How a metric's values spread over the images: points if they are few, else quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from captum_ext.analysis.report.numbers import counted, number_format
from captum_ext.analysis.report.scales import Scale, Tick, scale_over

if TYPE_CHECKING:
    import pandas as pd

    from captum_ext.analysis.results import StudyResults

#: Images beyond which only quantiles are drawn.
MOST_POINTS = 60
#: Of the box and its whiskers.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Heights of the points in turn, as percentages: neighbors do not cover each other.
HEIGHTS = (50.0, 30.0, 70.0, 40.0, 60.0)


@dataclass(frozen=True)
class Dot:
    """An image's value, as percentages of the row's width and height."""

    x: float
    y: float
    about: str


@dataclass(frozen=True)
class Spread:
    """A method's values.

    Attributes:
        title: of the method.
        marks: the quantiles, as percentages of the row's width; empty without values.
        box, whiskers: the widths between the quartiles, and between the outer quantiles.
        dots: images, where they are few.
        median: as text.
        about: the quantiles in a sentence.
    """

    title: str
    marks: list[float]
    box: float
    whiskers: float
    dots: list[Dot]
    median: str
    about: str


@dataclass(frozen=True)
class Distribution:
    """The values of one metric and model, method by method, the best median first."""

    model: str
    metric: str
    title: str
    direction: str
    ticks: list[Tick]
    spreads: list[Spread]
    pointwise: bool


def distributions_of(results: StudyResults) -> list[Distribution]:
    """A chart for each model and metric.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> (chart,) = distributions_of(tiny_results())
        >>> [(spread.title, spread.median) for spread in chart.spreads]
        [('Good', '0.750'), ('Bad', '0.250')]
    """
    cells = results.cells
    ok = cells[(cells["status"] == "ok") & np.isfinite(cells["value"].astype(float))]
    over_seeds = (
        ok.groupby(["model", "metric", "method", "image"], sort=False, observed=True)["value"]
        .mean()
        .reset_index()
    )
    by_metric = dict(iter(over_seeds.groupby(["model", "metric"], sort=False, observed=True)))
    return [
        _distribution(model, metric, by_metric.get((model, metric)), results)
        for model in results.models
        for metric in results.metrics
    ]


def _distribution(
    model: str, metric: str, values: pd.DataFrame | None, results: StudyResults
) -> Distribution:
    facts = results.metrics[metric]
    if values is None:
        return Distribution(model, metric, facts.title, facts.direction, [], [], True)
    groups = dict(iter(values.groupby("method", sort=False, observed=True)))
    pointwise = max(len(group) for group in groups.values()) <= MOST_POINTS
    arrays = {method: group["value"].to_numpy(float) for method, group in groups.items()}
    ends = (0.0, 1.0) if pointwise else (QUANTILES[0], QUANTILES[-1])
    scale = scale_over(np.quantile(array, end) for array in arrays.values() for end in ends)
    write = number_format(values["value"])
    sign = 1 if facts.direction == "lower" else -1
    order = sorted(arrays, key=lambda method: sign * float(np.median(arrays[method])))
    spreads = []
    for method in order:
        images = groups[method]["image"].tolist() if pointwise else []
        title = results.methods.get(method, method)
        spreads.append(_spread(title, arrays[method], images, scale, write))
    return Distribution(
        model=model,
        metric=metric,
        title=facts.title,
        direction=facts.direction,
        ticks=[Tick(_percent(tick.at), tick.text) for tick in scale.ticks()] if scale else [],
        spreads=spreads,
        pointwise=pointwise,
    )


def _spread(
    title: str,
    values: np.ndarray,
    images: list[str],
    scale: Scale | None,
    write: Callable[[float], str],
) -> Spread:
    quantiles = [float(each) for each in np.quantile(values, QUANTILES)]
    marks = [_percent(scale(each)) for each in quantiles] if scale else []
    order = np.argsort(values, kind="stable")
    dots = [
        Dot(
            _percent(scale(float(values[i]))),
            HEIGHTS[place % len(HEIGHTS)],
            f"{images[i]}: {write(float(values[i]))}",
        )
        for place, i in enumerate(order)
        if images and scale and math.isfinite(values[i])
    ]
    low, first, median, third, high = map(write, quantiles)
    return Spread(
        title=title,
        marks=marks,
        box=round(marks[3] - marks[1], 2),
        whiskers=round(marks[4] - marks[0], 2),
        dots=dots,
        median=median,
        about=(
            f"{title}: median {median}, half of them in [{first}, {third}], 90 % in "
            f"[{low}, {high}], {counted(len(values), 'image')}"
        ),
    )


def _percent(share: float) -> float:
    return round(100 * share, 2)
