"""What needs neither torch nor tables starts without them."""

import subprocess
import sys
from importlib import import_module

import pytest

from captum_ext import baselines, choices, exam, study
from captum_ext.cli import main
from captum_ext.registry import exam_models
from captum_ext.study import read_results, run_study
from tests.study.conftest import small_study
from tests.test_structure import BLOCKED, ROOT

HEAVY = ("captum", "matplotlib", "pandas", "saliency", "scipy", "skimage", "torch")
COMMANDS = ("methods", "explain", "exam", "study", "report")


def run_without(packages, *arguments):
    script = BLOCKED + "from captum_ext.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", script, ",".join(packages), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        *(([command, "--help"], 0) for command in COMMANDS),
        ([], 2),
        (["explode"], 2),
        (["exam", "--size", "large"], 2),
        (["exam", "--size", "5000"], 2),
        (["exam", "--seed", "-1"], 2),
        (["explain", "coffee"], 2),
        (["study", "--out"], 2),
        (["study", "--out", "results"], 2),
        (["report"], 2),
    ],
)
def test_help_and_errors_of_arguments_need_no_heavy_package(arguments, code):
    result = run_without(HEAVY, *arguments)
    assert result.returncode == code, result.stderr
    assert not code or len(result.stderr.splitlines()) == 1
    assert "blocked" not in result.stderr


def test_an_image_that_does_not_exist_is_said_without_torch():
    result = run_without(HEAVY, "explain", "nothing.png", "--model", "resnet18")
    assert result.returncode == 2
    assert "image 'nothing.png' does not exist" in result.stderr


def test_the_report_and_the_table_need_no_torch(tmp_path):
    run_study(small_study(), tmp_path)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "with.html")]) == 0
    without = ("captum", "saliency", "skimage", "torch")
    result = run_without(without, "report", tmp_path, "--out", tmp_path / "without.html")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "without.html").read_bytes() == (tmp_path / "with.html").read_bytes()
    result = run_without(without, "study", "--out", tmp_path, "--export", "csv")
    assert result.returncode == 0, result.stderr
    rows = (tmp_path / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + len(read_results(tmp_path).cells)


def test_lists_of_choices_are_those_of_what_they_name():
    assert tuple(baselines.BASELINES) == choices.BASELINES
    ours = tuple(spec.name for spec in exam_models() if spec.origin == "captum_ext")
    assert ours == choices.EXAM_MODELS
    assert tuple(exam.known_model.HEADS) == choices.EXAM_OUTPUTS


@pytest.mark.parametrize("package", ["captum_ext", "captum_ext.study"])
def test_names_of_a_lazy_package_are_all_there(package):
    script = f"import {package} as package; assert {{*package.__all__}} <= {{*dir(package)}}"
    subprocess.run([sys.executable, "-c", BLOCKED + script, ",".join(HEAVY)], check=True, cwd=ROOT)
    module = import_module(package)
    assert all(hasattr(module, name) for name in module.__all__)


def test_submodules_of_a_lazy_package_are_there_and_others_are_not():
    assert study.store.read.read_results is study.read_results
    with pytest.raises(AttributeError, match=r"'captum_ext.study' has no attribute 'runs'"):
        study.runs  # noqa: B018
