"""What is computed once, what it costs, and what one bad file spoils."""

from pathlib import Path

import pytest
from PIL import Image

from captum_ext.spec import MethodSpec
from captum_ext.study import (
    FileImage,
    MethodEntry,
    MetricEntry,
    ModelEntry,
    analyze,
    plan_of,
    run_study,
    study_images,
)
from captum_ext.study.define.cache import StudyCache
from captum_ext.study.run.compute import compute
from captum_ext.study.store.cells import CellResult
from tests.study.conftest import classifier, network, pictures, small_study

SMALL = {"n_samples": 4}


def corrupt(folder, name="corrupt"):
    path = folder / f"{name}.png"
    path.write_bytes(b"\x89PNG no picture")
    return FileImage(name, path)


def test_an_attribution_that_draws_nothing_is_computed_once_whatever_the_metrics_draw():
    study = small_study(
        models=[classifier()],
        methods=[MethodEntry("saliency"), MethodEntry("smooth_grad", settings={"nt_samples": 2})],
        metrics=[
            MetricEntry("gini"),
            MetricEntry("infidelity", settings={"n_perturb_samples": 2}),
        ],
        images=pictures(1),
        seeds=[0, 1, 2],
    )
    plan = plan_of(study)
    asked = [each for task in plan.tasks for each in task.asked]
    assert sorted(each.entry.name for each in asked) == ["saliency", *["smooth_grad"] * 3]
    cells = [r for task in plan.tasks for r in compute(task, StudyCache()) if hasattr(r, "value")]
    values = {each.key: each.value for each in cells}
    of = {tuple(cell)[2:5]: values[cell.key] for cell in plan.cells}
    assert len({of["saliency", "gini", seed] for seed in (0, 1, 2)}) == 1
    assert len({of["saliency", "infidelity", seed] for seed in (0, 1, 2)}) == 3


def test_a_metric_costs_what_it_would_alone_whether_shared_or_resumed():
    metrics = [MetricEntry(name) for name in ("srg", "lif", "mif")]
    study = small_study(models=[classifier()], methods=[MethodEntry("saliency")], metrics=metrics)
    (task, *_) = plan_of(study).tasks

    def costs(some):
        results = compute(some, StudyCache())
        return [each.metric_forward for each in results if isinstance(each, CellResult)]

    assert costs(task) == [18, 18, 18]
    assert costs(task.without({task.keys[0]})) == [18, 18]


def test_passes_of_a_randomized_copy_count(tmp_path):
    study = small_study(
        models=[classifier()],
        methods=[MethodEntry("saliency")],
        metrics=[MetricEntry("parameter_randomization")],
        images=pictures(1),
    )
    # Before, and after each of two layers.
    assert run_study(study, tmp_path).cells["metric_forward"].tolist() == [3]


def test_what_failed_costs_nothing_and_lowers_no_mean(tmp_path):
    study = small_study(
        models=[classifier()],
        images=[corrupt(tmp_path), *pictures(1)],
        methods=[MethodEntry("rise", settings={"n_samples": 10})],
    )
    results = run_study(study, tmp_path / "out")
    failed = results.cells[results.cells["status"] == "failed"]
    assert failed[["forward", "backward", "seconds", "metric_forward"]].isna().all(axis=None)
    (cost,) = analyze(results).costs
    assert (cost.n, cost.forward) == (1, results.cells["forward"].max())


def test_a_corrupt_image_is_no_reference_and_spoils_no_other_image(tmp_path):
    study = small_study(
        models=[classifier()],
        images=[*pictures(2), corrupt(tmp_path)],
        methods=[MethodEntry("gradient_shap", settings=SMALL)],
        references="others",
    )
    cells = run_study(study, tmp_path / "out").cells
    assert set(cells[cells["image"] != "corrupt"]["status"]) == {"ok"}
    assert set(cells[cells["image"] == "corrupt"]["status"]) == {"failed"}


def test_a_corrupt_mask_fails_those_metrics_that_ask_for_it(tmp_path):
    study = small_study(
        models=[classifier()], masks={"picture_0": corrupt(tmp_path).path}, images=pictures(1)
    )
    status = run_study(study, tmp_path / "out").cells.groupby("metric", observed=True)["status"]
    assert status.unique().map(list).to_dict() == {"gini": ["ok"], "relevance_rank": ["failed"]}


def with_names(*names):
    return ModelEntry.classifier(network(), "tiny", size=16, class_names=list(names))


def test_the_order_of_class_names_is_part_of_the_study(tmp_path):
    plans = [
        plan_of(small_study(models=[with_names(*names)], target="cat"))
        for names in (("cat", "dog", "cow"), ("dog", "cow", "cat"))
    ]
    assert not {cell.key for cell in plans[0].cells} & {cell.key for cell in plans[1].cells}


@pytest.mark.parametrize(
    "noise", [{"baseline": "noise"}, {"settings": {"baselines": "uniform_noise"}}]
)
def test_a_baseline_that_draws_differs_from_seed_to_seed(tmp_path, noise):
    study = small_study(
        models=[classifier()],
        images=pictures(1),
        methods=[MethodEntry("integrated_gradients", **noise)],
        metrics=[MetricEntry("gini")],
        seeds=[0, 1],
    )
    assert run_study(study, tmp_path).cells["value"].nunique() == 2


def test_other_defaults_of_a_method_are_other_keys():
    def spec(n_steps):
        known = MethodEntry("integrated_gradients").spec
        settings = {"n_steps": n_steps}
        return MethodSpec(
            "mine", "Mine", "path", "-", known.attribution, defaults=lambda *_: settings
        )

    keys = [
        plan_of(small_study(models=[classifier()], methods=[MethodEntry(spec(n))])).cells[0].key
        for n in (1, 50)
    ]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (lambda: MethodEntry("occlusion", baseline="blurr"), "baseline 'blurr'; did you mean"),
        (lambda: MetricEntry("srg", settings={"perturber": "bluur"}), "perturber 'bluur'"),
        (lambda: MetricEntry("srg", settings={"output": "logits"}), "output 'logits'"),
    ],
)
def test_unknown_names_in_settings_are_refused_at_once(entry, named):
    with pytest.raises(ValueError, match=named):
        entry()


@pytest.mark.parametrize(
    ("metric", "what"), [("pointing_game", "masks must be given"), ("shapley_agreement", "exam")]
)
def test_metrics_that_want_to_know_more_are_refused_where_nothing_tells_them(metric, what):
    with pytest.raises(ValueError, match=f"metric '{metric}': .*{what}"):
        plan_of(small_study(models=[classifier()], metrics=[MetricEntry(metric)]))


def test_equal_images_are_noted(tmp_path):
    for name in ("one", "two"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / f"{name}.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "one.png")
    images = study_images(["one.png", "link.png", "two.png"], tmp_path)
    assert [image.name for image in images] == ["one", "two"]
    assert plan_of(small_study(images=images)).notes == ["image 'two' is the same as 'one'"]


def test_crops_are_the_same_each_time_and_differ():
    images, again = (study_images(["crops:9"], Path()) for _ in range(2))
    assert len({image.digest() for image in images}) == 9
    assert [image.digest() for image in again] == [image.digest() for image in images]
    assert all(image.read().shape[0] == 3 for image in images)
