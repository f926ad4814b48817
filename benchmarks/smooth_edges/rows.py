"""The rows of :mod:`benchmarks.smooth_edges`, and the CSV that a run goes on with."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

#: Stands for the number of samples of a sampler that has one of its own.
OWN_NUMBER = 0
_KINDS = {"str": str, "int": int, "float": float}


@dataclass(frozen=True)
class Case:
    """What identifies a row.

    Attributes:
        image: the photograph's name.
        pixels: fingerprint of the photograph, as the model sees it.
        model: its name.
        weights: fingerprint of its parameters.
        size: pixels of a side.
        segmenter, edge, sampler, perturber: how the model is asked.
        n_samples: as asked for, or :data:`OWN_NUMBER`.
        attributer: what the answers say of each segment.
        per: what the metric removes, ``"segment"`` or ``"pixel"``.
        occlusion: what the metric puts in its place.
        steps: points of the metric's curves.
        seed: of the samples.
        parts: all of these with their settings.
    """

    image: str
    pixels: str
    model: str
    weights: str
    size: int
    segmenter: str
    edge: str
    sampler: str
    perturber: str
    n_samples: int
    attributer: str
    per: str
    occlusion: str
    steps: int
    seed: int
    parts: str


@dataclass(frozen=True)
class Row(Case):
    """A case and what came out.

    Attributes:
        target: index of the explained class.
        n_segments: found in the image; 0 where there was no segmentation.
        lif, mif, srg: of the occlusion curves; NaN where there is none.
        status: ``"ok"``, or why there is none.
    """

    target: int
    n_segments: int
    lif: float
    mif: float
    srg: float
    status: str

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def case(self) -> Case:
        return Case(*astuple(self)[: len(fields(Case))])


COLUMNS = [field.name for field in fields(Row)]


class Record:
    """Rows by their case, in memory and in a CSV, where each is as soon as it is known.

    A last line that was cut off when its writer was killed is taken off the file. Other lines that
    cannot be read are left out, with a message.

    Args:
        path: of the CSV; made, if there is none.

    Raises:
        ValueError: a file with other columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[Case, Row] = {}
        path.touch()
        _drop_torn_line(path)
        if path.stat().st_size:
            self._read()
        else:
            self._write(COLUMNS)

    def add(self, row: Row) -> None:
        self.rows[row.case] = row
        self._write(astuple(row))

    def _write(self, values: Iterable[Any]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(values)

    def _read(self) -> None:
        with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = csv.reader(file)
            if next(lines) != COLUMNS:
                raise ValueError(f"{self.path} has other columns than this benchmark writes")
            for values in lines:
                try:
                    row = _row_of(values)
                except ValueError:
                    print(f"{self.path}, line {lines.line_num}: not read", file=sys.stderr)
                else:
                    self.rows[row.case] = row


def skipped(case: Case, target: int, n_segments: int, error: Exception) -> Row:
    """The row of a case that cannot be, with the reason in one line."""
    nan = float("nan")
    reason = " ".join(str(error).split())
    return Row(
        **asdict(case),
        target=target,
        n_segments=n_segments,
        lif=nan,
        mif=nan,
        srg=nan,
        status=f"skipped: {reason}",
    )


def _row_of(values: list[str]) -> Row:
    pairs = zip(fields(Row), values, strict=True)
    return Row(*(_KINDS[str(field.type)](value) for field, value in pairs))


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(content.rfind(b"\n") + 1)
