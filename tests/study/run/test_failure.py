"""What a model, method or metric raises is its cells' failure; what it warns of, a remark."""

import warnings
from functools import partial

import pytest
import torch
from torch import nn

from captum_ext.analysis.report.page import render
from captum_ext.metric_spec import MetricSpec
from captum_ext.study import (
    MethodEntry,
    MetricEntry,
    ModelEntry,
    TensorImage,
    analyze,
    format_leaderboard,
    plan_of,
    read_results,
    run_study,
)
from captum_ext.study.define.cache import StudyCache
from captum_ext.study.define.models import StudyClassifier
from captum_ext.study.run.compute import compute
from captum_ext.value_checks import AttributionWarning
from tests.study.conftest import classifier, exam, pictures, pixels, small_study


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class NoTextError(Exception):
    def __str__(self):
        return 3  # noqa: PLE0307


ERRORS = {
    "no text at all": (ValueError(), "ValueError"),
    "a text that cannot be made": (UnspeakableError(), "UnspeakableError"),
    "a text that is none": (NoTextError(), "NoTextError"),
    "two lines in color": (RuntimeError("\x1b[31mfirst\n\x00second"), "[31mfirst "),
    "half a letter": (RuntimeError("half \ud800 letter"), "half "),
    "an endless text": (RuntimeError("x" * 10**6), "x" * 1000),
    "a StopIteration": (StopIteration("the end"), "the end"),
    "an exit": (SystemExit(3), "SystemExit: 3"),
    "a GeneratorExit": (GeneratorExit(), "GeneratorExit: GeneratorExit"),
    "a class of one's own": (type("Odd", (BaseException,), {})("odd"), "Odd: odd"),
    "no memory": (MemoryError(), "MemoryError"),
}


def metric(measure, name="own"):
    return MetricEntry(MetricSpec("own", "Own", "higher", "", measure, needs={"context"}), name)


def raises(error):
    def settings(aim, references):
        raise error

    return settings


def raise_numbered(number, *_):
    """By its number, which keys of cells can tell from others."""
    raise [*ERRORS.values()][number][0]


class Raising(nn.Module):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        raise_numbered(self.number)


FAILING = {
    "method": lambda name, number: MethodEntry(
        "saliency", name, settings=partial(raise_numbered, number)
    ),
    "metric": lambda name, number: metric(partial(raise_numbered, number), name),
    "model": lambda name, number: ModelEntry.classifier(Raising(number), name, size=16),
}


@pytest.mark.parametrize("where", FAILING)
def test_an_error_is_held_to_its_cells(tmp_path, where):
    changes = [FAILING[where](name, number) for number, name in enumerate(ERRORS)]
    parts = {
        "models": [classifier()],
        "methods": [MethodEntry("occlusion")],
        "metrics": [MetricEntry("gini")],
    }
    parts[f"{where}s"] = [*changes, *parts[f"{where}s"]]
    cells = run_study(small_study(**parts, images=pictures(1)), tmp_path).cells
    cells = cells.set_index(cells[where].astype(str))
    for name, (_, message) in ERRORS.items():
        cell = cells.loc[name]
        assert cell["status"] == "failed" and cell["error"].isprintable()
        assert message in cell["error"] and 0 < len(cell["traceback"]) <= 100_000
    assert list(cells[~cells.index.isin(ERRORS)]["status"]) == ["ok"]


def test_an_interrupt_stops_the_study(tmp_path):
    methods = [
        MethodEntry("saliency"),
        MethodEntry("occlusion", settings=raises(KeyboardInterrupt)),
    ]
    with pytest.raises(KeyboardInterrupt):
        run_study(small_study(methods=methods, metrics=[MetricEntry("gini")]), tmp_path)
    assert {"ok", "missing"} == set(read_results(tmp_path).cells["status"])


class Loaded:
    """A model that can be made the first time only."""

    def __init__(self, error):
        self.error, self.n = error, 0

    def __call__(self):
        self.n += 1
        if self.n > 1:
            raise self.error
        return classifier().load()


