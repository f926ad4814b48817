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
        (
            {OUTPUT_LAYER_VALUES: np.array([np.nan, 1])},
            "OUTPUT_LAYER_VALUES with finite values; got 1 NaN or infinite of 2",
        ),
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
    # The layers are found at the first call.
    keys = [REP_LAYER_VALUES, CONVOLUTION_LAYER_VALUES]
    baseline = function(batch[::-1], expected_keys=keys)[REP_LAYER_VALUES]
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


@pytest.mark.parametrize(
    "name",
    ["target", "class_idx_str", "class_idx", "target_class_idx", "class_index", "class"],
)
def test_the_class_may_come_with_the_call(model, batch, name):
    function = call_model_function(model, target=0)
    answer = function(batch, {name: 2}, [OUTPUT_LAYER_VALUES])[OUTPUT_LAYER_VALUES]
    np.testing.assert_allclose(answer, model(first(batch))[:, 2].detach())


def test_another_class_gives_another_xrai(model, batch):
    function = call_model_function(model)
    masks = [
        pair.XRAI().GetMask(batch[0], function, {"class_idx_str": target}) for target in (0, 1)
    ]
    assert np.abs(masks[0] - masks[1]).max() > 0.1 * np.abs(masks).max()


@pytest.mark.parametrize("target", [np.int64(2), np.array(2), torch.tensor(2)])
def test_the_class_may_be_what_argmax_gives(model, batch, target):
    expected = model(first(batch))[:, 2].detach()
    for function, arguments in (
        (call_model_function(model), {"target": target}),
        (call_model_function(model, target), None),
        (call_model_function(model, target), {"target": None}),
    ):
        answer = function(batch, arguments, OUTPUT_LAYER_VALUES)
        np.testing.assert_allclose(answer[OUTPUT_LAYER_VALUES], expected)


def test_arrays_become_what_the_model_computes_in(model, batch):
    for function in (
        call_model_function(model.float(), 1),
        call_model_function(nn.BatchNorm2d(3, affine=False).eval(), (1, 2, 3)),
        call_model_function(model.float().forward, 1, dtype=torch.float32),
    ):
        answer = function(batch, None, [INPUT_OUTPUT_GRADIENTS])[INPUT_OUTPUT_GRADIENTS]
        assert answer.dtype == np.float32


def test_a_model_may_work_in_place_and_be_in_training_mode(batch):
    model = nn.Sequential(
        nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(300, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)
    ).double()
    function = call_model_function(model.train(), 1)
    answer = function(batch - 0.5, None, [REP_LAYER_VALUES, INPUT_OUTPUT_GRADIENTS])
    assert answer[REP_LAYER_VALUES].shape == (2, 4)
    assert answer[INPUT_OUTPUT_GRADIENTS].any()
    zeroing = call_model_function(
        lambda x: x.mul_(0).sum((1, 2, 3)), representation_layer=lambda x: x.mean((2, 3))
    )
    answer = zeroing(batch, None, [REP_LAYER_VALUES])[REP_LAYER_VALUES]
    np.testing.assert_allclose(answer, batch.mean((1, 2)))


def test_the_last_convolution_is_the_last_that_runs(batch):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Conv2d(3, 2, 3).double(), nn.Conv2d(1, 1, 1).double()

        def forward(self, x):
            return self.used(x).mean((2, 3))

    answer = call_model_function(Model(), 1)(batch, None, [CONVOLUTION_LAYER_VALUES])
    assert answer[CONVOLUTION_LAYER_VALUES].shape == (2, 8, 8, 2)


def test_a_function_may_change_the_array_that_it_is_given(images):
    def in_place(x, call_model_args=None, expected_keys=None):
        x -= 0.5
        return {OUTPUT_LAYER_VALUES: (x**2).sum((1, 2, 3)), INPUT_OUTPUT_GRADIENTS: 2 * x}

    before = images.clone()
    result = IntegratedGradients(forward_func(in_place)).attribute(images, 0.5)
    torch.testing.assert_close(result, (images - 0.5) ** 2)
    torch.testing.assert_close(images, before, rtol=0, atol=0)


def test_integers_get_answers_with_fractions():
    def mean(x, call_model_args=None, expected_keys=None):
        return {OUTPUT_LAYER_VALUES: x.mean(1)}

    assert forward_func(mean)(torch.tensor([[0, 1], [1, 2]])).tolist() == [0.5, 1.5]


def test_second_derivatives_are_refused(images):
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(
        forward_func(squared)(images).log().sum(), images, create_graph=True
    )
    with pytest.raises(RuntimeError):
        torch.autograd.grad(gradient.sum(), images)


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
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    np.testing.assert_allclose(answer[INPUT_OUTPUT_GRADIENTS], gradient.movedim(1, -1) / 255)
    halved = call_model_function(
        model, 0, representation_layer=lambda x: x, preprocess=lambda x: x / 2
    )
    represented = halved(batch, None, [REP_LAYER_VALUES])[REP_LAYER_VALUES]
    np.testing.assert_allclose(represented, np.moveaxis(batch, -1, 1) / 2)


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
        ({"target": 1, "class": 2}, [OUTPUT_LAYER_VALUES], "must ask for one class; got"),
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
    with pytest.raises(TypeError, match="model must return a tensor; got tuple"):
        call_model_function(lambda x: (x, x), 0)(batch)
    with pytest.raises(ValueError, match=r"a row for each of the 2 examples; got shape \(1, 3\)"):
        call_model_function(lambda x: model(x[:1]), 0)(batch)
    with pytest.raises(TypeError, match="call_model_function must be a function; got int"):
        forward_func(3)


def test_no_mode_of_the_model_changes(model, batch):
    model.train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    function = call_model_function(model, 0, preprocess=lambda x: x)
    function(batch, None, [REP_LAYER_VALUES])
    assert function.module()(first(batch)).shape == (2, 3)
    assert [module.training for module in model.modules()] == modes


def test_a_model_that_gives_no_gradient_is_named(model, batch):
    blind = call_model_function(lambda x: model(x.detach()), 0)
    with pytest.raises(
        ValueError, match="model must be differentiable; its output has no gradient"
    ):
        blind(batch, None, [INPUT_OUTPUT_GRADIENTS])
