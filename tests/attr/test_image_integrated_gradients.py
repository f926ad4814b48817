"""Image IG against Captum's integrated gradients, and against known answers."""

import pytest
import torch
from captum.attr import IntegratedGradients
from captum.attr._utils.approximation_methods import SUPPORTED_METHODS
from torch import nn
from torchvision.models import VisionTransformer, convnext_tiny

from captum_ext.attr import ImageIntegratedGradients
from captum_ext.baselines import BASELINES, make_baselines
from captum_ext.forward import count_passes


@pytest.fixture
def model():
    """Smooth, so that a few points of a Gauss-Legendre rule are exact to rounding."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)
    ).double()


def images(count, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64)


def assert_same(result, expected):
    # Captum rounds the weights to float32.
    torch.testing.assert_close(
        result, expected.detach(), rtol=0, atol=1e-6 * expected.abs().max().item()
    )


def mean_gain(model, inputs, baselines, num_alphas, target=1):
    ends = [baselines + k / num_alphas * (inputs - baselines) for k in range(1, num_alphas + 1)]
    scores = torch.stack([model(end)[:, target] for end in ends]).mean(0)
    return (scores - model(baselines)[:, target]).detach()


@pytest.mark.parametrize("method", SUPPORTED_METHODS)
def test_one_upper_bound_agrees_with_captum(model, method):
    inputs, baselines = images(2), images(2, seed=1)
    settings = {"target": [0, 2], "n_steps": 7, "method": method}
    result, delta = ImageIntegratedGradients(model).attribute(
        inputs, baselines, return_convergence_delta=True, **settings
    )
    expected, expected_delta = IntegratedGradients(model).attribute(
        inputs, baselines, return_convergence_delta=True, **settings
    )
    assert_same(result, expected)
    torch.testing.assert_close(delta, expected_delta.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "architecture",
    [
        lambda: convnext_tiny(num_classes=5),
        lambda: VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5),
    ],
    ids=["ConvNeXt", "VisionTransformer"],
)
def test_agrees_with_captum_on_architectures_of_torchvision(architecture):
    torch.manual_seed(0)
    network = architecture().double().eval()
    # A new VisionTransformer's last layer is zero.
    nn.init.normal_([m for m in network.modules() if isinstance(m, nn.Linear)][-1].weight)
    inputs = images(2, size=32)
    result = ImageIntegratedGradients(network).attribute(inputs, 0.5, target=3, n_steps=6)
    expected = IntegratedGradients(network).attribute(inputs, 0.5, target=3, n_steps=6)
    assert expected.abs().max() > 0
    assert_same(result, expected)


def test_is_the_mean_of_captums_attributions_over_the_upper_bounds(model):
    inputs, baselines = images(2), images(1, seed=1)
    result = ImageIntegratedGradients(model).attribute(
        inputs, baselines, target=1, n_steps=50, num_alphas=3
    )
    each = [
        IntegratedGradients(model).attribute(
            baselines + k / 3 * (inputs - baselines), baselines, target=1, n_steps=50
        )
        for k in (1, 2, 3)
    ]
    assert_same(result, torch.stack(each).mean(0))


@pytest.mark.parametrize("method", SUPPORTED_METHODS)
@pytest.mark.parametrize("num_alphas", [1, 3, 8])
def test_every_rule_converges_to_the_integral(model, method, num_alphas):
    errors = []
    inputs = images(1)
    expected = ImageIntegratedGradients(model).attribute(
        inputs, target=1, n_steps=160, num_alphas=num_alphas
    )
    for n_steps in (20, 200):
        result = ImageIntegratedGradients(model).attribute(
            inputs, target=1, n_steps=n_steps, method=method, num_alphas=num_alphas
        )
        errors.append(float((result - expected).norm() / expected.norm()))
    # The trapezoids lose 1 / n_steps, however many segments there are.
    assert errors[0] < 0.1
    assert errors[1] < 0.01
    assert errors[1] <= max(errors[0] / 5, 1e-12)


def test_steps_that_do_not_divide_evenly_are_exact_where_the_rule_is():
    inputs = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    # Segments of 3, 3 and 2 points: exact up to gradients of degree 3.
    result = ImageIntegratedGradients(lambda x: (x**4).sum(1)).attribute(
        inputs, n_steps=8, num_alphas=3
    )
    torch.testing.assert_close(result, inputs**4 * (1 + 2**4 + 3**4) / 3**5)


@pytest.mark.parametrize("num_alphas", [1, 4])
def test_is_complete(model, num_alphas):
    inputs, baselines = images(3), images(3, seed=1)
    result = ImageIntegratedGradients(model).attribute(
        inputs, baselines, target=1, n_steps=48, num_alphas=num_alphas
    )
    expected = mean_gain(model, inputs, baselines, num_alphas)
    torch.testing.assert_close(result.sum((1, 2, 3)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("num_alphas", [1, 3])
def test_delta_is_what_the_sum_misses(model, num_alphas):
    inputs, baselines = images(3), images(3, seed=1)
    result, delta = ImageIntegratedGradients(model).attribute(
        inputs,
        baselines,
        target=1,
        n_steps=8,
        method="riemann_left",
        num_alphas=num_alphas,
        return_convergence_delta=True,
    )
    missed = result.sum((1, 2, 3)) - mean_gain(model, inputs, baselines, num_alphas)
    assert missed.abs().min() > 1e-6
    torch.testing.assert_close(delta, missed)


@pytest.mark.parametrize("num_alphas", [1, 3, 10])
def test_the_number_of_passes_does_not_depend_on_the_upper_bounds(model, num_alphas):
    with count_passes(model) as passes:
        ImageIntegratedGradients(model).attribute(
            images(2), target=1, n_steps=20, num_alphas=num_alphas
        )
    assert (passes.forward, passes.backward) == (40, 40)


def test_no_larger_batch_than_allowed_reaches_the_model(model):
    sizes = []
    model.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    ImageIntegratedGradients(model).attribute(
        images(3), target=1, n_steps=50, internal_batch_size=7, return_convergence_delta=True
    )
    assert max(sizes) == 7
    assert sum(sizes) == 3 * 50 + 3 * 2


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_by_name_is_that_baseline(model, name):
    inputs = images(2)
    method = ImageIntegratedGradients(model)
    baselines = make_baselines(name, inputs, generator=0)
    result = method.attribute(inputs, name, target=1, n_steps=5)
    torch.testing.assert_close(result, method.attribute(inputs, baselines, target=1, n_steps=5))


def test_a_baseline_by_name_serves_each_input():
    inputs = (images(2), images(2, size=4, seed=1))
    result = ImageIntegratedGradients(lambda x, y: x.sum((1, 2, 3)) * y.sum((1, 2, 3))).attribute(
        inputs, "white", n_steps=4
    )
    expected = IntegratedGradients(lambda x, y: x.sum((1, 2, 3)) * y.sum((1, 2, 3))).attribute(
        inputs, (1.0, 1.0), n_steps=4
    )
    for each, other in zip(result, expected, strict=True):
        assert_same(each, other)


def test_low_precision_is_summed_in_float32():
    inputs = torch.full((1, 3), 0.3, dtype=torch.bfloat16)
    result, delta = ImageIntegratedGradients(lambda x: x.sum(1)).attribute(
        inputs, n_steps=3000, method="riemann_right", return_convergence_delta=True
    )
    torch.testing.assert_close(result, inputs)
    assert delta.dtype == torch.bfloat16
    assert delta.abs() < 0.005


def test_a_gradient_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="forward_func has no finite gradient on a path"):
        ImageIntegratedGradients(lambda x: x.sqrt().sum(1)).attribute(
            torch.ones(1, 2), method="riemann_left"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1; got 0"),
        ({"n_steps": 3, "num_alphas": 4}, "n_steps must be at least 4 by gausslegendre, 1 for"),
        (
            {"n_steps": 7, "num_alphas": 4, "method": "riemann_left"},
            "n_steps must be at least 8 by riemann_left, 2 for each of num_alphas=4 upper bounds",
        ),
        ({"num_alphas": 0}, "num_alphas must be at least 1; got 0"),
        ({"num_alphas": 1.5}, "num_alphas must be a whole number; got 1.5"),
        ({"method": "riemann"}, "unknown method 'riemann'; did you mean 'riemann_"),
        ({"baselines": "blakc"}, "unknown baseline 'blakc'; did you mean 'black'"),
        ({"baselines": torch.zeros(2, 3, 6, 6)}, r"baselines must have the shape \(1, 3, 6, 6\)"),
        ({"internal_batch_size": 0}, "internal_batch_size must be at least 1"),
        ({"target": "cat"}, "target must be an int"),
        ({"inputs": torch.zeros(1, 3, 6, 6, dtype=torch.int64)}, "inputs must be of a floating"),
    ],
)
def test_bad_arguments_are_refused_before_the_model_runs(arguments, message):
    def never(x):
        raise RuntimeError("the model ran")

    with pytest.raises((TypeError, ValueError), match=message):
        ImageIntegratedGradients(never).attribute(**{"inputs": images(1), "target": 1} | arguments)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="forward_func must be a module or a function; got int"):
        ImageIntegratedGradients(3)
