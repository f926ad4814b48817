"""The cases of PAIR's own tests of Guided IG, on NumPy 2."""

import numpy as np
import pytest
import saliency.core as pair
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS

from captum_ext.attr import FromSaliency
from saliency_adapters import GuidedIG


def linear(x, call_model_args=None, expected_keys=None):
    """The gradient of 2 x1 + x2, as PAIR's tests give it: a list, and for one example only."""
    assert expected_keys == [INPUT_OUTPUT_GRADIENTS]
    assert call_model_args == "airplane"
    return {INPUT_OUTPUT_GRADIENTS: [[2.0, 1.0]]}


def independent(x, call_model_args=None, expected_keys=None):
    """Of 2 x1^2 + x2^2."""
    return {INPUT_OUTPUT_GRADIENTS: [[4 * x[0, 0], 2 * x[0, 1]]]}


def dependent(x, call_model_args=None, expected_keys=None):
    """Of (2 x1 + x2)^2."""
    total = 2 * x[0, 0] + x[0, 1]
    return {INPUT_OUTPUT_GRADIENTS: [[4 * total, 2 * total]]}


def mask(x, function, **settings):
    return GuidedIG().GetMask(x, function, **({"x_steps": 1000, "fraction": 0.1} | settings))


@pytest.mark.parametrize(
    ("x", "baseline", "expected"), [([10.0, 5.0], [-1.0, -3.0], [22, 8]), ([10, 5], None, [20, 5])]
)
def test_linear(x, baseline, expected):
    result = mask(
        x, linear, call_model_args="airplane", x_baseline=baseline, x_steps=10, max_dist=0.5
    )
    np.testing.assert_allclose(result, expected)


@pytest.mark.parametrize(
    ("x", "baseline", "expected"), [([3, 3], None, [18, 9]), ([0, 0], [3, 3], [-18, -9])]
)
def test_independent_quadratic(x, baseline, expected):
    result = mask(x, independent, x_baseline=baseline, max_dist=0.4)
    np.testing.assert_allclose(result, expected, rtol=0.01)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_dist": 0.0}, [54, 27]),
        ({"fraction": 1.0, "max_dist": 0.5}, [54, 27]),
        ({"max_dist": 1.0}, [72, 9]),
    ],
)
def test_dependent_quadratic(settings, expected):
    np.testing.assert_allclose(mask([3, 3], dependent, **settings), expected, rtol=0.01)


def test_bounded_dependent_quadratic_lies_between_and_is_complete():
    first, second = mask([3, 3], dependent, max_dist=0.2)
    assert first + second == pytest.approx(81, abs=0.1)
    assert 55 < first < 71
    assert 10 < second < 26


def test_pairs_own_guided_ig_works_through_the_bridge():
    x = torch.tensor([[3.0, 3.0]])
    result = FromSaliency(pair.GuidedIG, lambda x: (2 * x[:, 0] + x[:, 1]) ** 2).attribute(
        x, x_steps=1000, fraction=0.1, max_dist=1.0
    )
    torch.testing.assert_close(result, torch.tensor([[72.0, 9.0]]), rtol=0.01, atol=0)


def test_it_is_an_image_method_and_smooths():
    weights = np.random.default_rng(0).normal(size=(4, 5, 3))

    def squares(x, call_model_args=None, expected_keys=None):
        return {INPUT_OUTPUT_GRADIENTS: 2 * weights * x}

    image = np.random.default_rng(1).random((4, 5, 3))
    result = GuidedIG().GetMask(image, squares, x_steps=400)
    np.testing.assert_allclose(result, weights * image**2, rtol=0.01)
    smooth = GuidedIG().GetSmoothedMask(image, squares, nsamples=2, x_steps=5)
    assert pair.VisualizeImageGrayscale(smooth).shape == (4, 5)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "must answer INPUT_OUTPUT_GRADIENTS; it answered nothing"),
        ({INPUT_OUTPUT_GRADIENTS: [[1.0]]}, r"with shape \(1, 2\); got \(1, 1\)"),
        ([1.0], "must give a dict of values by key; got list"),
    ],
)
def test_a_wrong_answer_is_named(answer, message):
    with pytest.raises((TypeError, ValueError), match=message):
        GuidedIG().GetMask([1.0, 2.0], lambda *args, **kwargs: answer)


def test_settings_are_named_as_they_were_given():
    with pytest.raises(ValueError, match="x_steps must be at least 1; got 0"):
        GuidedIG().GetMask([1.0, 2.0], independent, x_steps=0)
    with pytest.raises(TypeError, match="call_model_function must be a function; got int"):
        GuidedIG().GetMask([1.0, 2.0], 3)
    np.testing.assert_allclose(mask([3, 3], independent, x_baseline=np.array(3.0)), 0)


def test_a_baseline_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"x_baseline must have the shape of x_value, \(2,\)"):
        GuidedIG().GetMask([1.0, 2.0], independent, x_baseline=[1.0])
