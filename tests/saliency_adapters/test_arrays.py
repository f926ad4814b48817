"""Whatever arrays a user or a ``call_model_function`` has: right masks, or an error."""

import warnings

import captum.attr
import numpy as np
import pytest
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES
from torch import nn

import captum_ext
from captum_ext.attr import FromSaliency
from captum_ext.call_model import REP_DISTANCE_GRADIENTS, REP_LAYER_VALUES, call_model_function
from saliency_adapters import IG2, FromCaptum, GuidedIG

METHODS = ("integrated_gradients", "occlusion", "guided_ig", "saliency")
GRADIENTS_ONLY = [
    spec.name
    for spec in captum_ext.methods()
    if spec.family in ("gradient", "path") and not spec.needs_module
]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(1, 200, (4, 5, 3)).astype(float)


def squares(x, call_model_args=None, expected_keys=None):
    values = {OUTPUT_LAYER_VALUES: (x**2).sum((1, 2, 3)), INPUT_OUTPUT_GRADIENTS: 2 * x}
    return {key: values[key] for key in expected_keys}


def of_tensors(x, call_model_args=None, expected_keys=None, dtype=torch.float64):
    x = torch.tensor(x, dtype=dtype, requires_grad=True)
    values = {
        OUTPUT_LAYER_VALUES: (x**2).sum((1, 2, 3)),
        INPUT_OUTPUT_GRADIENTS: 2 * x,
        REP_LAYER_VALUES: x.flatten(1),
        REP_DISTANCE_GRADIENTS: -x,
    }
    return {key: values[key] for key in expected_keys}


def only_gradients(x, call_model_args=None, expected_keys=None):
    assert expected_keys == [INPUT_OUTPUT_GRADIENTS]
    return {INPUT_OUTPUT_GRADIENTS: 2 * x}


@pytest.mark.parametrize("method", [*GRADIENTS_ONLY, captum.attr.IntegratedGradients])
def test_where_values_are_not_needed_only_gradients_are_asked_for(image, method):
    mask = FromCaptum(method).GetMask(image, only_gradients)
    np.testing.assert_array_equal(mask, FromCaptum(method).GetMask(image, squares))


def test_values_are_asked_for_where_they_are_needed(image):
    method = FromCaptum("integrated_gradients", return_convergence_delta=True)
    _, delta = method.GetMask(image, squares)
    assert abs(delta) < 1e-6 * (image**2).sum()
    for needs_values in (method, FromCaptum("occlusion")):
        with pytest.raises(AssertionError):
            needs_values.GetMask(image, only_gradients)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
        lambda x: x.astype(np.longdouble),
        lambda x: x.astype(np.float16),
        lambda x: x.astype(np.uint8),
        lambda x: x.astype(np.uint16),
        lambda x: x.astype(">i4"),
        lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        np.asfortranarray,
        np.ndarray.tolist,
        lambda x: torch.tensor(x, requires_grad=True),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_the_kind_of_array_does_not_matter(image, method, change):
    expected = FromCaptum(method).GetMask(image, squares)
    mask = FromCaptum(method).GetMask(change(image), squares)
    np.testing.assert_allclose(mask, expected, rtol=2e-5, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("method", METHODS)
def test_tensors_are_answers(image, method, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        mask = FromCaptum(method).GetMask(image, lambda *a, **k: of_tensors(*a, **k, dtype=dtype))
        IG2().GetMask(image, np.stack([image / 2] * 2), of_tensors, steps=2)
    expected = FromCaptum(method).GetMask(image, squares)
    np.testing.assert_allclose(mask, expected, rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("dtype", [">f4", np.longdouble, ">f8"])
def test_answers_baselines_and_references_of_any_kind(image, dtype):
    def answer(*args, **kwargs):
        return {key: value.astype(dtype) for key, value in squares(*args, **kwargs).items()}

    for method in METHODS[:3]:
        kinds = FromCaptum(method, baselines=(image / 2).astype(dtype)).GetMask(image, answer)
        plain = FromCaptum(method, baselines=image / 2).GetMask(image, squares)
        np.testing.assert_allclose(kinds, plain, rtol=1e-4, atol=0.1)
    function = call_model_function(nn.Sequential(nn.Flatten(), nn.Linear(60, 2)).double(), 1)
    references = np.stack([image / 2, image / 3])
    np.testing.assert_allclose(
        IG2().GetMask(image, references.astype(dtype), function, steps=3),
        IG2().GetMask(image, references, function, steps=3),
        rtol=1e-3,
    )
    baseline = (image / 2).astype(dtype)
    half = GuidedIG().GetMask(image, squares, x_baseline=baseline, x_steps=20)
    np.testing.assert_allclose(half.sum(), 0.75 * (image**2).sum(), rtol=0.05)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((4, 5, 3)) * 1j, "x_value must be an array of real numbers; got dtype complex128"),
        (np.full((4, 5, 3), "a"), "x_value must be an array of real numbers; got dtype <U1"),
        (np.full((4, 5, 3), None), "x_value must be an array of real numbers; got dtype object"),
        ([[1.0], [1.0, 2.0]], "x_value must be an array of numbers"),
        (np.full((4, 5, 3), np.nan), "must be finite"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(array, message):
    with pytest.raises((TypeError, ValueError), match=message):
        FromCaptum("saliency").GetMask(array, squares)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: 2 * x[..., :1], r"INPUT_OUTPUT_GRADIENTS with shape \(\d+, 4, 5, 3\); got"),
        (lambda x: 2 * x[0], r"with shape \(1, 4, 5, 3\); got \(4, 5, 3\)"),
        (lambda x: x * 1j, "answer to INPUT_OUTPUT_GRADIENTS must be an array of real numbers"),
        (lambda x: None, "answer to INPUT_OUTPUT_GRADIENTS must be .* got dtype object"),
        (lambda x: [[1.0], [1.0, 2.0]], "answer to INPUT_OUTPUT_GRADIENTS must be an array"),
        (
            lambda x: np.full(x.shape, np.nan),
            "must answer INPUT_OUTPUT_GRADIENTS with finite values",
        ),
        (lambda x: np.full(x.shape, 1e300), "with finite values; got 60 NaN or infinite of 60"),
    ],
)
def test_a_wrong_answer_is_named(image, answer, message):
    with pytest.raises((TypeError, ValueError), match=message):
        FromCaptum("saliency").GetMask(
            image.astype(np.float32), lambda x, **_: {INPUT_OUTPUT_GRADIENTS: answer(x)}
        )


