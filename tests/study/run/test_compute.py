import copy
import random
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from captum_ext import explain, load_model
from captum_ext.forward import count_passes
from captum_ext.metric_spec import MetricSpec
from captum_ext.pictures import explain_picture
from captum_ext.study import (
    Aim,
    FileImage,
    MethodEntry,
    MetricContext,
    MetricEntry,
    ModelEntry,
    TensorImage,
    plan_of,
    run_study,
)
from captum_ext.study.define.cache import MismatchError, StudyCache
from captum_ext.study.run.compute import compute
from tests.study.conftest import classifier, exam, network, pictures, pixels, small_study


def cells_of(tmp_path, **changes):
    return run_study(small_study(**changes), tmp_path / "out").cells


def saved(path, color, size=(16, 16)):
    Image.new("RGB", size, color).save(path)
    return FileImage(path.stem, path)


def mean_size(context):
    return context.attribution.abs().mean()


def test_a_corrupt_image_fails_and_the_rest_is_ok(tmp_path):
    (tmp_path / "corrupt.png").write_bytes(b"\x89PNG no picture")
    corrupt = FileImage("corrupt", tmp_path / "corrupt.png")
    missing = FileImage("missing", tmp_path / "missing.png")
    cells = cells_of(tmp_path, images=[corrupt, missing, *pictures(1)])
    assert set(cells[cells["image"] == "picture_0"]["status"]) == {"ok"}
    for image, why in (("corrupt", "cannot be read"), ("missing", "does not exist")):
        failed = cells[cells["image"] == image]
        assert set(failed["status"]) == {"failed"} and failed["value"].isna().all()
        assert failed["error"].str.contains(why).all()
        assert not failed["error"].str.contains("\n").any()
        assert failed["traceback"].str.startswith("Traceback").all()


def refuses(aim, references):
    raise RuntimeError("first line,\nsecond line")


def test_a_method_that_fails_leaves_others_alone(tmp_path):
    methods = [MethodEntry("saliency", "refusing", settings=refuses), MethodEntry("occlusion")]
    cells = cells_of(tmp_path, methods=methods)
    assert set(cells[cells["method"] == "occlusion"]["status"]) == {"ok"}
    failed = cells[cells["method"] == "refusing"]
    assert set(failed["status"]) == {"failed"}
    assert set(failed["error"]) == {"first line, second line"}
    assert failed["traceback"].str.contains("in refuses").all()


def test_passes_hold_methods_and_what_is_too_few_fails(tmp_path):
    methods = [
        MethodEntry("integrated_gradients"),
        MethodEntry("ig2", passes=40),
        MethodEntry("occlusion", settings={"sliding_window_shapes": (1, 1, 1)}),
    ]
    images, references = pictures(2), pictures(5)[2:]
    cells = cells_of(tmp_path, images=images, methods=methods, references=references, passes=20)
    passes = (cells["forward"] + cells["backward"]).groupby(cells["method"]).agg(["min", "max"])
    assert tuple(passes.loc["integrated_gradients"]) == (20, 20)
    assert tuple(passes.loc["ig2"]) == (39, 39)
    errors = cells[cells["method"] == "occlusion"]["error"]
    assert errors.str.contains("passes must be at least 26 for occlusion with its sliding").all()


def metric(measure, name="own"):
    about = "what a test wants"
    return MetricEntry(MetricSpec(name, name.title(), "none", about, measure, needs={"context"}))


def test_metrics_that_fail_or_give_no_number_leave_others_alone(tmp_path):
    metrics = [
        metric(lambda question: float("nan"), "nan"),
        metric(lambda question: torch.tensor([float("inf")]), "inf"),
        metric(lambda question: torch.zeros(2), "two"),
        metric(lambda question: question.nothing, "broken"),
        MetricEntry("gini"),
    ]
    cells = cells_of(tmp_path, metrics=metrics).set_index("metric")
    assert set(cells.loc["gini", "status"]) == {"ok"}
    # What they gave is known, and that it is no number to compare.
    for name in ("nan", "inf"):
        assert set(cells.loc[name, "status"]) == {"ok"}
        assert set(cells.loc[name, "remark"]) == {f"the metric gives no finite number: {name}"}
    for name, error in (
        ("two", "a metric must give one number; got (2,)"),
        ("broken", "'MetricContext' object has no attribute 'nothing'"),
    ):
        assert set(cells.loc[name, "status"]) == {"failed"}
        assert set(cells.loc[name, "error"]) == {error}
        assert cells.loc[name, "traceback"].ne("").all()
        # What the attribution cost is known all the same.
        assert [*cells.loc[name, "forward"]] == [*cells.loc["gini", "forward"]]


