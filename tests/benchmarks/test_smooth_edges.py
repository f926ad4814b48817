"""A benchmark that was interrupted goes on where it was."""

import importlib
import math
import sys
from dataclasses import astuple, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.smooth_edges.rows")


@pytest.fixture
def record_of(rows):
    """The record at a path."""
    record = importlib.import_module("benchmarks.record")
    return lambda path: record.Record(path, rows.Row)


@pytest.fixture
def row(rows):
    words = ["a, b", "0f", "squeezenet1_0", "1e", 64, "grid", "soft", "bernoulli", "mean", 10]
    case = rows.Case(*words, "rise", "segment", "blur", 10, 0, "parts")
    return rows.Row(*astuple(case), 5, 49, 0.1 + 0.2, 1e-9, 0.3, "ok")


def test_rows_are_read_as_they_were_written(tmp_path, rows, record_of, row):
    bad = rows.skipped(replace(row, per="pixel").case, 5, 1, ValueError("too\nfew, 'samples'"))
    record = record_of(tmp_path / "rows.csv")
    record.add(row)
    record.add(bad)
    again = record_of(record.path)
    assert again.rows[row.case] == row
    assert again.rows[bad.case].status == "skipped: too few, 'samples'"
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
    for length in (0, 20, start, start + 2, len(whole) - 30, len(whole) - 1):
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


def test_a_second_run_asks_the_model_nothing_and_reports_the_same(
    tmp_path, rows, monkeypatch, capsys
):
    benchmark = importlib.import_module("benchmarks.smooth_edges.__main__")
    subject = "--images rocket --weights random --size 32"
    parts = "--segmenters grid --edges hard --samples 20 --occlusions mean --steps 3"
    words = f"smooth_edges {subject} {parts}".split()
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path)])
    benchmark.main()
    first, content = capsys.readouterr().out, (tmp_path / "smooth_edges.csv").read_bytes()
    assert "n_samples must be at least 50" in first
    monkeypatch.setattr(benchmark, "measure", None)
    benchmark.main()
    assert capsys.readouterr().out == first
    assert (tmp_path / "smooth_edges.csv").read_bytes() == content
    assert (tmp_path / "smooth_edges.png").stat().st_size