@pytest.mark.parametrize("method", ["rise", "blur_ig", "meaningful_perturbation"])
def test_an_image_without_channels_gets_advice_where_it_needs_some(image, method):
    with pytest.raises(ValueError, match=r"\[H, W, C\] for .* \(4, 5\): pass x_value\[..., None\]"):
        FromCaptum(method).GetMask(image[..., 0], squares)
    with pytest.raises(ValueError, match="one image at a time"):
        FromCaptum(method).GetMask(image[None], squares)


def test_whole_numbers_may_be_baselines(image):
    baselines = np.full((4, 5, 3), 2, dtype=np.uint8)
    mask = FromCaptum("integrated_gradients", baselines=baselines).GetMask(image, squares)
    np.testing.assert_allclose(mask, image**2 - 4)


def test_every_kind_of_batch_reaches_a_torch_model(image):
    function = call_model_function(nn.Sequential(nn.Flatten(), nn.Linear(60, 2)), 1)
    expected = function(image[None])[OUTPUT_LAYER_VALUES]
    for batch in (
        image[None].astype(">f4"),
        image[None].astype(np.longdouble),
        image[None].astype(np.uint16),
        torch.tensor(image[None], dtype=torch.bfloat16),
        np.ascontiguousarray(image[None, ::-1])[:, ::-1],
    ):
        np.testing.assert_allclose(function(batch)[OUTPUT_LAYER_VALUES], expected, rtol=1e-4)


@pytest.mark.parametrize("batch", [np.ones((1, 2, 2, 3)) * 1j, np.full((1, 2), "a"), [[1], [1, 2]]])
def test_a_batch_of_something_else_is_named(batch):
    with pytest.raises((TypeError, ValueError), match="x_value_batch must be an array of"):
        call_model_function(nn.Flatten(), 1)(batch)


def test_a_mask_of_another_kind_is_named(image):
    class Complex(IG2):
        def GetMask(self, x_value, call_model_function, call_model_args=None):  # noqa: N802
            return x_value * 1j

    with pytest.raises(TypeError, match="the mask of core must be an array of real numbers"):
        FromSaliency(Complex(), nn.Flatten()).attribute(torch.rand(1, 3, 4, 5), target=0)
