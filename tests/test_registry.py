import os
import shutil
import subprocess
import sys
from pathlib import Path

import captum.attr
import pytest
import saliency.core
import torch
from torch import nn

import captum_ext
import captum_ext.metrics
from captum_ext.forward import count_passes
from captum_ext.registry import MetricSpec, as_metric, as_spec, metrics

ROOT = Path(__file__).parents[1]


@pytest.fixture
def registered():
    names = captum_ext.register()
    yield names
    captum_ext.unregister()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 5)
    ).eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def run(script, *args, path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=args[0] if args else None,
    )


def test_the_known_methods_are_all_there():
    names = [spec.name for spec in captum_ext.methods()]
    assert len(names) == len(set(names))
    assert set(names) >= {
        *("saliency", "input_x_gradient", "guided_backprop", "deconvolution", "smooth_grad"),
        *("integrated_gradients", "gradient_shap", "deep_lift", "deep_lift_shap", "occlusion"),
        *("lrp_z", "lrp_epsilon", "lrp_alpha1_beta0", "lrp_alpha2_beta1", "feature_ablation"),
        *("lime", "kernel_shap", "shapley_value_sampling", "grad_cam", "guided_grad_cam"),
    }


@pytest.mark.parametrize("spec", captum_ext.methods(), ids=lambda spec: spec.name)
@pytest.mark.parametrize("resolution", ["pixel", "image"])
def test_every_method_explains_an_image(spec, resolution, model, images):
    result = captum_ext.explain(model, images, 1, spec.name, resolution=resolution)
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    assert torch.isfinite(result).all()
    assert not result.requires_grad


def test_explain_is_the_plain_captum_call(model, images):
    result = captum_ext.explain(model, images, [1, 2], "integrated_gradients", n_steps=20)
    expected = captum.attr.IntegratedGradients(model).attribute(images, target=[1, 2], n_steps=20)
    torch.testing.assert_close(result, expected.detach())


def test_without_target_the_predicted_class_is_explained(model, images):
    predicted = model(images).argmax(1)
    result = captum_ext.explain(model, images, method="input_x_gradient")
    torch.testing.assert_close(
        result, captum_ext.explain(model, images, predicted, "input_x_gradient")
    )


def test_a_model_with_one_score_needs_no_target(images):
    result = captum_ext.explain(lambda x: x.sum((1, 2, 3)), images, method="saliency")
    assert torch.equal(result, torch.ones_like(images))


