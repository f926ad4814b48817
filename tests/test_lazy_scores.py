"""Values of a ``call_model_function``: asked for when they are read, and then right."""

import pytest
import torch
from captum.attr import IntegratedGradients
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES

from captum_ext.call_model import forward_func
from captum_ext.forward import predicted_target


@pytest.fixture
def keys():
    return []


@pytest.fixture
def function(keys):
    def squares(x, call_model_args=None, expected_keys=None):
        keys.extend(expected_keys)
        values = {OUTPUT_LAYER_VALUES: (x**2).sum((1, 2, 3)), INPUT_OUTPUT_GRADIENTS: 2 * x}
        return {key: values[key] for key in expected_keys}

    return forward_func(squares)


@pytest.fixture
def images():
    return torch.rand(3, 2, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize(
    "reduce",
    [
        torch.sum,
        lambda scores: scores.reshape(-1).sum(),
        lambda scores: scores.flatten().mean() * 3,
        lambda scores: sum(scores.unbind()),
        lambda scores: scores[0] + scores[1:].sum(),
    ],
)
def test_gradients_are_the_same_with_values_or_without(function, images, keys, reduce):
    reduce(function(images)).backward()
    torch.testing.assert_close(images.grad, 2 * images.detach())


def test_a_gradient_asks_for_no_values(function, images, keys):
    scores = function(images)
    assert scores.shape == (3,) and scores[0].numel() == 1 and scores.requires_grad
    torch.autograd.grad(torch.unbind(scores), images, retain_graph=True)
    scores.sum().backward()
    IntegratedGradients(function).attribute(images, n_steps=2)
    assert set(keys) == {INPUT_OUTPUT_GRADIENTS}


@pytest.mark.parametrize(
    "read",
    [
        lambda scores: scores.detach(),
        lambda scores: torch.stack([each.detach() for each in scores]),
        lambda scores: torch.tensor(scores.tolist()),
        lambda scores: torch.from_numpy(scores.numpy(force=True)),
        lambda scores: torch.cat([scores[:1], scores[[1, 2]]]).detach(),
        lambda scores: torch.tensor([float(f"{each:.6f}") for each in scores.detach()]),
        lambda scores: (scores * 1).detach(),
        lambda scores: torch.where(scores > 0, scores, 0.0).detach(),
    ],
)
def test_what_reads_values_gets_them(function, images, keys, read):
    expected = images.detach().square().sum((1, 2, 3))
    scores = function(images)
    with torch.no_grad():
        images.mul_(0)  # The values are those of the call.
    torch.testing.assert_close(read(scores), expected, rtol=1e-5, atol=1e-5)
    assert keys == [OUTPUT_LAYER_VALUES]


def test_a_gradient_may_depend_on_values(function, images):
    (gradient,) = torch.autograd.grad(function(images).square().sum(), images)
    values = images.detach().square().sum((1, 2, 3), keepdim=True)
    torch.testing.assert_close(gradient, 4 * values * images.detach())


def test_no_class_is_looked_for(function, images, keys):
    assert predicted_target(function, (images.detach(),)) is None
    assert not keys
