"""Of code that has changed, the digests are other ones; of the same code, they are the same."""

import importlib
import os
import shutil
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path

import captum
import pytest
import torch

import captum_ext
from captum_ext.metric_spec import MetricSpec
from captum_ext.study import MethodEntry, MetricEntry, ModelEntry, plan_of
from captum_ext.study.plan.canonical import CODE, digest_of_model, source
from captum_ext.study.plan.code import reread, version_of
from tests.study.conftest import ROOT, small_study

FILES = {
    "__init__.py": "",
    "methods.py": """
from captum.attr import Attribution
POWER = 1
class Mine(Attribution):
    def attribute(self, inputs, target=None, factor=1):
        from .helpers import power
        return factor * power(inputs, POWER)
""",
    "helpers.py": "from mine import deeper\ndef power(x, n): return 1 * deeper.once(x) ** n\n",
    "deeper.py": "def once(x): return 1 * x\n",
    "metrics.py": "def total(question): return question.attribution.sum() + 1\n",
    "models.py": """
import torch
class Net(torch.nn.Module):
    def __init__(self): super().__init__(); self.scale = 1
    def forward(self, x): return 1 * x.flatten(1)[:, :3] * self.scale
""",
    "factories.py": "from mine import models\ndef make(): return 1 and models.Net()\n",
    "other.py": "unused = 1\n",
}
EXECUTED = """
scale, names = 2, {"one", "two", "three"}
def half(x): return x / scale
class Net(torch.nn.Module):
    def forward(self, x, part=0.5):
        super().train()
        return half(x) if "one" in {"one", "two", "three"} else x * part
"""


def executed(text):
    scope = {"__name__": "__main__", "torch": torch}
    exec(text, scope)
    return scope["Net"]


class Package:
    """A package of a user's, whose files are edited."""

    def __init__(self, folder):
        self.folder = folder / "mine"
        self.folder.mkdir()
        for name, text in FILES.items():
            (self.folder / name).write_text(text)

    def edit(self, file, old="1", new="2"):
        path = self.folder / file
        path.write_text(path.read_text().replace(old, new))
        os.utime(path, (path.stat().st_mtime + 9,) * 2)

    def load(self, name):
        """A module, as a new process would load it."""
        for loaded in [each for each in sys.modules if each.partition(".")[0] == "mine"]:
            del sys.modules[loaded]
        importlib.invalidate_caches()
        return importlib.import_module(f"mine.{name}")

    def keys(self):
        """The keys of a study's cells of one method, metric and model, with and without it."""
        total = self.load("metrics").total
        metric = MetricSpec("total", "", "none", "", total, needs={"context"})
        parts = {
            "methods": [MethodEntry(self.load("methods").Mine)],
            "metrics": [MetricEntry(metric)],
            "models": [ModelEntry.classifier("mine.factories:make", "net", size=8)],
        }
        studies = {what: small_study(**{what: entries}) for what, entries in parts.items()}
        return {what: {cell.key for cell in plan_of(each).cells} for what, each in studies.items()}


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    yield Package(tmp_path)
    for name in [each for each in sys.modules if each.partition(".")[0] == "mine"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("methods.py", {"methods"}),
        ("helpers.py", {"methods"}),
        ("deeper.py", {"methods"}),
        ("metrics.py", {"metrics"}),
        ("models.py", {"models"}),
        ("factories.py", {"models"}),
        ("other.py", set()),
    ],
)
def test_an_edited_file_changes_the_keys_of_what_it_determines(package, file, changed):
    before = package.keys()
    package.edit(file)
    after = package.keys()
    assert {what for what in before if before[what] != after[what]} == changed
    assert all(not before[what] & after[what] for what in changed)


def test_forward_and_numbers_of_a_model_are_seen(package):
    def digest():
        reread()
        return digest_of_model(package.load("models").Net())

    before = digest()
    package.edit("models.py", "1 * x", "2 * x")
    forward = digest()
    package.edit("models.py", "scale = 1", "scale = 2")
    state, code = zip(*(each.split(CODE) for each in (before, forward, digest())), strict=True)
    assert len(set(code)) == 3 and state[0] == state[1] != state[2]


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("old", ["factor *", "POWER = 1", "factor=1"])
def test_it_is_the_loaded_code_that_counts_not_what_its_file_says_by_now(
    package, caplog, seen, old
):
    """Its body, a constant, a default."""
    mine = package.load("methods").Mine
    reread()
    before = source(mine) if seen else None
    package.edit("methods.py", old, old.replace("1", "3").replace("*", "/"))
    reread()
    stale = source(mine)
    assert "mine.methods is not loaded as its file now is" in caplog.text
    reread()
    edited = source(package.load("methods").Mine)
    assert edited != stale
    assert (stale == before) == seen


