import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from captum_ext.cli import main
from captum_ext.study import FileImage, MethodEntry, MetricEntry, ModelEntry, plan_of, run_study
from captum_ext.study.define.cache import StudyCache
from captum_ext.study.run.dry_run import dry_run
from tests.study.conftest import classifier, exam, network, pictures, small_study, write_study

METHODS = [
    MethodEntry("saliency"),
    MethodEntry("occlusion"),
    MethodEntry("smooth_grad", settings={"nt_samples": 3}),
    MethodEntry("integrated_gradients", settings={"n_steps": 4}),
    *(
        MethodEntry("rise", f"rise_{output}", output=output, settings={"n_samples": 9})
        for output in ("logit", "probability")
    ),
]
METRICS = [
    MetricEntry("gini"),
    MetricEntry("srg", settings={"n_steps": 5}),
    MetricEntry("mif", settings={"n_steps": 5}),
    MetricEntry("max_sensitivity", settings={"n_perturb_samples": 3}),
]


class Counting(nn.Module):
    """A network that counts, for all that run it, the examples that it has seen."""

    n_seen = 0

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x):
        Counting.n_seen += len(x)
        return self.network(x)


def estimated(study):
    cache = StudyCache()
    return dry_run(study, plan_of(study, cache), cache)


def counted(cells):
    """Passes of each attribution, which stand beside each metric of it, and those of metrics."""
    cells = cells.drop_duplicates("key")
    own = cells[cells["metric"] == cells["metric"].iloc[0]]
    # An attribution that draws nothing is there once, though a metric of it may draw.
    own = own.drop_duplicates("key")
    return own["forward"].sum() + cells["metric_forward"].sum(), own["backward"].sum()


@pytest.mark.parametrize("models", [[classifier()], [exam()], [classifier(), exam()]], ids=len)
def test_what_a_study_costs_is_known_before(tmp_path, models):
    study = small_study(models=models, images=pictures(3), methods=METHODS[:4], metrics=METRICS)
    estimate = estimated(study)
    cells = run_study(study, tmp_path).cells
    assert set(cells["status"]) == {"ok"} and estimate.problems == []
    assert (estimate.forward, estimate.backward) == counted(cells)


def test_methods_with_seeds_and_shared_passes_are_known_before(tmp_path):
    metrics = METRICS[:3]
    study = small_study(models=[classifier()], methods=METHODS, metrics=metrics, seeds=[0, 1])
    estimate = estimated(study)
    assert (estimate.forward, estimate.backward) == counted(run_study(study, tmp_path).cells)


def test_a_rehearsal_leaves_the_model_alone():
    model = ModelEntry.classifier(Counting(), "counting", size=16)
    study = small_study(models=[model], methods=METHODS, metrics=METRICS)
    cache = StudyCache()
    plan = plan_of(study, cache)
    before = Counting.n_seen
    assert dry_run(study, plan, cache).forward > 100
    # To know how many classes there are.
    assert Counting.n_seen == before + 1


def test_problems_are_known_before(tmp_path):
    corrupt = tmp_path / "corrupt.png"
    corrupt.write_bytes(b"no picture")
    study = small_study(
        models=[classifier()],
        images=[FileImage("corrupt", corrupt), *pictures(1)],
        methods=[MethodEntry("saliency"), MethodEntry("occlusion", settings=torch.zeros)],
        metrics=[MetricEntry("gini"), MetricEntry("mif", settings={"n_steps": 999})],
    )
    estimate = estimated(study)
    problems = estimate.problems
    assert any(problem.startswith("saliency, mif: n_steps must be at most") for problem in problems)
    # It names the setting that is wrong.
    assert estimate.refused == [each for each in problems if each.startswith("saliency, mif")]
    assert any(problem.startswith("occlusion: ") for problem in problems)
    assert not any(problem.startswith("saliency, gini") for problem in problems)


def test_a_study_without_a_picture_that_can_be_read_costs_nothing(tmp_path):
    study = small_study(images=[FileImage("missing", tmp_path / "missing.png")])
    assert (estimated(study).forward, estimated(study).problems) == (0, [])
    assert set(run_study(study, tmp_path / "out").cells["status"]) == {"failed"}