class Moody(nn.Module):
    """It gives numbers forward, but its gradients are none."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x):
        return self.network(x) + torch.sqrt(x.abs().sum((1, 2, 3)) * 0)[:, None]


def test_an_attribution_that_is_not_finite_fails(tmp_path):
    model = ModelEntry.classifier(Moody(), "moody", size=16)
    cells = cells_of(tmp_path, models=[model], metrics=[MetricEntry("gini")])
    status = cells.groupby("method", observed=True)["status"].unique().map(list).to_dict()
    assert status == {"saliency": ["failed"], "occlusion": ["ok"], "smooth_grad": ["failed"]}
    assert set(cells[cells["method"] == "saliency"]["error"]) == {"the attribution is not finite"}


def test_warnings_of_metrics_are_remarks(tmp_path):
    def warns(question):
        warnings.warn("it is\nodd", stacklevel=1)
        return 1

    cells = cells_of(tmp_path, metrics=[metric(warns)])
    assert set(cells["remark"]) == {"it is odd"}


def test_masks_are_seen_as_the_picture_is(tmp_path):
    """A map that is highest at the upper left finds an object that is there, cut as the picture."""
    image = TensorImage("wide", pixels(0, side=16).repeat(1, 1, 2))
    mask = np.zeros((16, 32), dtype=np.uint8)
    mask[:4, 8:12] = 255
    Image.fromarray(mask).save(tmp_path / "wide.png")
    metrics = [MetricEntry(name) for name in ("relevance_mass", "relevance_rank", "pointing_game")]
    found = []

    def corner(question):
        found.append(question.mask)
        return 0

    cells = cells_of(
        tmp_path,
        models=[classifier()],
        images=[image, TensorImage("bare", pixels(1))],
        masks={"wide": tmp_path / "wide.png"},
        metrics=[*metrics, metric(corner)],
    ).set_index("image")
    # The middle of a picture twice as wide as high.
    expected = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    expected[0, 0, :4, :4] = True
    assert torch.equal(found[0], expected)
    assert set(cells.loc["wide", "status"]) == {"ok"}
    bare = cells.loc["bare"].set_index("metric")["error"]
    assert set(bare["relevance_mass"]) == {"there is no mask of this image"}
    assert set(bare["own"]) == {""}


def test_a_mask_of_the_study_comes_before_the_exams(tmp_path):
    mask = Image.new("L", (5, 5))
    mask.putpixel((0, 0), 255)
    mask.save(tmp_path / "mask.png")
    cells = cells_of(tmp_path, masks={"picture_0": tmp_path / "mask.png"})
    ranks = cells[cells["metric"] == "relevance_rank"].set_index(["image", "method"])["value"]
    # Occlusion sees the center only.
    assert ranks["picture_0", "occlusion"] == 0 and ranks["picture_1", "occlusion"] == 1


def test_other_images_are_the_references(tmp_path):
    seen = {}

    def settings(aim, references):
        seen[float(aim.seen.sum())] = references
        return {"n_samples": 4}

    cells_of(
        tmp_path,
        models=[classifier()],
        images=pictures(3),
        methods=[MethodEntry("gradient_shap", settings=settings)],
        references="others",
    )
    for number, others in enumerate(([1, 2], [2, 0], [0, 1])):
        found = seen[float(pixels(number).sum())]
        assert torch.equal(found, torch.stack([pixels(other) for other in others]))


def test_a_method_without_references_remarks_upon_it(tmp_path):
    def remarks(**changes):
        methods = [MethodEntry("gradient_shap", settings={"n_samples": 4})]
        models = [classifier()]
        study = small_study(
            models=models, methods=methods, metrics=[MetricEntry("gini")], **changes
        )
        return set(run_study(study, tmp_path / str(len(changes))).cells["remark"])

    assert remarks() == {"compared with noise: no references were given"}
    assert remarks(references="others") == {""}


@pytest.mark.parametrize("model", [classifier(), exam()], ids=["classifier", "exam"])
def test_kept_attributions_are_those_of_explain(tmp_path, model):
    seed = 3
    methods = [
        MethodEntry("occlusion"),
        MethodEntry("smooth_grad", settings={"nt_samples": 3}),
        MethodEntry("integrated_gradients", baseline="white", settings={"n_steps": 5}),
    ]
    study = small_study(
        models=[model], methods=methods, images=pictures(1), keep_attributions=True, seeds=[seed]
    )
    cells = run_study(study, tmp_path).cells
    subject = model.load()
    seen = subject.see(pixels(0))
    for task in plan_of(study).tasks:
        (asked,) = task.asked
        spec = asked.entry.spec
        aim = subject.aim(seen, "predicted")
        module, output = subject.explained(spec, aim, "auto")
        more = {} if asked.entry.baseline is None else {"baselines": torch.ones_like(seen)}
        with count_passes(module) as passes:
            attribution = explain(
                module,
                seen,
                aim.target,
                spec,
                resolution=subject.resolution,
                generator=seed,
                **asked.entry.settings,
                **more,
            )
        kept = np.load(tmp_path / "attributions" / f"{asked.key}.npz")["attribution"]
        assert np.array_equal(kept, attribution[0].float().numpy())
        row = cells[cells["method"] == asked.entry.name].iloc[0]
        assert (row.forward, row.backward) == (passes.forward, passes.backward)
        assert (row.output, row.target) == (output, aim.target)


def test_passes_and_output_are_those_of_pictures(tmp_path):
    names = ("saliency", "occlusion", "rise", "grad_cam")
    model = load_model(network(), size=16)
    answers = explain_picture(model, pixels(0), names, top=1)
    cells = cells_of(
        tmp_path, models=[classifier()], images=pictures(1), methods=[*map(MethodEntry, names)]
    )
    for name, answer in zip(names, answers.answers, strict=True):
        row = cells[cells["method"] == name].iloc[0]
        assert (row.forward, row.backward) == (answer.passes.forward, answer.passes.backward)
        assert row.output == answer.output and row.target == answer.about.index


@pytest.mark.parametrize(
    ("kind", "output"),
    [("sigmoid", "probability"), ("softmax", "probability"), ("scores", "score")],
)
def test_a_studys_model_is_told_what_its_outputs_are(tmp_path, kind, output):
    model = ModelEntry.classifier(network(), "tiny", size=16, outputs=kind)
    methods = [MethodEntry("occlusion")]
    about = ("size", "Size", "none", "mean magnitude", mean_size)
    metrics = [MetricEntry(MetricSpec(*about, needs={"context"}))]
    cells = cells_of(tmp_path, models=[model], methods=methods, images=pictures(1), metrics=metrics)
    (cell,) = cells.itertuples()
    subject = model.load()
    aim = subject.aim(subject.see(pixels(0)), "predicted")
    scored = subject.scored(aim, "probability")
    heat = explain(scored, aim.seen, aim.target, "occlusion")
    assert (cell.status, cell.output, aim.outputs) == ("ok", output, kind)
    assert cell.value == pytest.approx(float(heat.abs().mean()))


def test_a_study_says_which_methods_scores_do_not_do(tmp_path):
    models = [
        ModelEntry.classifier(network(), kind, size=16, outputs=kind)
        for kind in ("scores", "sigmoid")
    ]
    study = small_study(models=models, methods=[MethodEntry("pda"), MethodEntry("saliency")])
    assert any("on scores: pda needs probabilities" in note for note in plan_of(study).notes)


def test_passes_of_metrics_are_counted_on_every_output(tmp_path):
    metrics = [
        MetricEntry("lif", f"lif_{output}", settings={"n_steps": 5, "output": output})
        for output in ("logit", "probability")
    ]
    models = [classifier(), exam()]
    cells = cells_of(tmp_path, models=models, images=pictures(1), metrics=metrics)
    assert (cells["metric_forward"] == cells["metric_forward"].iloc[0]).all()
    assert cells["metric_forward"].iloc[0] > 0


def state_of(model):
    hooks = [
        {name: len(value) for name, value in vars(module).items() if name.endswith("hooks")}
        for module in model.modules()
    ]
    modes = [module.training for module in model.modules()]
    wants = [value.requires_grad for value in model.parameters()]
    return hooks, modes, wants, {name: value.clone() for name, value in model.state_dict().items()}


def test_nothing_of_the_process_or_the_model_is_changed():
    names = ("saliency", "guided_backprop", "smooth_grad", "rise", "lime", "deep_lift", "grad_cam")
    metrics = ("srg", "infidelity", "max_sensitivity", "parameter_randomization")
    study = small_study(
        models=[classifier()],
        images=pictures(1),
        methods=[*map(MethodEntry, names)],
        metrics=[*map(MetricEntry, metrics)],
    )
    cache = StudyCache()
    plan = plan_of(study, cache)
    model = cache.subject(plan.tasks[0].model, plan.tasks[0].fingerprint).model
    next(model.parameters()).requires_grad_(False)
    before = copy.deepcopy(state_of(model))
    seeds = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    modes = torch.is_grad_enabled(), torch.get_num_threads()
    for task in plan.tasks:
        list(compute(task, cache))
    assert torch.equal(torch.get_rng_state(), seeds[0])
    assert (str(np.random.get_state()), random.getstate()) == seeds[1:]
    assert (torch.is_grad_enabled(), torch.get_num_threads()) == modes
    *after, weights = state_of(model)
    assert after == [*before[:3]]
    assert all(torch.equal(value, before[3][name]) for name, value in weights.items())


def test_what_has_changed_since_it_was_planned_is_refused(tmp_path):
    Image.new("L", (16, 16), 255).save(tmp_path / "mask.png")
    images = [saved(tmp_path / "one.png", "red"), saved(tmp_path / "two.png", "blue")]
    study = small_study(
        models=[classifier()],
        images=images,
        methods=[MethodEntry("gradient_shap", settings={"n_samples": 4})],
        references="others",
        masks={"one": tmp_path / "mask.png"},
    )
    task = plan_of(study).tasks[0]
    assert len(list(compute(task, StudyCache()))) == 3
    for name, what in (("mask", "mask of one"), ("two", "two"), ("one", "one")):
        path = tmp_path / f"{name}.png"
        before = path.read_bytes()
        saved(path, "green")
        with pytest.raises(MismatchError, match=f"image '{what}' has changed"):
            list(compute(task, StudyCache()))
        path.write_bytes(before)


def test_a_long_lived_process_does_not_confuse_studies(tmp_path):
    """References of the same names, with other contents."""
    cache, found = StudyCache(), []
    for color in ("red", "blue"):
        study = small_study(
            models=[classifier()],
            images=pictures(1),
            references=[saved(tmp_path / "reference.png", color)],
            methods=[MethodEntry("gradient_shap", settings={"n_samples": 4})],
            metrics=[MetricEntry("gini")],
        )
        (task,) = plan_of(study, cache).tasks
        found.append([each.value for each in compute(task, cache) if hasattr(each, "value")])
    assert found[0] != found[1]


def test_a_metric_of_ones_own_knows_the_question(tmp_path):
    questions = []

    def measure(question):
        questions.append(question)
        return question.attribution.abs().sum()

    cells_of(tmp_path, models=[classifier()], metrics=[metric(measure)], images=pictures(1))
    for question in questions:
        assert isinstance(question, MetricContext) and isinstance(question.aim, Aim)
        assert question.attribution.shape == question.aim.seen.shape == (1, 3, 16, 16)
