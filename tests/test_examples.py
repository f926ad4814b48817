"""The notebooks run from top to bottom, and the color model that they explain is right."""

import doctest
from pathlib import Path

import pytest
import torch

from captum_ext import explain, load_model, methods
from captum_ext.pictures import explain_picture

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
COLORS = {
    "red": (1, 0, 0),
    "yellow": (1, 1, 0),
    "green": (0, 1, 0),
    "cyan": (0, 1, 1),
    "blue": (0, 0, 1),
    "magenta": (1, 0, 1),
    "white": (1, 1, 1),
    "black": (0, 0, 0),
}
SIDE = 32


@pytest.fixture
def model(monkeypatch):
    """As the command line finds it, from the root of the repository; but for small pictures."""
    monkeypatch.chdir(ROOT)
    return load_model("examples.color_model:color_model", size=SIDE)


def square(color):
    """A picture all gray but for a square of a color; and where the square is, ``[H, W]``."""
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[8:24, 8:24] = True
    picture = torch.full((1, 3, SIDE, SIDE), 0.5)
    picture[0][:, inside] = torch.tensor(color, dtype=torch.float32)[:, None]
    return picture, inside


@pytest.mark.parametrize(("name", "color"), COLORS.items(), ids=COLORS)
def test_the_color_of_a_square_is_the_answer_and_its_logit_lies_there(model, name, color):
    picture, inside = square(color)
    (top,) = model.top(picture, 1)
    assert top.label == name
    evidence = model.model.evidence(picture)[0]
    beside = torch.nn.functional.max_pool2d(inside[None].float(), 3, 1, 1)[0] == 0
    assert evidence[:, beside].abs().max() == 0
    assert evidence[top.index][inside].min() > 0
    assert evidence[top.index].mean().item() == pytest.approx(top.logit, rel=1e-5)


def test_gray_has_no_color(model):
    assert model(torch.full((1, 3, SIDE, SIDE), 0.5)).abs().max() == 0


@pytest.mark.parametrize(
    "method",
    ["saliency", "integrated_gradients", "deep_lift", "lrp_epsilon", "grad_cam", "occlusion"],
)
def test_methods_find_the_red_square(model, method):
    picture, inside = square(COLORS["red"])
    strength = explain(model, picture, "red", method)[0].abs().sum(0)
    assert strength[inside].sum() > 0.8 * strength.sum() > 0


@pytest.mark.slow
@pytest.mark.parametrize("spec", methods(), ids=lambda spec: spec.name)
def test_every_method_runs_on_the_color_model(model, spec):
    (answer,) = explain_picture(model, "astronaut", spec, targets=["red"]).answers
    assert answer.problem == ""
    assert answer.attribution.shape == (3, SIDE, SIDE)


def test_the_examples_of_the_color_model_run(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    import examples.color_model  # noqa: PLC0415

    failed, tried = doctest.testmod(examples.color_model)
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_and_print_no_warning(path):
    pytest.importorskip("ipykernel")
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, kernel_name="python3", resources=place, timeout=600).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_there_are_notebooks():
    assert NOTEBOOKS
