"""Both bridges: a NumPy model under Captum's methods, a torch model under PAIR's."""

import numpy as np
import pytest
import saliency.core as pair
import torch
from captum.attr import IntegratedGradients, Saliency
from saliency.core.base import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    OUTPUT_LAYER_VALUES,
)
from torch import nn

from captum_ext.call_model import (
    KEYS,
    REP_DISTANCE_GRADIENTS,
    REP_LAYER_VALUES,
    call_model_function,
    forward_func,
)
from captum_ext.forward import count_passes

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


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 5, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(5 * 6 * 6, 6),
        nn.ReLU(),
        nn.Linear(6, 3),
    ).double()


@pytest.fixture
def batch():
    return np.random.default_rng(0).random((2, 10, 10, 3))


def first(batch):
    """As torch wants it."""
    return torch.from_numpy(batch).movedim(-1, 1).requires_grad_()


def test_every_key_is_answered_from_one_forward_pass(model, batch):
    function = call_model_function(model, target=1)
    baseline = function(batch[::-1], expected_keys=[REP_LAYER_VALUES])[REP_LAYER_VALUES]
    arguments = {"layer_baseline": baseline}
    with count_passes(model) as passes:
        answer = function(batch, arguments, KEYS)
    assert passes.forward == 2
    assert list(answer) == list(KEYS)
    assert all(isinstance(value, np.ndarray) for value in answer.values())
    assert all(not parameter.grad for parameter in model.parameters())
    assert arguments == {"layer_baseline": baseline}

    x = first(batch)
    convolved = model[:3](x)
    represented = model[3:7](convolved.clone())
    output = model[7](represented)[:, 1]
    np.testing.assert_allclose(answer[OUTPUT_LAYER_VALUES], output.detach())
    np.testing.assert_allclose(answer[REP_LAYER_VALUES], represented.detach())
    np.testing.assert_allclose(answer[CONVOLUTION_LAYER_VALUES], convolved.detach().movedim(1, -1))
    (gradient,) = torch.autograd.grad(output.sum(), convolved, retain_graph=True)
    np.testing.assert_allclose(answer[CONVOLUTION_OUTPUT_GRADIENTS], gradient.movedim(1, -1))
    (gradient,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
    np.testing.assert_allclose(answer[INPUT_OUTPUT_GRADIENTS], gradient.movedim(1, -1))
    closeness = -nn.functional.mse_loss(represented, torch.from_numpy(baseline))
    (gradient,) = torch.autograd.grad(closeness, x)
    np.testing.assert_allclose(answer[REP_DISTANCE_GRADIENTS], gradient.movedim(1, -1))


@pytest.mark.parametrize("name", ["target", "class_idx_str"])
def test_the_class_may_come_with_the_call(model, batch, name):
    function = call_model_function(model, target=0)
    answer = function(batch, {name: 2}, [OUTPUT_LAYER_VALUES])[OUTPUT_LAYER_VALUES]
    np.testing.assert_allclose(answer, model(first(batch))[:, 2].detach())


def test_another_class_gives_another_xrai(model, batch):
    function = call_model_function(model)
    masks = [
        pair.XRAI().GetMask(batch[0], function, {"class_idx_str": target}) for target in (0, 1)
    ]
    assert not np.allclose(*masks)


def test_layers_and_preprocessing_may_be_chosen(model, batch):
    function = call_model_function(
        model,
        target=0,
        layer=model[0],
        representation_layer=model[5],
        preprocess=lambda x: x / 255,
    )
    keys = [CONVOLUTION_LAYER_VALUES, REP_LAYER_VALUES, INPUT_OUTPUT_GRADIENTS]
    answer = function((255 * batch).astype(np.uint8), expected_keys=keys)
    x = torch.from_numpy((255 * batch).astype(np.uint8) / 255.0).movedim(-1, 1)
    np.testing.assert_allclose(
        answer[CONVOLUTION_LAYER_VALUES], model[0](x).detach().movedim(1, -1)
    )
    np.testing.assert_allclose(answer[REP_LAYER_VALUES], model[:6](x).detach())
    assert np.abs(answer[INPUT_OUTPUT_GRADIENTS]).max() < 1 / 255


def test_a_representation_may_be_a_function_and_arrays_channels_first(model, batch):
    function = call_model_function(
        model, 0, representation_layer=lambda x: x.mean((2, 3)), channels_last=False
    )
    images = np.moveaxis(batch, -1, 1)
    answer = function(images, expected_keys=[REP_LAYER_VALUES, INPUT_OUTPUT_GRADIENTS])
    np.testing.assert_allclose(answer[REP_LAYER_VALUES], images.mean((2, 3)))
    assert answer[INPUT_OUTPUT_GRADIENTS].shape == images.shape


def test_it_runs_under_no_grad(model, batch):
    function = call_model_function(model, 0)
    with torch.no_grad():
        answer = function(batch, None, [INPUT_OUTPUT_GRADIENTS])
    assert answer[INPUT_OUTPUT_GRADIENTS].any()


def test_the_two_bridges_cancel_out(model, batch):
    there_and_back = forward_func(call_model_function(model, 1))
    x = first(batch)
    result = Saliency(there_and_back).attribute(x, abs=False)
    torch.testing.assert_close(result, Saliency(model).attribute(x, target=1, abs=False))


@pytest.mark.parametrize(
    ("arguments", "keys", "message"),
    [
        ({"target": 0}, ["GRADIENTS"], "unknown key of expected_keys 'GRADIENTS'"),
        ({}, [OUTPUT_LAYER_VALUES], r"target must be given.*\(2, 3\).*None"),
        ({"target": 7}, [OUTPUT_LAYER_VALUES], r"target 7 does not fit.*\(2, 3\)"),
        ({"targt": 1}, [OUTPUT_LAYER_VALUES], "unknown key 'targt'.*did you mean 'target'"),
        ("airplane", [OUTPUT_LAYER_VALUES], "call_model_args must be a dict or None; got str"),
        ({"target": 0}, [REP_DISTANCE_GRADIENTS], "call_model_args must hold 'layer_baseline'"),
        (
            {"target": 0, "layer_baseline": np.zeros((2, 5))},
            [REP_DISTANCE_GRADIENTS],
            r"'layer_baseline'\] must have the shape of the representation, \(2, 6\); got \(2, 5\)",
        ),
    ],
)
def test_what_cannot_be_answered_is_named(model, batch, arguments, keys, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call_model_function(model)(batch, arguments, keys)


def test_layers_that_are_missing_are_named(model, batch):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(300, 3)).double()
    with pytest.raises(ValueError, match="has no convolution to choose"):
        call_model_function(flat, 0)(batch, None, [CONVOLUTION_LAYER_VALUES])
    with pytest.raises(ValueError, match="the forward pass never reaches Conv2d"):
        call_model_function(model, 0, nn.Conv2d(3, 3, 1))(batch, None, [CONVOLUTION_LAYER_VALUES])
    with pytest.raises(ValueError, match="representation_layer must be given"):
        call_model_function(model.forward, 0)(batch, None, [REP_LAYER_VALUES])
    with pytest.raises(TypeError, match=r"layer must be a torch.nn.Module; got str"):
        call_model_function(model, 0, layer="last")
    with pytest.raises(TypeError, match="model must be a function; got NoneType"):
        call_model_function(None)
