import captum.attr
import numpy as np
import pytest
import saliency.core as saliency
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES
from torch import nn

import captum_ext
from captum_ext.call_model import call_model_function
from saliency_adapters import FromCaptum

WEIGHTS = np.random.default_rng(0).normal(size=(6, 7, 3))


def linear(x, call_model_args=None, expected_keys=None):
    values = {
        OUTPUT_LAYER_VALUES: (WEIGHTS * x).sum((1, 2, 3)),
        INPUT_OUTPUT_GRADIENTS: np.broadcast_to(WEIGHTS, x.shape),
    }
    return {key: values[key] for key in expected_keys}


@pytest.fixture
def image():
    return np.random.default_rng(1).random((6, 7, 3))


def test_occlusion_of_a_linear_model_is_the_weighted_image(image):
    mask = FromCaptum("occlusion").GetMask(image, linear)
    expected = (WEIGHTS * image).sum(2, keepdims=True)
    np.testing.assert_allclose(mask, np.broadcast_to(expected, image.shape), rtol=1e-5)


def test_integrated_gradients_agree_with_pairs_own(image):
    ours = FromCaptum("integrated_gradients").GetMask(image, linear)
    pairs = saliency.IntegratedGradients().GetMask(image, linear, x_steps=10)
    np.testing.assert_allclose(ours, pairs, rtol=1e-6)


def test_the_adapter_works_with_pairs_smoothing_and_visualization(image):
    smooth = FromCaptum("saliency", abs=False).GetSmoothedMask(image, linear, nsamples=3)
    assert saliency.VisualizeImageGrayscale(smooth).shape == (6, 7)
    assert saliency.VisualizeImageDiverging(smooth).shape == (6, 7)


def test_arguments_of_the_call_model_function_are_not_changed(image):
    arguments = {"class": 3}
    FromCaptum("saliency").GetMask(image, linear, arguments)
    assert arguments == {"class": 3}


def test_bytes_are_accepted(image):
    mask = FromCaptum("saliency").GetMask((image * 255).astype(np.uint8), linear)
    np.testing.assert_allclose(mask, np.abs(WEIGHTS))


def test_a_method_that_needs_a_module_is_refused_on_any_other_model(image):
    with pytest.raises(TypeError, match="deep_lift needs a torch module"):
        FromCaptum("deep_lift").GetMask(image, linear)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(168, 3)
    ).double()


@pytest.mark.parametrize("spec", captum_ext.methods(), ids=lambda spec: spec.name)
def test_every_registered_method_runs_on_a_function_made_from_a_module(model, image, spec):
    mask = FromCaptum(spec).GetMask(image, call_model_function(model), {"target": 2})
    assert mask.shape == image.shape
    x = torch.from_numpy(image).movedim(-1, 0)[None]
    expected = captum_ext.explain(model, x, 2, spec)[0].movedim(0, -1)
    np.testing.assert_allclose(mask, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("attribution_class", "settings"),
    [
        (captum.attr.IntegratedGradients, {"n_steps": 20}),
        (captum.attr.IntegratedGradients, {"multiply_by_inputs": False}),
        (captum.attr.InputXGradient, {}),
        (captum.attr.GradientShap, {"baselines": np.zeros((2, 6, 7, 3)), "stdevs": 0.0}),
        (captum.attr.FeatureAblation, {}),
        (captum.attr.ShapleyValueSampling, {"baselines": np.zeros((6, 7, 3))}),
        (captum.attr.KernelShap, {"n_samples": 400}),
    ],
)
def test_captums_classes_on_a_linear_numpy_model(image, attribution_class, settings):
    mask = FromCaptum(attribution_class, **settings).GetMask(image, linear)
    plain = settings.get("multiply_by_inputs", True)
    expected = WEIGHTS * image if plain else WEIGHTS
    if attribution_class.__name__ in ("FeatureAblation", "ShapleyValueSampling", "KernelShap"):
        # These treat a pixel as one feature.
        expected = np.broadcast_to(expected.sum(2, keepdims=True), image.shape)
    np.testing.assert_allclose(mask, expected, rtol=1e-4, atol=2e-3)


def test_a_class_of_a_third_party_needs_no_registration(image):
    class Twice(captum.attr.Saliency):
        def __init__(self, forward_func, factor=1):
            super().__init__(forward_func)
            self.factor = factor

        def attribute(self, inputs, target=None):
            return self.factor * super().attribute(inputs, target, abs=False)

    np.testing.assert_allclose(FromCaptum(Twice, factor=2).GetMask(image, linear), 2 * WEIGHTS)


def test_a_layer_may_be_chosen(model, image):
    function = call_model_function(model, 1)
    masks = [
        FromCaptum("ig2", layer=layer, n_steps=4).GetMask(image, function)
        for layer in (model[0], model[2])
    ]
    assert not np.allclose(*masks)


@pytest.mark.parametrize("method", [3, dict, np.zeros(3)])
def test_what_is_no_method_is_refused(method):
    with pytest.raises(TypeError, match="method must be a name, a MethodSpec or a subclass of"):
        FromCaptum(method)