def test_a_dry_run_computes_nothing(folder, capsys):
    path = write_study(folder, metrics='["gini", "parameter_randomization"]', methods='["lime"]')
    assert main(["study", str(path), "--out", str(folder / "out"), "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert "4 cells (1 model x 2 images x 1 method x 2 metrics x 1 seed)" in captured.out
    assert "passes forward" in captured.out
    assert not (folder / "out").exists()


def spoiled(folder):
    """A folder of pictures, some of which cannot be used."""
    (folder / "photos").mkdir()
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    photo.save(folder / "photos" / "good.png")
    whole = (folder / "photos" / "good.png").read_bytes()
    (folder / "photos" / "half.png").write_bytes(whole[: len(whole) // 2])
    (folder / "photos" / "empty.png").write_bytes(b"")
    (folder / "photos" / "text.png").write_text("no picture")
    Image.new("RGB", (1, 60_000)).save(folder / "photos" / "long.png")


def told_by_a_dry_run(path, capsys):
    """The one error of a dry run, which computes nothing."""
    assert main(["study", str(path), "--out", str(path.parent / "out"), "--dry-run"]) == 2
    assert not (path.parent / "out").exists()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    return line


def test_a_dry_run_tells_all_images_that_cannot_be_used(folder, capsys):
    spoiled(folder)
    (folder / "own_dry_nets.py").write_text(NETS)
    path = write_study(
        folder,
        images='["photos"]',
        references='["photos/good.png", "photos/text.png"]',
        models='[{ model = "own_dry_nets:network", size = 32 }]',
        metrics='["gini"]',
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        line = told_by_a_dry_run(path, capsys)
    for what in (
        "image 'half': ",
        "image 'empty': ",
        "image 'text': ",
        "image 'long' on model 'own_dry_nets:network': image of 60000 x 1 pixels is too long",
        "reference 'text': ",
    ):
        assert what in line
    assert "good" not in line


NETS = """
import sys
import torch
from torch import nn
from tests.study.conftest import network

class Picky(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x):
        if x.shape[-1] < 64:
            raise RuntimeError("the kernel is larger than the input")
        return self.network(x)

class Detached(Picky):
    def forward(self, x):
        return self.network(x).detach()

class Leaving(Picky):
    def forward(self, x):
        sys.exit(7)
"""


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ('"own_dry_nets:Picky", size = 32', "fails on an image of 3 x 32 x 32: .*the kernel"),
        ('"own_dry_nets:Picky", size = [64, 8]', "fails on an image of 3 x 64 x 8: .*the kernel"),
        ('"own_dry_nets:Leaving", size = 64', "fails on an image of 3 x 64 x 64: SystemExit: 7"),
        (
            '"own_dry_nets:Detached", size = 16',
            "method 'saliency' works on no model .*: its output has no gradient",
        ),
        ('"squeezenet1_1", weights = "none", size = 3', "fails on an image of 3 x 3 x 3: "),
    ],
)
def test_a_dry_run_tells_what_a_model_does_not_take(folder, capsys, monkeypatch, model, told):
    monkeypatch.chdir(folder)
    (folder / "own_dry_nets.py").write_text(NETS)
    models = f"[{{ model = {model} }}]"
    path = write_study(folder, models=models, methods='["saliency"]', metrics='["gini"]')
    assert re.search(told, told_by_a_dry_run(path, capsys))


@pytest.mark.parametrize(
    "setting",
    ["stdevs = nan", 'nt_samples = "a"', "nt_samples = -3", "nt_samples = 1979-05-27"],
)
def test_a_dry_run_tells_all_methods_that_fail(folder, capsys, setting):
    path = write_study(
        folder,
        methods=f'["saliency", {{ method = "smooth_grad", settings = {{ {setting} }} }}, '
        '{ method = "occlusion", settings = { strides = [99, 99, 99] } }]',
    )
    line = told_by_a_dry_run(path, capsys)
    assert "smooth_grad: " in line and "occlusion: stride" in line and "saliency" not in line
