"""Imports point one way only: lower floors know nothing of higher ones."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    ("_captum", "lazy", "choices", "value_checks"),
    ("checks", "image_files", "randomness", "passes", "results", "targets", "layers", "soundness"),
    ("object_path", "signatures", "spec_files"),
    ("analysis",),
    (
        "attribution_mixin",
        "forward",
        "baselines",
        "perturbation",
        "call_model",
        "budgets",
        "spec",
        "metric_spec",
        "exam_spec",
    ),
    ("path", "models"),
    ("attr",),
    ("builtins",),
    ("registry",),
    ("coerce", "outputs", "request"),
    ("asking",),
    ("examination", "explanation", "readme"),
    ("visualize", "testing", "metrics"),
    ("exam", "pictures"),
    ("study",),
    ("cli",),
)
#: The beginning of a script that cannot import the packages of its first argument.
BLOCKED = """
import sys
blocked = sys.argv.pop(1).split(",")
class Finder:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Finder)
"""
#: What of study.store reads results.
NO_TORCH_IN_STORE = ("cells", "identity_differences", "read", "sqlite")
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted((ROOT / "captum_ext").rglob("*.py")), ids=lambda p: p.stem)
def test_no_room_imports_from_above(path):
    room = path.relative_to(ROOT / "captum_ext").parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for module in imports_of(path):
        package, *rest = module.split(".")
        assert package not in ("saliency_adapters", "benchmarks", "tests"), module
        if package == "captum_ext" and rest and rest[0] in FLOOR:
            assert FLOOR[rest[0]] <= FLOOR[room], f"{room} imports {module}"


def test_every_room_stands_on_a_floor():
    rooms = {p.stem for p in (ROOT / "captum_ext").iterdir() if p.suffix == ".py" or p.is_dir()}
    assert rooms - {"__init__", "__pycache__"} == set(FLOOR)


def test_analysis_needs_no_torch():
    files = [*(ROOT / "captum_ext" / "analysis").rglob("*.py")]
    files += [ROOT / "captum_ext/study/store" / f"{name}.py" for name in NO_TORCH_IN_STORE]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    script = BLOCKED + "\n".join(f"import {module}" for module in modules)
    subprocess.run([sys.executable, "-c", script, "captum,torch"], check=True, cwd=ROOT)


def test_no_two_classes_have_one_name():
    homes = {}
    # The adapters bear the names of what they adapt.
    for path in sorted(
        [*(ROOT / "captum_ext").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                assert node.name not in homes, f"{node.name}: {path} and {homes[node.name]}"
                homes[node.name] = path


IRREGULAR = {"found", "kept", "known", "made", "seen", "shown", "told", "given", "said"}


@pytest.mark.parametrize("package", ["captum_ext", "saliency_adapters", "benchmarks"])
def test_no_file_is_named_by_a_participle(package):
    stems = {path.stem for path in (ROOT / package).rglob("*")}
    assert not [
        stem for stem in stems if stem in IRREGULAR or (stem.endswith("ed") and stem != "speed")
    ]
