"""Captum's private names: all in one file, all there, and a clear error where one is not."""

import ast
import importlib
import sys
from pathlib import Path

import captum
import pytest

from captum_ext import _captum
from tests.test_structure import ROOT, imports_of

FILE = Path(_captum.__file__)
USED = [
    (node.module, alias.name)
    for node in ast.walk(ast.parse(FILE.read_text()))
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
]


@pytest.mark.parametrize(("module", "name"), USED)
def test_every_name_is_there(module, name):
    assert getattr(_captum, name) is getattr(importlib.import_module(module), name)


def test_a_name_that_is_missing_is_said_with_the_versions(monkeypatch):
    monkeypatch.delattr("captum._utils.common._select_targets")
    monkeypatch.delitem(sys.modules, "captum_ext._captum")
    with pytest.raises(ImportError, match=r"_select_targets.* works with captum 0\.8 to ") as error:
        importlib.import_module("captum_ext._captum")
    assert str(error.value).startswith(f"captum {captum.__version__} lacks")


def is_private(name):
    package, *rest = name.split(".")
    return package == "captum" and any(part == "log" or part[0] == "_" for part in rest)


@pytest.mark.parametrize("package", ["captum_ext", "saliency_adapters", "benchmarks", "examples"])
def test_no_other_file_imports_them(package):
    private = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / package).rglob("*.py")
        if path != FILE
        for name in imports_of(path)
        if is_private(name)
    }
    assert not private
