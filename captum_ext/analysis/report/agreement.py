"""Whether the metrics say the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum_ext.analysis.report.numbers import MINUS, NOTHING, signed

if TYPE_CHECKING:
    from captum_ext.analysis.leaderboard import Analysis
    from captum_ext.analysis.results import StudyResults


@dataclass(frozen=True)
class Correlation:
    """A cell: its text, and how strong it is, from -4 to 4."""

    text: str
    strength: int


@dataclass(frozen=True)
class AgreementTable:
    """How metrics agree on one model's methods."""

    model: str
    metrics: list[str]
    rows: list[list[Correlation]]
    images: int


def agreements_of(results: StudyResults, analysis: Analysis) -> list[AgreementTable]:
    """A table for each model, if there are metrics to compare.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> from captum_ext.analysis.leaderboard import analyze
        >>> results = tiny_results()
        >>> agreements_of(results, analyze(results))
        []
    """
    tables = []
    for model in results.models:
        found = analysis.agreement.get(model)
        if found is None or len(found.metrics) < 2 or not found.n_images:
            continue
        rows = [[_correlation(float(value)) for value in row] for row in found.matrix]
        titles = [
            results.metrics[metric].title if metric in results.metrics else metric
            for metric in found.metrics
        ]
        tables.append(AgreementTable(model, titles, rows, found.n_images))
    return tables


def _correlation(value: float) -> Correlation:
    if not math.isfinite(value):
        return Correlation(NOTHING, 0)
    text = signed(f"{value:.2f}".replace("-0.00", "0.00").replace("-", MINUS))
    return Correlation(text, round(4 * value))
