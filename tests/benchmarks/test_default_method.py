"""The default's choice: each method explains what it is defined on, within its passes."""

import importlib
import sys
from pathlib import Path

import pytest

from captum_ext import get_method, methods
from captum_ext.study import read_results

ROOT = Path(__file__).parents[2]
NAMES = ("segment_lime", "rise", "saliency", "occlusion", "ig2", "pda")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.default_method")


def test_each_output_is_explained_by_the_methods_that_are_defined_on_it(benchmark):
    assert benchmark.outputs_of(get_method("lrp_z")) == ("logit",)
    assert benchmark.outputs_of(get_method("pda")) == ("probability",)
    assert benchmark.outputs_of(get_method("rise")) == ("logit", "probability")


def test_the_table_begins_with_the_best_and_nobody_takes_more_than_is_allowed(
    benchmark, tmp_path, monkeypatch, capsys
):
    few = [spec for spec in methods() if spec.name in NAMES]
    monkeypatch.setattr(benchmark, "methods", lambda: few)
    command = ["--weights", "random", "--size", "48", "--images", "rocket", "coffee", "chelsea"]
    command += ["--passes", "90", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["default_method", *command])
    benchmark.main()
    cells = read_results(tmp_path).cells
    assert set(cells["status"]) == {"ok"}
    assert (cells["forward"] + cells["backward"]).between(2, 90).all()
    printed = capsys.readouterr().out
    table = printed.split("\n---", 1)[1].split("\n\n")[0].splitlines()[1:]
    means = cells.groupby("method")["value"].mean()
    values = [means[line.split("  ")[0]] for line in table]
    assert len(values) == 9
    assert values == sorted(values, reverse=True)