def test_a_seed_decides_stochastic_methods_and_the_global_state_stays(model, images):
    state = torch.get_rng_state()
    first, same, other = (
        captum_ext.explain(model, images, 1, "smooth_grad", generator=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_explain_leaves_no_mark_on_the_inputs(model, images):
    images.requires_grad_()
    for spec in captum_ext.methods():
        captum_ext.explain(model, images, 1, spec.name)
        assert images.grad is None
        assert not images._backward_hooks


def test_a_layer_can_be_given(images):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(32, 3)
    )
    default = captum_ext.explain(model, images, 0, "grad_cam")
    last = captum_ext.explain(model, images, 0, "grad_cam", layer=model[2])
    first = captum_ext.explain(model, images, 0, "grad_cam", layer=model[0])
    assert torch.equal(default, last)
    assert not torch.equal(default, first)


@pytest.mark.parametrize("spec", captum_ext.methods(), ids=lambda spec: spec.name)
def test_bad_input_is_refused_before_the_model_runs(spec, model, images):
    bad = images.clone()
    bad[0, 0, 0, 0] = float("nan")
    with count_passes(model) as passes:
        with pytest.raises(ValueError, match="inputs must be finite"):
            captum_ext.explain(model, bad, 1, spec.name)
        with pytest.raises(ValueError, match="target must hold one class per example"):
            captum_ext.explain(model, images, [1, 2, 3], spec.name)
        with pytest.raises(TypeError, match="target must be"):
            captum_ext.explain(model, images, "cat", spec.name)
    assert passes.total == 0


@pytest.mark.parametrize("spec", captum_ext.methods(), ids=lambda spec: spec.name)
def test_a_target_that_the_model_lacks_is_named(spec, model, images):
    with pytest.raises(ValueError, match=r"target 5 does not fit the model's output"):
        captum_ext.explain(model, images, 5, spec.name)


def test_arguments_that_a_method_does_not_take_are_named(model, images):
    with pytest.raises(TypeError, match="saliency does not take n_steps; it takes abs"):
        captum_ext.explain(model, images, 1, "saliency", n_steps=3)
    with pytest.raises(TypeError, match=r"deep_lift needs model to be a torch\.nn\.Module"):
        captum_ext.explain(lambda x: x.sum((2, 3)), images, 1, "deep_lift")
    with pytest.raises(ValueError, match="layer must be given"):
        captum_ext.explain(nn.Sequential(nn.Flatten()), images, 1, "grad_cam")
    with pytest.raises(ValueError, match="unknown resolution 'fine'"):
        captum_ext.explain(model, images, 1, "lime", resolution="fine")
    with pytest.raises(ValueError, match="target must be given"):
        captum_ext.explain(lambda x: x, images, method="saliency")


def test_a_layer_that_is_none_is_named(model, images):
    with pytest.raises(TypeError, match=r"layer must be a torch\.nn\.Module; got int"):
        captum_ext.explain(model, images, 1, "grad_cam", layer=0)
    with pytest.raises(TypeError, match="saliency takes no layer"):
        captum_ext.explain(model, images, 1, "saliency", layer=model[0])


def test_each_attribution_has_the_dtype_of_its_own_input():
    inputs = (torch.rand(2, 3, dtype=torch.float64), torch.rand(2, 3))
    result = captum_ext.explain(lambda x, y: (x * y).sum(1), inputs, method="occlusion")
    assert [part.dtype for part in result] == [torch.float64, torch.float32]


def test_a_seed_decides_the_background_too(model, images):
    first, second = (
        captum_ext.explain(model, images, 1, "deep_lift_shap", generator=seed) for seed in (1, 2)
    )
    assert not torch.equal(first, second)


def test_families_select():
    assert {spec.family for spec in captum_ext.methods("shapley")} == {"shapley"}
    with pytest.raises(ValueError, match="unknown family 'shaply'; did you mean 'shapley'"):
        captum_ext.methods("shaply")


def test_registering_is_idempotent_and_can_be_taken_back():
    before = dict(vars(captum.attr)), list(captum.attr.__all__), dict(vars(saliency.core))
    first = captum_ext.register()
    second = captum_ext.register()
    assert first == second
    assert captum.attr.UniformLRP is captum_ext.attr.UniformLRP
    assert captum.attr.__all__.count("UniformLRP") == 1
    captum_ext.unregister()
    captum_ext.unregister()
    assert (dict(vars(captum.attr)), captum.attr.__all__, dict(vars(saliency.core))) == before


def test_a_name_that_the_library_has_is_never_replaced(monkeypatch):
    mine = object()
    monkeypatch.setattr(captum.attr, "UniformLRP", mine, raising=False)
    captum_ext.register()
    assert captum.attr.UniformLRP is mine
    captum_ext.unregister()
    assert captum.attr.UniformLRP is mine


def test_built_in_classes_are_not_registered_again(registered):
    assert not any(name.endswith(".Saliency") for name in registered)


@pytest.fixture(scope="module")
def third_party(tmp_path_factory):
    """The dummy distribution, installed into a folder."""
    folder = tmp_path_factory.mktemp("third_party")
    shutil.copytree(ROOT / "tests" / "dummy_distribution", folder / "source")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--no-build-isolation", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run(install, check=True, capture_output=True)
    return folder / "site"


def test_a_third_partys_methods_are_found_by_their_entry_points(third_party):
    script = """
import captum_ext, captum.attr, torch
names = [spec.name for spec in captum_ext.methods()]
assert names[-2:] == ["dummy", "second_dummy"], names
assert captum_ext.get_method("saliency").title == "Saliency"
assert captum_ext.explain(lambda x: x.sum(1), torch.zeros(2, 3), method="dummy").sum() == 6
names = captum_ext.register()
from captum.attr import DummyAttribution
assert captum_ext.get_method("smooth_grad").origin == "captum"
assert captum.attr.UniformLRP is captum_ext.attr.UniformLRP
assert captum.attr.Saliency.__module__.startswith("captum.")
"""
    result = run(script, path=[third_party, ROOT])
    assert result.returncode == 0, result.stderr
    assert "entry point broken of captum_ext.methods cannot be loaded" in result.stderr
    assert "dummy-attributions: a method named 'saliency' exists" in result.stderr
    assert "must give MethodSpec objects; got int" in result.stderr
    assert "entry point hook of captum_ext.namespaces cannot be loaded" in result.stderr


def test_a_third_partys_metric_and_exam_model_are_found_by_their_entry_points(
    third_party, tmp_path
):
    (tmp_path / "study.toml").write_text(
        """
images = ["coffee"]
methods = ["dummy", { method = "dummy_attributions:DummyAttribution", name = "by_place" }]
metrics = [
    "dummy_metric",
    { metric = "dummy_metric", name = "tripled", settings = { factor = 3 } },
]
models = [{ exam = "dummy_model", size = 5, n_relevant = 4 }]
"""
    )
    script = """
from captum_ext.cli import main
from captum_ext.registry import exam_models, get_metric, metrics
from captum_ext.study import read_results
assert [spec.name for spec in exam_models()][-1] == "dummy_model"
assert metrics()[-1].name == "dummy_metric" and get_metric("gini").origin == "captum_ext"
assert main(["study", "study.toml", "--out", "out"]) == 0
values = read_results("out").cells.groupby(["method", "metric"], observed=True)["value"].first()
assert len(values) == 4
for method in ("dummy", "by_place"):
    assert values[method, "dummy_metric"] == 8 and values[method, "tripled"] == 12, values
assert main(["exam", "--model", "dummy_model", "--size", "5", "--methods", "dummy"]) == 0
assert main(["metrics", "dummy_metric"]) == 0
"""
    result = run(script, tmp_path, path=[third_party, ROOT])
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].split(maxsplit=2) == [
        *("factor", "2.0", "that it is multiplied by")
    ]
    for name, group in (("broken_metric", "metrics"), ("broken_model", "exam_models")):
        assert f"entry point {name} of captum_ext.{group} cannot be loaded" in result.stderr
    assert "of captum_ext.metrics must give MetricSpec objects; got MethodSpec" in result.stderr
    assert "dummy_attributions: a metric named 'gini' exists; not added" in result.stderr


