import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from captum_ext.forward import count_passes
from captum_ext.perturbation import SolidColor
from captum_ext.study import (
    FileImage,
    MethodEntry,
    MetricEntry,
    ModelEntry,
    TensorImage,
    plan_of,
    run_study,
)
from captum_ext.study.define.cache import StudyCache
from captum_ext.study.define.entries import plain
from captum_ext.study.plan import planner
from captum_ext.study.run.compute import compute
from captum_ext.study.store.cells import CellResult
from tests.study.conftest import (
    assert_same_table,
    classifier,
    exam,
    network,
    pictures,
    pixels,
    small_study,
)

DRAWING = [MethodEntry("saliency"), MethodEntry("smooth_grad", settings={"nt_samples": 3})]
RISES = [
    MethodEntry("rise", f"rise_{output}", output=output, settings={"n_samples": 20})
    for output in ("logit", "probability")
]


def keys(study):
    """The key of each cell by what it is called."""
    return {tuple(cell)[:-1]: cell.key for cell in plan_of(study).cells}


def changed(study, **changes):
    """The methods of those cells whose keys are other ones after a change."""
    before, after = keys(study), keys(replace(study, **changes))
    assert before.keys() == after.keys()
    return {name[2] for name in before if before[name] != after[name]}


def test_the_same_study_has_the_same_keys():
    assert keys(small_study()) == keys(small_study())


def test_titles_and_other_images_change_no_key():
    one, two = keys(small_study()), keys(small_study(title="Other", images=pictures(3), gallery=0))
    assert one.items() <= two.items()


def test_other_weights_change_every_key():
    other = network()
    with torch.no_grad():
        other[0].weight[0, 0, 0, 0] += 1e-4
    study = small_study(models=[classifier("tiny")], methods=DRAWING, metrics=[MetricEntry("gini")])
    model = ModelEntry.classifier(other, "tiny", size=16)
    assert changed(study, models=[model]) == {"saliency", "smooth_grad"}


def test_how_a_model_sees_and_what_it_gives_change_keys():
    study = small_study(methods=DRAWING)
    assert changed(study, models=[exam(output="logit")]) == {"saliency", "smooth_grad"}
    study = replace(study, models=[classifier("tiny")], metrics=[MetricEntry("gini")])
    model = ModelEntry.classifier(network(), "tiny", size=16, fit="squash")
    assert changed(study, models=[model]) == {"saliency", "smooth_grad"}
    model = ModelEntry.classifier(network(), "tiny", size=16, outputs="sigmoid")
    assert changed(study, models=[model]) == {"saliency", "smooth_grad"}


def test_other_bytes_of_an_image_change_its_keys(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (9, 9), (3, 4, 5)).save(path)
    study = small_study(images=[FileImage("picture", path)], methods=DRAWING)
    before = keys(study)
    Image.new("RGB", (9, 9), (3, 4, 6)).save(path)
    assert not set(before.values()) & set(keys(study).values())


def test_settings_change_the_keys_of_their_method():
    methods = [DRAWING[0], MethodEntry("smooth_grad", settings={"nt_samples": 4})]
    assert changed(small_study(methods=DRAWING), methods=methods) == {"smooth_grad"}


def test_baseline_output_and_layer_change_keys():
    study = small_study(models=[classifier()], methods=[MethodEntry("occlusion")])
    for method in (
        MethodEntry("occlusion", baseline="blur"),
        MethodEntry("occlusion", output="logit"),
    ):
        assert changed(study, methods=[method]) == {"occlusion"}
    study = replace(study, methods=[MethodEntry("grad_cam")])
    assert changed(study, methods=[MethodEntry("grad_cam", layer="0")]) == {"grad_cam"}


def test_settings_of_a_metric_change_its_keys():
    study = small_study(metrics=[MetricEntry("srg", settings={"n_steps": 5})])
    assert len(changed(study, metrics=[MetricEntry("srg", settings={"n_steps": 6})])) == 3


