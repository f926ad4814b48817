"""Guided IG against PAIR's own algorithm, with its NumPy call mended, and against known answers."""

import functools

import numpy as np
import pytest
import saliency.core as pair
import torch
from captum.attr import IntegratedGradients
from saliency.core import guided_ig as pairs_module
from saliency.core.base import INPUT_OUTPUT_GRADIENTS
from torch import nn

from captum_ext.attr import GuidedIG
from captum_ext.forward import count_passes


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)
    ).double()


@pytest.fixture
def pairs(model, monkeypatch):
    """PAIR's mask of one image, by its own code."""

    class MendedNumPy:
        def __getattr__(self, name):
            return getattr(np, name)

        @staticmethod
        def quantile(values, fraction, interpolation):
            return np.quantile(values, fraction, method=interpolation)

    monkeypatch.setattr(pairs_module, "np", MendedNumPy())

    def call(x, call_model_args=None, expected_keys=None):
        leaf = torch.from_numpy(x).movedim(-1, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
        return {INPUT_OUTPUT_GRADIENTS: gradient.movedim(1, -1).numpy()}

    def mask(image, baseline, **settings):
        last = [each.movedim(0, -1).numpy() for each in (image, baseline)]
        return pair.GuidedIG().GetMask(last[0], call, x_baseline=last[1], **settings)

    return mask


def images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 6, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("fraction", "max_dist", "n_steps"),
    [(0.25, 0.02, 100), (0.1, 0.3, 30), (1, 0.5, 10), (0.01, 1, 10), (0, 0.1, 5), (0.5, 0, 10)],
)
def test_agrees_with_pairs_algorithm(model, pairs, fraction, max_dist, n_steps):
    inputs, baselines = images(2), images(2, seed=1)
    inputs[:, :, :2] = 0  # equal gradients, and features that have no way to go
    baselines[:, 1] = inputs[:, 1]
    masks = GuidedIG(model).attribute(
        inputs, baselines, target=1, n_steps=n_steps, fraction=fraction, max_dist=max_dist
    )
    for image, baseline, mask in zip(inputs, baselines, masks, strict=True):
        expected = pairs(image, baseline, x_steps=n_steps, fraction=fraction, max_dist=max_dist)
        np.testing.assert_allclose(mask.movedim(0, -1), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("settings", [{"max_dist": 0.0}, {"fraction": 1.0}])
def test_without_freedom_it_is_integrated_gradients(model, settings):
    inputs = images(2)
    result = GuidedIG(model).attribute(inputs, target=1, n_steps=400, **settings)
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=200).detach()
    torch.testing.assert_close(result, expected, rtol=0, atol=0.01 * expected.abs().max().item())


def test_the_path_leads_from_the_baseline_to_the_input(model):
    inputs = images(2)
    _, delta, path = GuidedIG(model).attribute(
        inputs, 0.5, target=1, n_steps=10, return_convergence_delta=True, return_path=True
    )
    torch.testing.assert_close(path[:, 0, 0], torch.full_like(inputs, 0.5))
    torch.testing.assert_close(path[:, 0, -1], inputs)
    assert delta.abs().max() < 0.05


def test_an_input_that_is_its_baseline_gets_zero_at_one_look(model):
    with count_passes(model) as passes:
        assert not GuidedIG(model).attribute(images(1), images(1), target=1).any()
    assert passes.total == 2


@pytest.mark.parametrize(("offset", "n_steps"), [(0.0, 20), (1e6, 200), (2e7, 200)])
def test_steps_that_are_lost_in_the_precision_of_the_points_are_not_lost(offset, n_steps):
    start = torch.full((1, 2), offset)
    inputs = start + torch.tensor([[8.0, 16.0]])
    attributions, delta = GuidedIG(lambda x: (x - offset).sum(1)).attribute(
        inputs, start, n_steps=n_steps, return_convergence_delta=True
    )
    torch.testing.assert_close(attributions, inputs - start)
    torch.testing.assert_close(delta, torch.zeros(1), rtol=0, atol=1e-4)


def test_half_precision_arrives_too(model):
    inputs = images(2).bfloat16()
    _, path = GuidedIG(model.bfloat16()).attribute(
        inputs, target=1, n_steps=500, fraction=1, return_path=True
    )
    before, last = path[:, 0, -2].float(), path[:, 0, -1].float()
    torch.testing.assert_close(before, last, rtol=0, atol=0.02)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e20])
def test_the_scale_of_the_inputs_does_not_matter(scale):
    weights = torch.tensor([1.0, 5.0, 0.2, 3.0])
    inputs = torch.tensor([[1.0, 2.0, 3.0, 4.0]]) * scale
    result = GuidedIG(lambda x: ((x / scale) ** 2 * weights).sum(1)).attribute(inputs, n_steps=20)
    expected = torch.tensor([[0.9492, 18.9840, 1.7086, 45.5520]])
    torch.testing.assert_close(result, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1; got 0"),
        ({"fraction": 1.5}, "fraction must be at least 0 and at most 1; got 1.5"),
        ({"max_dist": -0.1}, "max_dist must be at least 0 and at most 1; got -0.1"),
        ({"baselines": torch.zeros(2, 3, 6, 6)}, r"baselines must have the shape \(1, 3, 6, 6\)"),
        ({"baselines": "black"}, "baselines must be tensors or numbers; got str"),
        ({"baselines": (0, 0)}, "one value for each of the 1 inputs; got 2"),
        ({"internal_batch_size": 0}, "internal_batch_size must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_before_the_model_runs(model, arguments, message):
    with count_passes(model) as passes, pytest.raises((TypeError, ValueError), match=message):
        GuidedIG(model).attribute(images(1), target=1, **arguments)
    assert passes.total == 0


def test_a_model_of_many_outputs_needs_a_target(model):
    with pytest.raises(ValueError, match=r"target must select one output.*\(1, 3\)"):
        GuidedIG(functools.partial(model)).attribute(images(1))


@pytest.mark.parametrize(
    ("forward_func", "error", "message"),
    [
        (lambda x: x.detach().sum((1, 2, 3)), ValueError, "forward_func must be differentiable"),
        (lambda x: (x, x), TypeError, "forward_func must return a tensor; got tuple"),
        (lambda x: x.sum(), ValueError, "forward_func must return one output per example"),
    ],
)
def test_a_model_that_cannot_be_explained_is_named(forward_func, error, message):
    with pytest.raises(error, match=message):
        GuidedIG(forward_func).attribute(images(1))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="forward_func must be a module or a function; got int"):
        GuidedIG(3)


def test_additional_arguments_must_have_a_row_for_each_example(model):
    def weighted(x, weights):
        return model(x) * weights[:, None]

    with pytest.raises(ValueError, match=r"additional_forward_args .* one row per example, 2; "):
        GuidedIG(weighted).attribute(images(2), 0, 1, torch.ones(3))
    result = GuidedIG(weighted).attribute(images(2), 0, 1, torch.tensor([1.0, 3.0]), n_steps=3)
    plain = GuidedIG(model).attribute(images(2), 0, 1, n_steps=3)
    torch.testing.assert_close(result, plain * torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1))