def test_a_spec_or_class_can_be_named_by_where_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "written_here.py").write_text(
        "from captum.attr import Saliency\n"
        "from captum_ext.registry import MethodSpec, MetricSpec\n"
        "class Own(Saliency): pass\n"
        "SPEC = MethodSpec('own', 'Own', 'gradient', '-', Own)\n"
        "METRIC = MetricSpec('own', 'Own', 'none', '', print)\n"
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    assert as_spec("written_here:SPEC").name == as_spec("written_here:Own").name == "own"
    assert as_metric("written_here:METRIC").function is print
    assert sys.path == path
    with pytest.raises(TypeError, match="method must be a name, a MethodSpec or a subclass"):
        as_spec("written_here:METRIC")
    with pytest.raises(TypeError, match="metric must be a name or a MetricSpec"):
        as_metric("written_here:SPEC")
    with pytest.raises(ValueError, match="method 'written_here:OTHER' cannot be imported: Attr"):
        as_spec("written_here:OTHER")
    with pytest.raises(ValueError, match="metric 'nowhere:METRIC' cannot be imported: ModuleNot"):
        as_metric("nowhere:METRIC")


def test_every_metric_is_a_function_of_the_package_with_a_source():
    assert {spec.name for spec in metrics()} == {
        *("srg", "lif", "mif", "deletion", "insertion", "gini", "infidelity", "max_sensitivity"),
        *("parameter_randomization", "aic", "sic", "pointing_game", "relevance_mass"),
        *("relevance_rank", "top_k_intersection", "shapley_agreement"),
    }
    for spec in metrics():
        assert getattr(captum_ext.metrics, spec.function.__name__) is spec.function
        assert spec.origin == "captum_ext" and spec.source != "-"
        assert {argument.name for argument in spec.arguments()} == spec.settings
        assert all(argument.about for argument in spec.arguments())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": "No name"}, ValueError, "name must be a lower-case identifier; got 'No name'"),
        ({"direction": "up"}, ValueError, "unknown direction 'up'"),
        ({"needs": {"masks"}}, ValueError, "'masks' is not a valid MetricNeed"),
        ({"function": 3}, TypeError, "function must be a function; got int"),
    ],
)
def test_a_metrics_spec_is_checked(changes, error, message):
    facts = {"name": "own", "title": "Own", "direction": "none", "about": "", "function": print}
    with pytest.raises(error, match=message):
        MetricSpec(**facts | changes)
