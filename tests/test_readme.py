"""What the README says holds: its examples run, and its table lists every method."""

import re
from pathlib import Path

import pytest

import captum_ext
from captum_ext.readme import with_table

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_examples_run_in_order(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(block, "README.md", "exec"), namespace)
    captum_ext.unregister()
    assert "Passes(forward=50, backward=50)" in capsys.readouterr().out
    assert namespace["relevance"].shape == namespace["heat"].shape == namespace["images"].shape
    assert abs(namespace["delta"]).max() < 0.1
    assert namespace["picture"].shape == (32, 32)
    assert len(namespace["files"]) == 2 * 2 * 2 + 2


@pytest.mark.parametrize("spec", captum_ext.methods(), ids=lambda spec: spec.name)
def test_the_table_lists_the_method_as_its_spec_has_it(spec):
    needs = ", ".join(sorted(need.value for need in spec.needs)) or "any function"
    row = f"| `{spec.name}` | {spec.title} ({spec.paper}) | {spec.family} | {needs} |"
    assert row in README, "run python -m captum_ext.readme"


def test_the_table_is_what_the_registry_writes():
    assert with_table(README) == README, "run python -m captum_ext.readme"
