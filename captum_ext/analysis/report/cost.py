"""Quality against cost: which methods are worth their passes or seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from captum_ext.analysis.report.labels import Box, Label, place_labels
from captum_ext.analysis.report.numbers import amount, finite, number_format
from captum_ext.analysis.report.scales import Scale, Tick, scale_over

if TYPE_CHECKING:
    from captum_ext.analysis.leaderboard import Analysis, Cost, Standing
    from captum_ext.analysis.results import MetricFacts, StudyResults

#: The drawing's width and height, and the frame of its axes.
WIDTH, HEIGHT = 760, 440
FRAME = Box(58, 12, 748, 392)
#: Between whiskers of methods that cost the same.
APART = 5.0
#: What a cost is called on its axis.
COSTS = {"passes": "Passes through the model", "seconds": "Seconds"}


@dataclass(frozen=True)
class Point:
    """A method in the chart: its place, and its interval's ends."""

    title: str
    x: float
    y: float
    low: float
    high: float
    cost: str
    mean: str
    interval: str
    front: bool
    label: Label | None


@dataclass(frozen=True)
class Scatter:
    """A metric of a model against a cost.

    Attributes:
        model, metric, cost: names.
        title: of the metric.
        direction: of the metric.
        axis: title of the horizontal axis.
        x_ticks, y_ticks: of the axes, in the drawing's units.
        points: methods, by their cost.
        front: the points of the line of the front, for SVG.
        left_out: titles of methods that have no place in it.
        unnamed: titles of methods whose labels have none.
    """

    model: str
    metric: str
    cost: str
    title: str
    direction: str
    axis: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    points: list[Point]
    front: str
    left_out: list[str]
    unnamed: list[str]


@dataclass(frozen=True)
class _Place:
    """A method's numbers, before they are drawn."""

    title: str
    cost: float
    mean: float
    low: float
    high: float


def scatters_of(results: StudyResults, analysis: Analysis) -> list[Scatter]:
    """A chart for each model, metric and cost.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> from captum_ext.analysis.leaderboard import analyze
        >>> results = tiny_results()
        >>> passes, seconds = scatters_of(results, analyze(results))
        >>> [(point.title, point.cost, point.front) for point in seconds.points]
        [('Bad', '0.500', False), ('Good', '0.500', True)]
    """
    return [
        _scatter(model, facts, cost, results, analysis)
        for model in results.models
        for facts in results.metrics.values()
        for cost in COSTS
    ]


def on_the_front(costs: list[float], means: list[float], direction: str) -> list[bool]:
    """Which methods are such that none that costs as little or less is better.

    Args:
        costs, means: of each method.
        direction: of the metric; where it is ``"none"``, no method is on the front.

    Example:
        >>> on_the_front([1, 10, 100], [0.2, 0.1, 0.3], "higher")
        [True, False, True]
        >>> on_the_front([1, 10, 100], [0.2, 0.1, 0.3], "lower")
        [True, True, False]
    """
    if direction == "none":
        return [False] * len(costs)
    sign = 1 if direction == "higher" else -1
    values = [sign * mean for mean in means]
    return [
        not any(
            (other_cost <= cost and other > value) or (other_cost < cost and other >= value)
            for other_cost, other in zip(costs, values, strict=True)
        )
        for cost, value in zip(costs, values, strict=True)
    ]


def _scatter(
    model: str, facts: MetricFacts, cost: str, results: StudyResults, analysis: Analysis
) -> Scatter:
    costs = {each.method: _cost(each, cost) for each in analysis.costs if each.model == model}
    standings = {
        each.method: each
        for each in analysis.standings
        if (each.model, each.metric) == (model, facts.name)
    }
    places, left_out = [], []
    for method, title in results.methods.items():
        place = _place(title, costs.get(method, math.nan), standings.get(method))
        if place is None:
            left_out.append(title)
        else:
            places.append(place)
    places.sort(key=lambda place: (place.cost, place.title))
    x = scale_over([place.cost for place in places], log=True, room=0.05)
    y = scale_over(finite(v for place in places for v in (place.low, place.mean, place.high)))
    points = _points(places, x, y, facts.direction) if x and y else []
    front = [(point.x, point.y) for point in points if point.front]
    return Scatter(
        model=model,
        metric=facts.name,
        cost=cost,
        title=facts.title,
        direction=facts.direction,
        axis=COSTS[cost],
        x_ticks=[Tick(_across(tick.at), tick.text) for tick in x.ticks()] if x else [],
        y_ticks=[Tick(_up(tick.at), tick.text) for tick in y.ticks()] if y else [],
        points=points,
        front=" ".join(f"{at_x:g},{at_y:g}" for at_x, at_y in _corners(front)),
        left_out=left_out,
        unnamed=[point.title for point in points if point.label is None],
    )


def _cost(cost: Cost, name: str) -> float:
    return cost.seconds if name == "seconds" else cost.forward + cost.backward


def _place(title: str, cost: float, standing: Standing | None) -> _Place | None:
    if standing is None or not math.isfinite(standing.mean) or not cost > 0:
        return None
    low, high = (
        bound if math.isfinite(bound) else standing.mean for bound in (standing.low, standing.high)
    )
    return _Place(title, cost, standing.mean, low, high)


def _points(places: list[_Place], x: Scale, y: Scale, direction: str) -> list[Point]:
    front = on_the_front([p.cost for p in places], [p.mean for p in places], direction)
    across = _side_by_side([_across(x(place.cost)) for place in places])
    spots = [(at_x, _up(y(place.mean))) for at_x, place in zip(across, places, strict=True)]
    whiskers = [
        Box(at_x - 1, _up(y(place.high)), at_x + 1, _up(y(place.low)))
        for place, (at_x, _) in zip(places, spots, strict=True)
    ]
    line = _corners([spot for spot, on in zip(spots, front, strict=True) if on])
    steps = [
        Box(min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1)
        for (a, b), (c, d) in pairwise(line)
    ]
    # Those of the front are named first: they are what one looks for.
    order = sorted(range(len(places)), key=lambda i: not front[i])
    found = place_labels(
        [spots[i] for i in order], [places[i].title for i in order], FRAME, [steps, whiskers]
    )
    labels = dict(zip(order, found, strict=True))
    write = number_format(v for place in places for v in (place.low, place.mean, place.high))
    return [
        Point(
            title=place.title,
            x=spots[i][0],
            y=spots[i][1],
            low=_up(y(place.low)),
            high=_up(y(place.high)),
            cost=amount(place.cost),
            mean=write(place.mean),
            interval=f"[{write(place.low)}, {write(place.high)}]",
            front=front[i],
            label=labels[i],
        )
        for i, place in enumerate(places)
    ]


def _side_by_side(places: list[float]) -> list[float]:
    """Ascending places, of which those that are the same are moved apart a little."""
    groups: list[list[float]] = []
    for place in places:
        if groups and place - groups[-1][0] < APART / 2:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [
        round(place + APART * (i - (len(group) - 1) / 2), 1)
        for group in groups
        for i, place in enumerate(group)
    ]


def _across(share: float) -> float:
    return round(FRAME.left + share * (FRAME.right - FRAME.left), 1)


def _up(share: float) -> float:
    return round(FRAME.bottom - share * (FRAME.bottom - FRAME.top), 1)


def _corners(front: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of steps: until the next method of the front, more cost buys nothing."""
    corners = front[:1]
    for x, y in front[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (FRAME.right, corners[-1][1])] if corners else []
