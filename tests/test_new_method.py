"""A new method is one file in ``captum_ext/attr/``: from that alone it appears everywhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOYS = sorted((ROOT / "tests" / "toy_methods").glob("*.py"))

SCRIPT = """
import pickle, sys
from importlib import import_module
import captum_ext, captum.attr, saliency.core, saliency_adapters
from captum_ext.cli import main
from captum_ext.readme import main as write_table
from captum_ext.study import EmbeddedImage, MethodEntry, MetricEntry, ModelEntry, Study, run_study
from captum_ext.testing import check_attribution

folder, name = sys.argv[1:]
assert captum_ext.__file__.startswith(folder)
module = import_module("captum_ext.attr." + name)
specs = getattr(module, "SPECS", None) or [module.SPEC]
cls = specs[0].attribution
assert getattr(captum_ext.attr, cls.__name__) is cls
for spec in specs:
    assert captum_ext.get_method(spec.name) is spec
    assert any(each is spec for each in captum_ext.methods())

captum_ext.register()
assert getattr(captum.attr, cls.__name__) is cls and cls.__name__ in captum.attr.__all__
adapter = getattr(saliency.core, cls.__name__)
assert issubclass(adapter, saliency.core.CoreSaliency)
assert getattr(saliency_adapters, cls.__name__) is adapter
assert adapter().spec.name == name
assert pickle.loads(pickle.dumps(adapter())).spec.name == name
for twin in specs[1:]:
    by_name = getattr(saliency_adapters, twin.name.title().replace("_", ""))
    assert by_name().spec.name == twin.name

check_attribution(name).raise_if_failed()
assert main(["methods"]) == 0
exam = ["exam", "--size", "5", "--images", "1", "--methods", name, "--out", folder]
assert main(exam) == 0
study = Study(
    "A toy",
    models=[ModelEntry.exam("additive", size=9)],
    images=[EmbeddedImage("coffee")],
    methods=[MethodEntry(name)],
    metrics=[MetricEntry("shapley_agreement")],
)
cells = run_study(study, folder + "/study").cells
assert cells["method"].tolist() == [name] and cells["value"].notna().all()
write_table([folder + "/README.md"])
"""


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.stem)
def test_a_toy_method_as_one_file_appears_everywhere(toy, tmp_path):
    for package in ("captum_ext", "saliency_adapters"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copy(toy, tmp_path / "captum_ext" / "attr")
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), toy.stem],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    title = toy.stem.replace("_", " ").capitalize()
    assert toy.stem in result.stdout
    assert title in result.stdout
    assert (tmp_path / "exam.png").exists()
    assert f"\n| `{toy.stem}` | {title} (-) |" in (tmp_path / "README.md").read_text("utf-8")


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.stem)
def test_a_toy_method_is_short(toy):
    assert len(toy.read_text("utf-8").splitlines()) < 40
