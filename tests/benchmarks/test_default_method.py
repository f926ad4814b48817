"""Every method in the choice of the default has a budget, and explains what it is defined on."""

import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

from captum_ext import explain, get_method, methods
from captum_ext.forward import count_passes

ROOT = Path(__file__).parents[2]
BUDGET = 120
#: They cost what they cost: a pass for each segment.
WITHOUT_SETTING = ("ciu", "segment_pda")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.default_method")


@pytest.mark.parametrize("name", [s.name for s in methods() if s.name not in WITHOUT_SETTING])
def test_a_method_keeps_to_its_budget(benchmark, name):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    image, references = torch.rand(1, 3, 64, 64), torch.rand(4, 3, 64, 64)
    spec = benchmark.within(BUDGET, get_method(name), image, references)
    with count_passes(model) as passes:
        explain(model, image, 0, spec)
    assert 0 < passes.total <= 1.1 * BUDGET


def test_each_output_is_explained_by_the_methods_that_are_defined_on_it(benchmark):
    assert benchmark.outputs_of(get_method("lrp_z")) == ("logit",)
    assert benchmark.outputs_of(get_method("pda")) == ("probability",)
    assert benchmark.outputs_of(get_method("rise")) == ("logit", "probability")


def test_the_table_begins_with_the_best(benchmark):
    shared = ("a", "b", "squeezenet1_0", "c")
    rows = [
        benchmark.Row("cat", *shared, method, "logit", 500, 3, 10, 0, srg)
        for method, srg in (("rise", 0.2), ("lime", 0.6))
    ]
    lines = benchmark.table([*rows, *rows]).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["lime", "rise"]
    assert "0.600 ± 0.000" in lines[1]
