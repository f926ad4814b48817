"""Rows of a benchmark, and the CSV with which it goes on after an interruption."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from dataclasses import Field, astuple, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

_KINDS = {"str": str, "int": int, "float": float}


class Identified(Protocol):
    """A dataclass of strings, ints and floats.

    Attributes:
        case: what identifies the row, before anything is known of it.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def case(self) -> Any: ...


R = TypeVar("R", bound=Identified)


class Record(Generic[R]):
    """Rows by their case, in memory and in a CSV, where each is as soon as it is known.

    A last line that was cut off when its writer was killed is taken off the file. Other lines that
    cannot be read are left out, with a message.

    Args:
        path: of the CSV; made, if there is none.
        kind: of the rows.

    Raises:
        ValueError: a file with other columns.
    """

    def __init__(self, path: Path, kind: type[R]) -> None:
        self.path = path
        self.kind = kind
        self.rows: dict[Any, R] = {}
        columns = [field.name for field in fields(kind)]
        path.touch()
        if not (",".join(columns) + "\n").encode().startswith(_first_line(path)):
            raise ValueError(f"{self.path} has other columns than this benchmark writes")
        _drop_torn_line(path)
        if path.stat().st_size:
            self._read()
        else:
            self._write(columns)

    def add(self, row: R) -> None:
        self.rows[row.case] = row
        self._write(astuple(row))

    def _write(self, values: Iterable[Any]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(values)

    def _read(self) -> None:
        with self.path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = csv.reader(file)
            next(lines)
            for values in lines:
                try:
                    row = self._row_of(values)
                except ValueError:
                    print(f"{self.path}, line {lines.line_num}: not read", file=sys.stderr)
                else:
                    self.rows[row.case] = row

    def _row_of(self, values: list[str]) -> R:
        pairs = zip(fields(self.kind), values, strict=True)
        return self.kind(*(_KINDS[str(field.type)](value) for field, value in pairs))


C = TypeVar("C")


def case_of(row: Any, kind: type[C]) -> C:
    """The case that a row begins with.

    Args:
        row: a dataclass that inherits the fields of ``kind``.
        kind: of the case, a dataclass.
    """
    return kind(*astuple(row)[: len(fields(kind))])  # type: ignore[arg-type]


def gather(parser: argparse.ArgumentParser, rows: Iterable[R]) -> list[R]:
    """All rows, or those before an interruption; a bad argument ends the program with its reason.

    Args:
        parser: whose arguments the rows follow.
        rows: as they are found.
    """
    found = []
    try:
        for row in rows:
            found.append(row)
    except (OSError, ValueError, RuntimeError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the record", file=sys.stderr)
    if not found:
        sys.exit("there is no row")
    return found


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline()


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(content.rfind(b"\n") + 1)
