"""What is odd about the attributions and values of a study, method by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from captum_ext.analysis.results import StudyResults

#: Of one method on one model; the table of cells has all.
MOST_REMARKS = 5


@dataclass(frozen=True)
class Remark:
    """A remark on cells of one method on one model.

    Attributes:
        text: the remark.
        metrics: the cells' metrics; empty where it is on all metrics of the study, as one on an
            attribution is.
        n_images: images with such a cell.
        left_out: other remarks, which have no entry.
    """

    text: str
    metrics: tuple[str, ...]
    n_images: int
    left_out: int = 0

    def describe(self, n_images: int) -> str:
        """The remark with what it is on.

        Args:
            n_images: of the study.

        Example:
            >>> Remark("zero everywhere", (), 2).describe(3)
            'zero everywhere (2 of 3 images)'
        """
        on = f"{', '.join(self.metrics)}, " if self.metrics else ""
        more = f"; and {self.left_out:,} other remarks" if self.left_out else ""
        return f"{self.text} ({on}{self.n_images:,} of {n_images:,} images){more}"


def remarks_of(results: StudyResults) -> Mapping[tuple[str, str], Sequence[Remark]]:
    """The remarks on cells that are ok, by model and method, the most frequent first.

    Example:
        >>> from captum_ext.analysis.report.tiny import tiny_results
        >>> results = tiny_results()
        >>> results.cells.loc[[0, 2], "remark"] = "zero everywhere"
        >>> remarks_of(results)["net", "good"]
        [Remark(text='zero everywhere', metrics=(), n_images=2, left_out=0)]
    """
    given = results.cells["remark"].astype(object).fillna("").astype(str)
    cells = results.cells[(results.cells["status"] == "ok") & (given != "")]
    images: dict[tuple[str, str], dict[tuple[str, str], set[str]]] = {}
    columns = ("model", "method", "metric", "image", "remark")
    for model, method, metric, image, remark in zip(
        *(cells[column].tolist() for column in columns), strict=True
    ):
        own = images.setdefault((model, method), {})
        for text in str(remark).split("; "):
            own.setdefault((text, metric), set()).add(image)
    return {place: _merged(own, len(results.metrics)) for place, own in images.items()}


def _merged(images: dict[tuple[str, str], set[str]], n_metrics: int) -> list[Remark]:
    """One remark for metrics that share it."""
    metrics: dict[str, list[str]] = {}
    where: dict[str, set[str]] = {}
    for (text, metric), found in images.items():
        metrics.setdefault(text, []).append(metric)
        where.setdefault(text, set()).update(found)
    order = sorted(where, key=lambda text: -len(where[text]))
    left_out = len(order) - MOST_REMARKS
    return [
        Remark(
            text,
            () if len(metrics[text]) == n_metrics else tuple(metrics[text]),
            len(where[text]),
            left_out if left_out > 0 and number == MOST_REMARKS - 1 else 0,
        )
        for number, text in enumerate(order[:MOST_REMARKS])
    ]
