"""What a study came to: a table of cells, and what one must know to read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from captum_ext.results import Direction

if TYPE_CHECKING:
    import pandas as pd

#: What a cell is known by, then what came out, then what it cost.
COLUMNS = (
    *("model", "image", "method", "metric", "seed"),
    *("status", "value", "error", "traceback", "remark"),
    *("target", "label", "output"),
    *("forward", "backward", "seconds"),
    *("metric_forward", "metric_seconds"),
    "key",
)


@dataclass(frozen=True)
class MetricFacts:
    """How to read a metric.

    Attributes:
        name: in the table.
        title: for people.
        direction: whether more of it is better.
        about: one line of what it measures.
    """

    name: str
    title: str
    direction: Direction
    about: str = ""


@dataclass
class StudyResults:
    """A study's table, complete or not.

    Attributes:
        title: of the study.
        cells: a row for each cell in the order of the study, with :data:`COLUMNS`. ``status`` is
            ``"ok"``, ``"failed"`` (then ``error`` has one line of why, ``traceback`` all of it) or
            ``"missing"`` (not computed yet); ``value`` is NaN unless it is ok, and where the metric
            gave NaN. ``target`` is the
            explained class's index, ``label`` its name, ``output`` which output of the model was
            explained. ``forward`` and ``backward`` count the examples that the attribution sent
            through the model, ``seconds`` is its wall time; they stand beside every metric of that
            attribution. ``metric_forward`` and ``metric_seconds`` are the metric's own.
            ``remark`` says what is odd about an attribution or a value that is ok, with a semicolon
            between remarks, as an attribution that is zero or a value that is no finite number.
        models, images: names, in order.
        methods: titles by name, in order.
        metrics: in order, by name.
        settings: the study as it was defined, as plain values.
        versions: of the packages that it depends on.
        pictures: what a model sees of an image, a JPEG, by (model, image); of the first images.
        maps: heat maps over these, JPEGs, by (model, image, method, seed).
    """

    title: str
    cells: pd.DataFrame
    models: list[str]
    images: list[str]
    methods: dict[str, str]
    metrics: dict[str, MetricFacts]
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    pictures: dict[tuple[str, str], bytes] = field(default_factory=dict)
    maps: dict[tuple[str, str, str, int], bytes] = field(default_factory=dict)
