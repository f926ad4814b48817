import pytest
import torch
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
    before = Counting.n_seen
    assert estimated(study).forward > 100
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
