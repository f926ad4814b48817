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
from captum_ext.forward import count_passes

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


def test_a_third_partys_methods_are_found_by_their_entry_points(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "tests" / "dummy_distribution", source)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--no-build-isolation", "--target", str(tmp_path / "site"), str(source)]
    subprocess.run(install, check=True, capture_output=True)
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
    result = run(script, path=[tmp_path / "site"])
    assert result.returncode == 0, result.stderr
    assert "entry point broken of captum_ext.methods cannot be loaded" in result.stderr
    assert "dummy-attributions: a method named 'saliency' exists" in result.stderr
    assert "must give MethodSpec objects; got int" in result.stderr
    assert "entry point hook of captum_ext.namespaces cannot be loaded" in result.stderr
