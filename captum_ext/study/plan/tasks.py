"""The plan of a study: its cells, and the tasks that fill them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from captum_ext.study.define.entries import MethodEntry, MetricEntry, ModelEntry
from captum_ext.study.define.images import StudyImage


class Cell(NamedTuple):
    """A cell of the table: names, and the key of what belongs there."""

    model: str
    image: str
    method: str
    metric: str
    seed: int
    key: str


@dataclass(frozen=True)
class PlannedMethod:
    """A method in a task, and the metrics that its attribution is measured by.

    Attributes:
        entry: the method.
        key: of the attribution.
        metrics: each with the key of its cell, and its seed.
    """

    entry: MethodEntry
    key: str
    metrics: Sequence[tuple[MetricEntry, str, int]]


@dataclass(frozen=True)
class Task:
    """What is computed at a time: one attribution, or several that share model passes.

    It holds all that another process needs to know.

    Attributes:
        key: tells tasks apart.
        model, image, seed: which.
        fingerprint, digest: of the model and the image, as they were when the study was planned.
        target: what is explained.
        asked: the methods.
        references: images that methods compare with.
        mask: file that shows where the object is.
        reference_digests, mask_digest: of these, likewise.
        versions: of the packages that it was planned with.
        gallery: whether small pictures are wanted.
        keep: whether the attribution is wanted.
    """

    key: str
    model: ModelEntry
    image: StudyImage
    seed: int
    fingerprint: str
    digest: str
    target: int | str
    asked: Sequence[PlannedMethod]
    references: Sequence[StudyImage] = ()
    reference_digests: Sequence[str] = ()
    mask: Path | None = None
    mask_digest: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    gallery: bool = False
    keep: bool = False

    @property
    def keys(self) -> list[str]:
        """Of its cells."""
        return [key for asked in self.asked for _, key, _ in asked.metrics]

    def without(self, keys: set[str]) -> Task:
        """The same task without cells of these keys.

        Raises:
            ValueError: none is left.
        """
        kept = []
        for asked in self.asked:
            metrics = [each for each in asked.metrics if each[1] not in keys]
            if metrics:
                kept.append(replace(asked, metrics=metrics))
        if not kept:
            raise ValueError("keys must leave something to do")
        return replace(self, asked=kept)


@dataclass(frozen=True)
class Plan:
    """All cells of a study in order, the tasks that fill them, and what identifies the study.

    Attributes:
        cells: of the table.
        tasks: of which no two have a cell in common.
        identity: plain values; another study has others.
        notes: what is odd about the study, though it can run.
    """

    cells: list[Cell]
    tasks: list[Task]
    identity: dict[str, Any]
    notes: list[str]
