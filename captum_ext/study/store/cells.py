"""What a study stores of a task: a result for each cell, and what it keeps of an attribution."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

OK, FAILED = "ok", "failed"
#: The folder of the attributions that a study keeps, in its own.
ATTRIBUTIONS = "attributions"


@dataclass(frozen=True)
class CellResult:
    """What belongs into a cell; see :data:`captum_ext.study.COLUMNS`."""

    key: str
    status: str
    value: float | None = None
    error: str = ""
    traceback: str = ""
    remark: str = ""
    target: int | None = None
    label: str = ""
    output: str = ""
    forward: int | None = None
    backward: int | None = None
    seconds: float | None = None
    metric_forward: int | None = None
    metric_seconds: float | None = None
    worker: str = ""


@dataclass(frozen=True)
class KeptAttribution:
    """What is kept of an attribution beside its cells.

    Attributes:
        key: of the attribution.
        picture, drawn: JPEGs of what the model sees, and of the heat map.
        attribution: ``[C, h, w]`` in float32.
    """

    key: str
    picture: bytes | None
    drawn: bytes | None
    attribution: np.ndarray | None = field(default=None, repr=False)