def test_only_what_draws_depends_on_the_seed():
    found = keys(small_study(methods=DRAWING, metrics=[MetricEntry("gini")], seeds=[0, 1]))
    for method, n_keys in (("saliency", 1), ("smooth_grad", 2)):
        of_one = {key for name, key in found.items() if name[1:3] == ("picture_0", method)}
        assert len(of_one) == n_keys


def test_a_metric_that_draws_depends_on_the_seed():
    metrics = [MetricEntry("gini"), MetricEntry("max_sensitivity")]
    found = keys(small_study(methods=DRAWING[:1], metrics=metrics, seeds=[0, 1]))
    of_one = {name: key for name, key in found.items() if name[1] == "picture_0"}
    assert len(of_one) == 4 and len(set(of_one.values())) == 3


def test_target_and_references_change_keys():
    study = small_study(models=[classifier()], methods=[*DRAWING, MethodEntry("gradient_shap")])
    assert changed(study, target=1) == {"saliency", "smooth_grad", "gradient_shap"}
    assert changed(study, references="others") == {"gradient_shap"}
    references = [TensorImage("picture_0", pixels(7))]
    one = replace(study, references=references)
    assert changed(one, references=[TensorImage("picture_0", pixels(8))]) == {"gradient_shap"}


def test_masks_change_the_keys_of_those_that_want_them(tmp_path):
    Image.new("L", (9, 9), 255).save(tmp_path / "mask.png")
    study = small_study()
    masked = replace(study, masks={"picture_0": tmp_path / "mask.png"})
    before, after = keys(study), keys(masked)
    different = {name[1:2] + name[3:4] for name in before if before[name] != after[name]}
    assert different == {("picture_0", "relevance_rank")}


def test_versions_change_every_key(monkeypatch):
    before = keys(small_study())
    versions = planner.decisive_versions() | {"torch": "99"}
    monkeypatch.setattr(planner, "decisive_versions", lambda: versions)
    assert not set(before.values()) & set(keys(small_study()).values())


def test_another_process_has_the_same_keys_and_identity(python):
    # The order of a set of texts differs from process to process.
    settings = {"nt_samples": 3, "stdevs": set("abcdefgh")}
    script = f"""
import json
from captum_ext.study import plan_of
from tests.study.conftest import *
study = small_study(models=[classifier(), exam()], methods=[MethodEntry("rise"),
    MethodEntry("smooth_grad", settings={settings!r})])
plan = plan_of(study)
print(json.dumps([[cell.key for cell in plan.cells], [task.key for task in plan.tasks],
    plan.identity]))
"""
    cells, tasks, identity = python(script)
    methods = [MethodEntry("rise"), MethodEntry("smooth_grad", settings=settings)]
    here = plan_of(small_study(models=[classifier(), exam()], methods=methods))
    assert [cell.key for cell in here.cells] == cells
    assert [task.key for task in here.tasks] == tasks
    assert json.loads(json.dumps(here.identity)) == identity


def test_settings_of_different_values_are_different():
    assert plain(SolidColor(0.2)) != plain(SolidColor(0.3))
    assert plain(torch.zeros(2)) != plain(torch.zeros(3))
    assert plain(np.float64(0.5)) != plain(np.float64(0.25))
    factor, other = 2, 3
    assert plain(lambda aim: factor) != plain(lambda aim: other)


@pytest.fixture
def same_pictures():
    return [TensorImage("one", pixels(1)), TensorImage("two", pixels(1).clone())]


def test_images_with_the_same_bytes_are_computed_once(tmp_path, same_pictures):
    computed = []
    study = small_study(images=same_pictures)
    results = run_study(study, tmp_path, on_cell=computed.append)
    assert len(computed) == study.n_cells / 2
    table = results.cells.pivot(index=["method", "metric"], columns="image", values="value")
    assert table.notna().all(axis=None) and table["one"].equals(table["two"])