@pytest.mark.parametrize("error", [RuntimeError("out of disk"), SystemExit("out of disk")])
def test_a_model_that_cannot_be_made_again_fails_in_its_cells(error):
    study = small_study(models=[ModelEntry("bad", Loaded(error))], images=pictures(1))
    plan = plan_of(study)
    found = [each for task in plan.tasks for each in compute(task, StudyCache())]
    assert len(found) == len(plan.cells)
    assert all(each.status == "failed" and "out of disk" in each.error for each in found)


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit("broken"), OSError("broken")])
def test_a_model_that_cannot_be_made_is_refused_before_anything_runs(error):
    entry = ModelEntry("bad", lambda: raises(error)(None, None))
    with pytest.raises(ValueError, match=r"model 'bad': it cannot be made: .*broken"):
        plan_of(small_study(models=[entry, exam()]))


class Blind(StudyClassifier):
    def see(self, image):
        if image.mean() < 0.01:
            raise RuntimeError("too dark")
        return super().see(image)


def test_an_image_that_cannot_be_prepared_fails_in_its_cells(tmp_path):
    entry = ModelEntry("blind", lambda: Blind(classifier().load().model))
    images = [TensorImage("dark", torch.zeros(3, 16, 16)), *pictures(1)]
    cells = run_study(small_study(models=[entry], images=images), tmp_path).cells
    assert set(cells[cells["image"] == "dark"]["error"]) == {"too dark"}
    assert set(cells[cells["image"] != "dark"]["status"]) == {"ok"}


class Flat(nn.Module):
    def forward(self, x):
        raise RuntimeError("this model takes nothing")


def test_a_model_that_takes_nothing_leaves_others_alone(tmp_path):
    model = ModelEntry.classifier(Flat(), "flat", size=16)
    cells = run_study(small_study(models=[model, exam()]), tmp_path).cells
    assert set(cells[cells["model"] == "flat"]["status"]) == {"failed"}
    assert cells[cells["model"] == "flat"]["error"].str.contains("this model takes nothing").all()
    assert set(cells[cells["model"] != "flat"]["status"]) == {"ok"}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_value_that_is_not_finite_is_stored_with_a_remark(tmp_path, value):
    metrics = [metric(lambda context: float(value), "odd"), MetricEntry("gini")]
    results = run_study(small_study(metrics=metrics, gallery=1), tmp_path)
    cells = results.cells.set_index("metric")
    assert set(cells.loc["odd", "status"]) == {"ok"}
    assert {str(number) for number in cells.loc["odd", "value"]} == {value}
    remark = f"the metric gives no finite number: {value}"
    assert set(cells.loc["odd", "remark"]) == {remark} and set(cells.loc["gini", "remark"]) == {""}
    assert f"{remark} (odd, 2 of 2 images)" in format_leaderboard(analyze(results))
    assert f"{remark} (odd, 2 of 2 images)" in render(results)


def warns(category, text="the deltas; do not add up"):
    def settings(aim, references):
        warnings.warn(text, category, stacklevel=1)
        return {}

    return settings


@pytest.mark.parametrize("action", ["error", "ignore", "once"])
def test_an_attribution_warning_is_a_remark_on_its_cells(tmp_path, action):
    methods = [
        MethodEntry("saliency", "warning", settings=warns(AttributionWarning)),
        MethodEntry("occlusion"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter(action, AttributionWarning)
        results = run_study(small_study(methods=methods), tmp_path)
    remarks = results.cells.groupby("method", observed=True)["remark"].unique()
    assert [*remarks["warning"]] == ["the deltas, do not add up"]
    assert [*remarks["occlusion"]] == [""]
    told = "the deltas, do not add up (2 of 2 images)"
    assert f"Saliency: {told}" in format_leaderboard(analyze(results)).replace(
        "warning:", "Saliency:"
    )
    assert render(results).count(told) == 1


def test_other_warnings_go_on(tmp_path):
    methods = [MethodEntry("saliency", settings=warns(UserWarning, "mind the gap"))]
    with pytest.warns(UserWarning, match="mind the gap"):
        cells = run_study(small_study(methods=methods, images=pictures(1)), tmp_path).cells
    assert set(cells["remark"]) == {""}


def test_each_remark_of_an_answer_has_its_place(tmp_path):
    methods = [MethodEntry("gradient_shap", settings={"n_samples": 2})]
    images = [TensorImage("dark", torch.zeros(3, 16, 16)), TensorImage("bright", pixels(0))]
    results = run_study(small_study(models=[exam()], methods=methods, images=images), tmp_path)
    assert results.cells["remark"].str.contains("compared with noise: no references were gi").all()
    assert "compared with noise: no references were given (2 of 2 images)" in render(results)
