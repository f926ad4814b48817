import captum.attr
import numpy as np
import pytest
import saliency.core as saliency
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES
from torch import nn

import captum_ext
from captum_ext import Need
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


def test_arguments_are_handed_through(image):
    seen = []

    def call(x, call_model_args=None, expected_keys=None):
        seen.append(call_model_args)
        return linear(x, call_model_args, expected_keys)

    FromCaptum("saliency").GetMask(image, call, "airplane")
    assert set(seen) == {"airplane"}


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
    if Need.PROBABILITIES in spec.needs:
        model.append(nn.Softmax(dim=1))
    # Of one class's probability PDA cannot tell how many classes there are.
    settings = {"n_classes": 3} if spec.name == "pda" else {}
    mask = FromCaptum(spec, **settings).GetMask(image, call_model_function(model), {"target": 2})
    assert mask.shape == image.shape
    x = torch.from_numpy(image).movedim(-1, 0)[None]
    expected = captum_ext.explain(model, x, 2, spec, **settings)[0].movedim(0, -1)
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


@pytest.mark.parametrize(
    ("attribution_class", "settings"),
    [
        (captum.attr.LayerGradCam, {}),
        (captum.attr.LayerActivation, {}),
        (captum.attr.LayerConductance, {"n_steps": 5}),
        (captum.attr.LayerIntegratedGradients, {"n_steps": 5}),
        (captum.attr.NeuronGradient, {"neuron_selector": (1, 2, 3)}),
        (captum.attr.LayerFeatureAblation, {}),
    ],
)
def test_methods_of_layers_and_modules_run_on_a_function_made_from_a_module(
    model, image, attribution_class, settings
):
    x = torch.from_numpy(image).movedim(-1, 0)[None]
    layer = {"layer": model[0]}
    method = attribution_class(model, model[0])
    target = {} if "Activation" in str(attribution_class) else {"target": 1}
    target = {} if "Neuron" in str(attribution_class) else target
    expected = method.attribute(x, **target, **settings).detach()[0].movedim(0, -1)
    function = call_model_function(model, 1)
    result = FromCaptum(attribution_class, **layer, **settings).GetMask(image, function)
    np.testing.assert_allclose(result, expected, atol=1e-12)
    with pytest.raises(TypeError, match="needs a torch module"):
        FromCaptum(attribution_class, **layer, **settings).GetMask(image, linear)


def test_the_layers_and_the_preprocessing_of_the_function_count(model, image):
    def preprocess(x):
        return 2 * x - 1

    function = call_model_function(
        model, 1, layer=model[0], representation_layer=model[0], preprocess=preprocess
    )
    whole = nn.Sequential(Preprocess(preprocess), model)
    for name, settings in (("grad_cam", {}), ("ig2", {"n_steps": 4})):
        ours = FromCaptum(name, **settings).GetMask(image, function)
        x = torch.from_numpy(image).movedim(-1, 0)[None]
        expected = captum_ext.explain(whole, x, 1, name, layer=model[0], **settings)
        np.testing.assert_allclose(ours, expected[0].movedim(0, -1))
    found = call_model_function(model, 1, preprocess=preprocess)
    assert not np.allclose(ours, FromCaptum("ig2", n_steps=4).GetMask(image, found))


class Preprocess(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def squares(x, call_model_args=None, expected_keys=None):
    values = {
        OUTPUT_LAYER_VALUES: (WEIGHTS * x**2).sum((1, 2, 3)),
        INPUT_OUTPUT_GRADIENTS: 2 * WEIGHTS * x,
    }
    return {key: values[key] for key in expected_keys}


def test_settings_at_the_call_go_before_those_of_the_class(image):
    baselines = np.random.default_rng(2).random((6, 7, 3))
    method = FromCaptum(captum.attr.IntegratedGradients, baselines=0.0, method="riemann_left")
    mask = method.GetMask(image, squares, baselines=baselines, method="gausslegendre")
    np.testing.assert_allclose(mask, WEIGHTS * (image**2 - baselines**2))


def test_more_than_attributions_come_as_a_tuple(image):
    mask, delta = FromCaptum(
        captum.attr.IntegratedGradients, return_convergence_delta=True
    ).GetMask(image, squares)
    np.testing.assert_allclose(mask, WEIGHTS * image**2)
    assert abs(float(delta)) < 1e-6


def test_a_mask_without_channels_may_be_given(image):
    halves = np.zeros((6, 7), dtype=int)
    halves[:, 4:] = 1
    mask = FromCaptum("feature_ablation", feature_mask=halves).GetMask(image, linear)
    expected = [(WEIGHTS * image)[:, :4].sum(), (WEIGHTS * image)[:, 4:].sum()]
    np.testing.assert_allclose([mask[0, 0, 0], mask[0, 6, 2]], expected, rtol=1e-5)


def test_the_mask_has_the_dtype_of_the_input(model, image):
    for spec in ("deep_lift", "integrated_gradients"):
        function = call_model_function(model.float(), 1)
        assert FromCaptum(spec).GetMask(image, function).dtype == np.float64
        assert FromCaptum(spec).GetMask(image.astype(np.float32), function).dtype == np.float32


def test_a_function_with_its_channels_first_is_refused(model, image):
    function = call_model_function(model, 1, channels_last=False)
    for spec in ("deep_lift", "occlusion"):
        with pytest.raises(ValueError, match="must be made with channels_last=True"):
            FromCaptum(spec).GetMask(image, function)
