"""What failed, and why: one entry for each cause, not one for each cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum_ext.analysis.report.numbers import counted, listed

if TYPE_CHECKING:
    from captum_ext.analysis.results import StudyResults

#: Entries beyond which the report refers to the table of all cells.
MOST_FAILURES = 200
#: Letters of a traceback that are shown, from its end.
MOST_OF_TRACEBACK = 6000


@dataclass(frozen=True)
class Failure:
    """One cause.

    Attributes:
        model: name of.
        method: title of.
        metrics: that failed so: ``"all"``, or their titles.
        images: that failed so, in words.
        all_images: each of them, where ``images`` does not name them all.
        count: of the failed attributions, or values of a metric.
        error: in one line.
        traceback: of the first one, shortened.
    """

    model: str
    method: str
    metrics: str
    images: str
    all_images: str
    count: int
    error: str
    traceback: str


@dataclass(frozen=True)
class Failures:
    """Those that are shown, and how many there are besides."""

    shown: list[Failure]
    left_out: int
    cells: int


def failures_of(results: StudyResults) -> Failures:
    """What failed, the most frequent first.

    An attribution that failed has one entry, though each metric lacks its value; and so have
    attributions by one method that failed with the same error on several images.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> results = tiny_results()
        >>> results.cells.loc[0, ["status", "error"]] = "failed", "no layer"
        >>> [(each.method, each.images, each.error) for each in failures_of(results).shown]
        [('Good', 'a', 'no layer')]
    """
    failed = results.cells[results.cells["status"] == "failed"]
    # An attribution and its error: the metrics that lack a value for it.
    attributions: dict[tuple[str, str, str, int, str], list[str]] = {}
    tracebacks: dict[tuple[str, str, str, int, str], str] = {}
    columns = ("model", "method", "image", "seed", "error", "metric", "traceback")
    for model, method, image, seed, error, metric, traceback in zip(
        *(failed[column].tolist() for column in columns), strict=True
    ):
        one = (model, method, image, seed, error)
        attributions.setdefault(one, []).append(metric)
        tracebacks.setdefault(one, traceback)
    causes: dict[tuple[str, str, str, tuple[str, ...]], list[tuple[str, str]]] = {}
    for one, metrics in attributions.items():
        model, method, image, _, error = one
        cause = (model, method, error, tuple(metrics))
        causes.setdefault(cause, []).append((image, tracebacks[one]))
    order = sorted(causes, key=lambda cause: -len(causes[cause]))
    return Failures(
        shown=[_failure(cause, causes[cause], results) for cause in order[:MOST_FAILURES]],
        left_out=max(len(order) - MOST_FAILURES, 0),
        cells=len(failed),
    )


def _failure(
    cause: tuple[str, str, str, tuple[str, ...]],
    where: list[tuple[str, str]],
    results: StudyResults,
) -> Failure:
    model, method, error, metrics = cause
    images = list(dict.fromkeys(image for image, _ in where))
    several = len(images) > 3
    everything = len(results.metrics) > 1 and len(metrics) == len(results.metrics)
    return Failure(
        model=model,
        method=results.methods.get(method, method),
        metrics="all" if everything else listed(_title(results, metric) for metric in metrics),
        images=counted(len(images), "image") if several else listed(images),
        all_images=listed(images, most=100) if several else "",
        count=len(where),
        error=error or "failed, without a message",
        traceback=_shortened(where[0][1]),
    )


def _title(results: StudyResults, metric: str) -> str:
    facts = results.metrics.get(metric)
    return facts.title if facts else metric


def _shortened(traceback: str) -> str:
    text = str(traceback or "").strip()
    if len(text) <= MOST_OF_TRACEBACK:
        return text
    return f"… (the beginning is left out)\n{text[-MOST_OF_TRACEBACK:]}"