def test_metrics_of_two_names_are_computed_once(tmp_path, same_pictures):
    computed = []
    metrics = [MetricEntry("gini"), MetricEntry("gini", "again")]
    study = small_study(images=same_pictures, metrics=metrics)
    results = run_study(study, tmp_path, on_cell=computed.append)
    assert len(computed) == study.n_cells / 4
    assert set(results.cells["status"]) == {"ok"}


def test_no_two_tasks_have_a_cell_or_a_key_in_common(tmp_path, same_pictures):
    Image.new("L", (9, 9), 255).save(tmp_path / "mask.png")
    metrics = [*map(MetricEntry, ("gini", "max_sensitivity", "relevance_rank"))]
    study = small_study(
        models=[classifier(), exam()],
        images=[*same_pictures, *pictures(1)],
        masks={"two": tmp_path / "mask.png"},
        methods=[*RISES, *DRAWING],
        metrics=metrics,
        seeds=[0, 1],
    )
    found = plan_of(study)
    in_tasks = [key for task in found.tasks for key in task.keys]
    assert len(in_tasks) == len(set(in_tasks))
    assert set(in_tasks) == {cell.key for cell in found.cells}
    assert len({task.key for task in found.tasks}) == len(found.tasks)
    # Many seeds and equal images, so it is known that there is something to be confused.
    assert len(in_tasks) < len(found.cells) == study.n_cells


def test_a_task_keeps_its_key_when_a_part_is_done():
    (task, *_) = plan_of(small_study(models=[classifier()], methods=RISES)).tasks
    done = {key for _, key, _ in task.asked[0].metrics}
    left = task.without(done)
    assert left.key == task.key and set(left.keys) == set(task.keys) - done
    with pytest.raises(ValueError, match="something to do"):
        task.without(set(task.keys))


def rises_on(methods, metrics=("gini",)):
    return small_study(
        models=[classifier()],
        images=pictures(1),
        methods=methods,
        metrics=[*map(MetricEntry, metrics)],
        keep_attributions=True,
    )


def test_methods_that_ask_the_same_share_model_passes():
    cache = StudyCache()
    found = plan_of(rises_on([*RISES, MethodEntry("saliency")]), cache)
    assert [[asked.entry.name for asked in task.asked] for task in found.tasks] == [
        ["rise_logit", "rise_probability"],
        ["saliency"],
    ]
    task = found.tasks[0]
    subject = cache.subject(task.model, task.fingerprint)
    cache.aim(subject, task.fingerprint, task.image, task.digest, task.target)
    with count_passes(subject.model) as passes:
        cells = [each for each in compute(task, cache) if isinstance(each, CellResult)]
    # Each is told to cost what it costs alone.
    assert [cell.forward for cell in cells] == [passes.forward] * 2
    assert passes.forward >= 20


def test_methods_that_share_passes_give_what_they_give_alone(tmp_path):
    metrics = ("gini", "srg", "max_sensitivity", "parameter_randomization", "infidelity")
    together = run_study(rises_on(RISES, metrics), tmp_path / "together").cells
    for method in RISES:
        alone = run_study(rises_on([method], metrics), tmp_path / method.name).cells
        same = together[together["method"] == method.name].reset_index(drop=True)
        same["method"] = same["method"].cat.remove_unused_categories()
        assert_same_table(alone, same)
        assert set(alone["status"]) == {"ok"}
        (kept,) = (tmp_path / method.name / "attributions").iterdir()
        attribution = np.load(kept)["attribution"]
        assert (
            attribution == np.load(tmp_path / "together/attributions" / kept.name)["attribution"]
        ).all()


def test_segment_methods_of_other_samples_are_tasks_of_their_own():
    other = MethodEntry("rise", "more", settings={"n_samples": 30})
    assert len(plan_of(rises_on([*RISES, other])).tasks) == 2
