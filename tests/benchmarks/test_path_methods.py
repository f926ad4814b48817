"""Studies of methods side by side: which references, whose delta, what is written."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captum_ext import explain
from captum_ext.study import Aim, attribution_files, read_results

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch):
    """A module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def run(module, monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, command)])
    module.main()
    return capsys.readouterr()


def test_references_are_of_other_classes(load):
    compared = load("path_methods").compared
    references = torch.arange(5.0).reshape(5, 1, 1, 1)
    aim = Aim(torch.zeros(1, 1, 1, 1), 7, "seven", outputs="softmax")
    settings = compared(aim, references, labels=[7, 3, 7, 7, 4], n_references=8, n_steps=5)
    assert settings["baselines"].flatten().tolist() == [1, 4] and settings["n_steps"] == 5
    settings = compared(aim, references, labels=[7, 3, 7, 7, 4], n_references=1)
    assert settings["baselines"].flatten().tolist() == [1]
    with pytest.raises(ValueError, match="no reference is of another class than seven"):
        compared(aim, references, labels=[7] * 5, n_references=8)


def test_pda_draws_from_the_other_photographs(load):
    pda = load("perturbation_methods").pda
    data = torch.rand(3, 1, 2, 2)
    aim = Aim(data[1:2], 0, "0", outputs="softmax")
    settings = pda(aim, data, marginal=lambda others: others, n_samples=2)
    assert torch.equal(settings["marginal"], data[[0, 2]]) and settings["n_samples"] == 2
    with pytest.raises(ValueError, match="another photograph"):
        pda(aim, data[1:2], marginal=lambda others: others)


def test_images_are_resized_as_ever(load):
    shared, subjects = load("side_by_side"), load("subjects")
    (image,) = shared.photographs(["rocket", "rocket"], 20)
    assert torch.equal(image.read(), subjects.photograph("rocket", 20))
    (same,) = shared.photographs(["rocket"], 21)
    assert image.digest() != same.digest()


def test_path_methods_tells_deltas_and_writes_all(load, tmp_path, monkeypatch, capsys):
    benchmark, out = load("path_methods"), tmp_path / "out"
    torn = tmp_path / "torn.png"
    Image.new("RGB", (40, 40), "red").save(torn)
    torn.write_bytes(torn.read_bytes()[:60])
    command = ["--images", "rocket", "coffee", torn, "--references", "rocket", "coffee"]
    command += ["--weights", "random", "--size", 64, "--steps", 3, "--out", out]
    printed = run(benchmark, monkeypatch, capsys, command).out
    for line in ("Blur IG does not tell its convergence delta", "torn", "cells failed"):
        assert line in printed
    for name in ("path_methods.png", "path_methods.csv", "report.html"):
        assert (out / name).stat().st_size > 1000
    cells = read_results(out).cells.set_index(["image", "method", "metric"])
    assert set(cells.loc["torn", "status"]) == {"failed"}
    files = attribution_files(out)
    assert len(files) == 10
    subject = load("side_by_side").model_entry("squeezenet1_0", "random").load()
    seen = load("subjects").photograph("coffee", 64)[None]
    target = int(cells.loc[("coffee", "integrated_gradients", "srg"), "target"])
    heat, delta = explain(
        subject.model,
        seen,
        target,
        "integrated_gradients",
        n_steps=3,
        return_convergence_delta=True,
    )
    value = cells.loc[("coffee", "integrated_gradients", "delta"), "value"]
    assert value == pytest.approx(abs(float(delta)), rel=1e-3)
    kept = np.load(files["squeezenet1_0", "coffee", "integrated_gradients", 0])["attribution"]
    assert np.allclose(kept, heat[0].numpy(), atol=1e-6)
