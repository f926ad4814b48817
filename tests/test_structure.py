"""Imports point one way only: lower floors know nothing of higher ones."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    (
        "checks",
        "image_files",
        "randomness",
        "passes",
        "results",
        "targets",
        "layers",
        "suitable",
        "object_path",
        "signatures",
    ),
    ("forward", "baselines", "perturbation", "call_model", "spec", "metric_spec"),
    ("path", "models"),
    ("attr",),
    ("builtins",),
    ("registry",),
    ("explanation", "coerce"),
    ("visualize", "testing", "metrics"),
    ("exam", "pictures"),
    ("analysis",),
    ("study",),
    ("cli",),
)
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
