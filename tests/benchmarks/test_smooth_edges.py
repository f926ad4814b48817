"""All attributers of a combination are told the same outputs; another run asks for none."""

import argparse
import importlib
import sys
from pathlib import Path

import pytest

from captum_ext.forward import count_passes
from captum_ext.study import CellResult, Study, plan_of, read_results
from captum_ext.study.define.cache import StudyCache
from captum_ext.study.run.compute import compute
from captum_ext.study.run.engines import InProcess

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch):
    """A module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def run(load, monkeypatch, capsys, tmp_path):
    """What the benchmark prints with some arguments, after the usual ones."""
    main = load("smooth_edges.__main__").main
    usual = "smooth_edges --images rocket --weights random --size 32 --segmenters grid --steps 3"

    def printed(words):
        monkeypatch.setattr(sys, "argv", [*usual.split(), "--out", str(tmp_path), *words.split()])
        main()
        return capsys.readouterr().out

    return printed


def test_a_second_run_asks_the_model_nothing_and_reports_the_same(run, tmp_path, monkeypatch):
    words = "--edges hard --samples 20 --occlusions mean"
    first, content = run(words), (tmp_path / "smooth_edges.csv").read_bytes()
    assert "n_samples must be at least 50" in first
    # Not the method's: it would be another one.
    monkeypatch.setattr(InProcess, "run", None)
    assert run(words) == first
    assert (tmp_path / "smooth_edges.csv").read_bytes() == content
    assert (tmp_path / "smooth_edges.png").stat().st_size


def test_a_larger_selection_computes_only_what_is_not_there(run, tmp_path):
    words = "--samples 60 --occlusions mean --attributers"
    run(f"{words} rise --edges hard")
    before = read_results(tmp_path).cells
    printed = run(f"{words} rise lime --edges hard soft")
    cells = read_results(tmp_path).cells
    assert len(cells) == 4 * len(before) and (cells["status"] == "ok").all()
    same = cells.merge(before, on="key", suffixes=("", "_before"))
    assert (same["seconds"] == same["seconds_before"]).all() and len(same) == len(before)
    for line in ("grid soft LIME", "edge: soft - hard", "attributer: LIME - RISE"):
        assert line in printed


def test_attributers_share_passes_and_are_judged_by_their_own_scores(load):
    cases, shared = load("smooth_edges.cases"), load("side_by_side")
    args = argparse.Namespace(
        segmenters=["grid"],
        edges=["soft"],
        samplers=["bernoulli"],
        perturbers=["mean"],
        samples=[60],
        attributers=["rise", "lime", "shap"],
        occlusions=["mean"],
        steps=3,
    )
    study = Study(
        "Test",
        [shared.model_entry("squeezenet1_0", "random")],
        shared.photographs(["rocket"], 32),
        list(cases.methods(args)),
        list(cases.metrics(args)),
    )
    cache = StudyCache()
    (task,) = plan_of(study, cache).tasks
    subject = cache.subject(task.model, task.fingerprint)
    with count_passes(subject.model) as passes:
        results = [each for each in compute(task, cache) if isinstance(each, CellResult)]
    assert {each.status for each in results} == {"ok"}
    alone = [each.forward for each in results[:: len(study.metrics)]]
    assert alone == [62] * 3
    # The image is classified once; two curves of three steps for each attributer and way.
    assert passes.forward == 1 + 62 + 3 * 2 * 4
    srg, lif, mif = (results[number].value for number in (0, 2, 4))
    assert srg == pytest.approx(lif - mif)


def test_a_difference_counts_where_it_is_no_chance(load):
    report = load("smooth_edges.report")
    column = report.Column("mean", "pixel")
    names = [f"{number}" for number in range(12)]
    hard, soft = (("grid", edge, "bernoulli", "mean", "60", "rise") for edge in ("hard", "soft"))
    cells = {
        hard: {name: 0.1 * number for number, name in enumerate(names)},
        soft: {name: 0.1 * number + 0.2 + 0.01 * (number % 3) for number, name in enumerate(names)},
    }
    (line,) = report.edge_differences({column: cells})
    assert line.told_apart == {column}
    n, mean, low, high = line.cells[column]
    assert n == 12 and 0.2 < low < mean < high < 0.22
    (line,) = report.level_differences({column: cells})
    assert line.label == "edge: soft - hard" and line.told_apart == {column}
    few = {key: dict(list(own.items())[:3]) for key, own in cells.items()}
    (line,) = report.edge_differences({column: few})
    assert not line.told_apart
