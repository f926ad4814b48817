"""A benchmark that was interrupted goes on where it was."""

import importlib
import math
from dataclasses import make_dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kind():
    """A kind of rows, of which image and size are the case."""
    fields = [("image", "str"), ("size", "int"), ("srg", "float"), ("status", "str")]
    case = property(lambda self: (self.image, self.size))
    return make_dataclass("Row", fields, frozen=True, namespace={"case": case})


@pytest.fixture
def record_of(monkeypatch, kind):
    """The record at a path."""
    monkeypatch.syspath_prepend(ROOT)
    record = importlib.import_module("benchmarks.record")
    return lambda path: record.Record(path, kind)


@pytest.fixture
def row(kind):
    return kind("a, b", 64, 0.1 + 0.2, "ok")


def test_rows_are_read_as_they_were_written(tmp_path, record_of, row):
    bad = replace(row, image="c", srg=math.nan, status="skipped: too few, 'samples'")
    record = record_of(tmp_path / "rows.csv")
    record.add(row)
    record.add(bad)
    again = record_of(record.path)
    assert again.rows[row.case] == row
    assert again.rows[bad.case].status == bad.status
    assert math.isnan(again.rows[bad.case].srg)
    assert replace(row, size=32).case not in again.rows


def test_a_torn_last_line_is_written_anew_wherever_it_is_torn(tmp_path, record_of, row):
    path = tmp_path / "rows.csv"
    second = replace(row, image="é")
    record = record_of(path)
    record.add(row)
    start = path.stat().st_size
    record.add(second)
    whole = path.read_bytes()
    for length in (0, 20, start, start + 2, len(whole) - 10, len(whole) - 1):
        path.write_bytes(whole[:length])
        torn = record_of(path)
        assert second.case not in torn.rows
        assert (row.case in torn.rows) == (length >= start)
        for each in (row, second):
            if each.case not in torn.rows:
                torn.add(each)
        assert path.read_bytes() == whole


def test_a_line_that_cannot_be_read_is_left_out(tmp_path, record_of, row, capsys):
    record = record_of(tmp_path / "rows.csv")
    with record.path.open("a") as file:
        file.write("some,thing\n")
    record.add(row)
    assert list(record_of(record.path).rows) == [row.case]
    assert "line 2" in capsys.readouterr().err


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path, record_of):
    path = tmp_path / "rows.csv"
    path.write_text("image,srg\na,1\n")
    with pytest.raises(ValueError, match="other columns"):
        record_of(path)
    assert path.read_text() == "image,srg\na,1\n"
