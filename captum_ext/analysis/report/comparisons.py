"""Which methods differ: for each model and metric, each method against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum_ext.analysis.leaderboard import ALPHA
from captum_ext.analysis.report.numbers import counted, number_format, probability, signed

if TYPE_CHECKING:
    from captum_ext.analysis.leaderboard import Analysis
    from captum_ext.analysis.results import StudyResults


@dataclass(frozen=True)
class Difference:
    """The row's method less the column's.

    Attributes:
        text, p: the mean difference, the corrected p-value.
        about: both, and between what, in a sentence.
        sign: ``"better"``, ``"worse"``, ``"differs"``, or ``""`` where it is not significant.
    """

    text: str
    p: str
    about: str
    sign: str


@dataclass(frozen=True)
class Matrix:
    """The comparisons of one metric and model.

    Attributes:
        model, metric: names.
        title: of the metric.
        direction: of the metric.
        methods: titles, the best mean first.
        rows: for each method a difference from each; None, where there is none.
        told_apart, pairs: how many differences are significant, and of how many.
    """

    model: str
    metric: str
    title: str
    direction: str
    methods: list[str]
    rows: list[list[Difference | None]]
    told_apart: int
    pairs: int


def matrices_of(results: StudyResults, analysis: Analysis) -> list[Matrix]:
    """A matrix for each model and metric.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> from captum_ext.analysis.leaderboard import analyze
        >>> results = tiny_results()
        >>> (matrix,) = matrices_of(results, analyze(results))
        >>> matrix.methods, matrix.rows[0][1].text, matrix.pairs
        (['Good', 'Bad'], '+0.500', 1)
    """
    return [
        _matrix(model, metric, results, analysis)
        for model in results.models
        for metric in results.metrics
    ]


def _matrix(model: str, metric: str, results: StudyResults, analysis: Analysis) -> Matrix:
    facts = results.metrics[metric]
    found = analysis.comparisons.get((model, metric), [])
    means = {
        each.method: each.mean
        for each in analysis.standings
        if (each.model, each.metric) == (model, metric) and math.isfinite(each.mean)
    }
    sign = 1 if facts.direction == "lower" else -1
    order = sorted(means, key=lambda method: sign * means[method])
    write = number_format([0.0, *(abs(each.difference) for each in found)])
    cells: dict[tuple[str, str], Difference] = {}
    told_apart = 0
    for each in found:
        significant = each.p_corrected < ALPHA
        told_apart += significant
        for one, other, difference in (
            (each.first, each.second, each.difference),
            (each.second, each.first, -each.difference),
        ):
            text, p = signed(write(difference)), probability(each.p_corrected)
            names = f"{results.methods.get(one, one)} − {results.methods.get(other, other)}"
            cells[one, other] = Difference(
                text=text,
                p=p,
                about=(
                    f"{names}: {text}, p = {p} (uncorrected {probability(each.p)}), "
                    f"{counted(each.n, 'image')}"
                ),
                sign=_sign(facts.direction, difference) if significant else "",
            )
    return Matrix(
        model=model,
        metric=metric,
        title=facts.title,
        direction=facts.direction,
        methods=[results.methods[method] for method in order],
        rows=[[cells.get((one, other)) for other in order] for one in order],
        told_apart=told_apart,
        pairs=sum(math.isfinite(each.p_corrected) for each in found),
    )


def _sign(direction: str, difference: float) -> str:
    if direction == "none":
        return "differs"
    return "better" if (difference > 0) == (direction == "higher") else "worse"
