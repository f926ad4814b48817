"""A model written in NumPy, with its gradients made by hand, under Captum's methods."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Saliency
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES

from captum_ext.call_model import forward_func

WEIGHTS = np.random.default_rng(0).normal(size=(4, 5, 3))


def squared(x, call_model_args=None, expected_keys=None):
    """sum(w x^2), of which the gradient is 2 w x."""
    factor = (call_model_args or {}).get("factor", 1.0)
    values = {
        OUTPUT_LAYER_VALUES: factor * (WEIGHTS * x**2).sum((1, 2, 3)),
        INPUT_OUTPUT_GRADIENTS: factor * 2 * WEIGHTS * x,
    }
    return {key: values[key] for key in expected_keys}


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64)


def test_gradients_are_the_hand_made_ones(images):
    result = Saliency(forward_func(squared)).attribute(images, abs=False)
    weights = torch.from_numpy(WEIGHTS).movedim(-1, 0)
    torch.testing.assert_close(result, 2 * weights * images)


def test_integrated_gradients_are_complete(images):
    function = forward_func(squared, {"factor": 3.0})
    result = IntegratedGradients(function).attribute(images)
    torch.testing.assert_close(result.sum((1, 2, 3)).detach(), function(images))


def test_each_examples_gradient_is_scaled_by_its_own(images):
    images.requires_grad_()
    forward_func(squared)(images).mul(torch.tensor([1.0, 10.0])).sum().backward()
    weights = torch.from_numpy(WEIGHTS).movedim(-1, 0)
    expected = 2 * weights * images.detach() * torch.tensor([1.0, 10.0]).reshape(2, 1, 1, 1)
    torch.testing.assert_close(images.grad, expected)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "must answer OUTPUT_LAYER_VALUES; it answered nothing"),
        ({OUTPUT_LAYER_VALUES: np.zeros((2, 7))}, r"with shape \(2,\); got \(2, 7\)"),
    ],
)
def test_a_wrong_answer_is_named(images, answer, message):
    with pytest.raises(ValueError, match=message):
        forward_func(lambda x, call_model_args, expected_keys: answer)(images)