def test_a_class_of_before_its_module_was_loaded_anew_is_not_that_of_after(package):
    before = package.load("methods")
    old = before.Mine
    package.edit("methods.py", "factor *", "factor +")
    importlib.reload(before)
    reread()
    assert source(old) != source(before.Mine)


def test_another_process_and_another_place_give_the_same_digests(package, python, tmp_path):
    copy = shutil.copytree(package.folder.parent, tmp_path / "copy")
    script = """
import importlib, json, sys, torch
from captum_ext.study.plan.canonical import *
sys.path.insert(0, sys.argv[1])
exec(sys.argv[2])
print(json.dumps([source(importlib.import_module("mine.methods").Mine), digest_of_model(
    importlib.import_module("mine.models").Net()), digest_of_model(Net())]))
"""
    reread()
    mine = package.load("methods").Mine
    models = importlib.import_module("mine.models").Net(), executed(EXECUTED)()
    here = [source(mine), *map(digest_of_model, models)]
    assert here == python(script, copy, EXECUTED) == python(script, package.folder.parent, EXECUTED)


@pytest.mark.parametrize(
    ("old", "new"),
    [("x * part", "x"), ("x / scale", "scale"), ("= 2", "= 3"), ("=0.5", "=0.7"), ("def", "\ndef")],
)
def test_a_class_without_a_source_is_known_by_its_code(old, new):
    """By itself, by what it calls, by what that reads, by a default; not by where it stands."""
    digests = [source(executed(text)) for text in (EXECUTED, EXECUTED.replace(old, new, 1))]
    assert (digests[0] == digests[1]) == (old == "def")


def test_classes_that_a_function_makes_differ_in_what_it_gives_them():
    def made(power):
        return type("Made", (), {"power": lambda self, x: x**power})

    assert source(made(1)) == source(made(1)) != source(made(2))


def test_an_installed_distribution_is_known_by_its_version(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shop.py").write_text("class Sold: pass\n")
    about = tmp_path / "shop-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.2\n")
    (about / "RECORD").write_text("shop.py,,\nshop-1.2.dist-info/METADATA,,\n")
    reread()
    sold = importlib.import_module("shop").Sold
    monkeypatch.delitem(sys.modules, "shop")
    assert source(sold) == "shop.Sold shop 1.2"
    # As an editable install has it.
    (about / "RECORD").write_text("shop-1.2.dist-info/METADATA,,\n")
    reread()
    assert source(sold).startswith(f"shop.Sold{CODE}")


def moved(module, folder, monkeypatch):
    """As if a package were imported from a copy of its folder."""
    package = Path(module.__file__).parent
    copy = shutil.copytree(package, folder / package.name, ignore=lambda *_: ["__pycache__"])
    spec = ModuleSpec(package.name, None, is_package=True)
    spec.submodule_search_locations = [str(copy)]
    monkeypatch.setattr(module, "__spec__", spec)
    reread()
    return copy


def test_a_changed_file_of_an_installed_captum_changes_its_version(tmp_path, monkeypatch):
    reread()
    assert version_of("captum") == version("captum")
    copy = moved(captum, tmp_path, monkeypatch)
    assert version_of("captum") == version("captum")
    (copy / "added.py").write_text("more = 1")
    reread()
    assert version_of("captum").startswith(f"{version('captum')}+")


def test_an_edited_file_of_captum_ext_changes_its_version_wherever_it_lies(
    tmp_path, monkeypatch, python
):
    reread()
    before = version_of("captum_ext")
    assert "+" in before
    copy = moved(captum_ext, tmp_path, monkeypatch)
    assert version_of("captum_ext") == before
    shutil.copytree(ROOT / "saliency_adapters", tmp_path / "saliency_adapters")
    with (copy / "attr" / "ig2.py").open("a") as file:
        file.write("# edited\n")
    script = """
import json, sys
for name in [name for name in sys.modules if name.startswith(("captum_ext", "saliency_adapters"))]:
    del sys.modules[name]
sys.path.insert(0, sys.argv[1])
from captum_ext.study.define.study import decisive_versions
print(json.dumps(decisive_versions()["captum_ext"]))
"""
    after = python(script, tmp_path)
    assert after != before and after.partition("+")[0] == before.partition("+")[0]
