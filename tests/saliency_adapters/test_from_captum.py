import numpy as np
import pytest
import saliency.core as saliency
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES

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
