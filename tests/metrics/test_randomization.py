"""Parameter randomization: which layers are new when, and how similar maps are told to be."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from captum_ext.metrics.randomization import parameter_randomization

SIMILARITIES = ("ssim", "spearman", "spearman_signed")


class Net(nn.Module):
    """Its layers are registered in another order than they run in."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.norm = nn.BatchNorm2d(4, affine=False)
        self.scale = Scale()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.head(self.scale(self.norm(self.conv(x).relu())).mean((2, 3)))


class Scale(nn.Module):
    """A parameter without ``reset_parameters``."""

    def __init__(self, values=None):
        super().__init__()
        self.values = nn.Parameter(torch.ones(4, 1, 1) if values is None else values)

    def forward(self, x):
        return x * self.values


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net().eval()
    net.norm.running_mean.fill_(3)
    return net


@pytest.fixture
def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def changed_layers(net, images, mode):
    """The parts of the model that are new at each step, as the method sees them."""
    seen = []

    def method(model, image, target):
        old, new = net.state_dict(), model.state_dict()
        seen.append({name.split(".")[0] for name in old if not torch.equal(old[name], new[name])})
        return image

    parameter_randomization(net, images[:1], images[:1], 0, method=method, mode=mode)
    return seen


def test_cascading_goes_down_from_the_output(net, images):
    assert changed_layers(net, images, "cascading") == [
        set(),
        {"head"},
        {"head", "scale"},
        {"head", "scale", "norm"},
        {"head", "scale", "norm", "conv"},
    ]


def test_independent_changes_one_layer_at_a_time(net, images):
    expected = [set(), {"head"}, {"scale"}, {"norm"}, {"conv"}]
    assert changed_layers(net, images, "independent") == expected


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_a_method_that_ignores_the_model_scores_1(net, images, mode, similarity):
    scores, curves, layers = parameter_randomization(
        net,
        images,
        images,
        method=lambda model, x, target: x,
        mode=mode,
        similarity=similarity,
        return_curves=True,
    )
    assert layers == ["head", "scale", "norm", "conv"]
    torch.testing.assert_close(curves, torch.ones(2, 4))
    torch.testing.assert_close(scores, torch.ones(2))


@pytest.mark.parametrize(
    ("similarity", "expected"), [("spearman", 1), ("spearman_signed", -1), ("ssim", None)]
)
def test_a_reversed_map_is_told_by_its_signs_only(net, images, similarity, expected):
    centered = images - 0.5

    def method(model, image, target):
        sign = 1 if torch.equal(model.head.weight, net.head.weight) else -5
        return sign * image

    score = parameter_randomization(
        net, centered, centered, 0, method=method, similarity=similarity
    )
    if expected is None:
        assert (score < 0).all()
    else:
        torch.testing.assert_close(score, torch.full((2,), float(expected)))


def test_a_map_that_vanishes_correlates_with_none(net, images):
    def method(model, image, target):
        return image * torch.equal(model.head.weight, net.head.weight)

    call = {"method": method, "similarity": "spearman"}
    assert parameter_randomization(net, images, images, 0, **call).tolist() == [0, 0]


def test_gradients_of_a_linear_model_become_unlike(images):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    # The seed that the model was made with must not make the same model again.
    for similarity in SIMILARITIES:
        call = {"method": "input_x_gradient", "similarity": similarity}
        assert (parameter_randomization(model, images, images, 0, **call).abs() < 0.5).all()


def test_parameters_without_a_reset_keep_mean_and_spread(images):
    values = 5 + 2 * torch.randn(3, 300, 300, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(Scale(values.clone()), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    drawn = []

    def method(model, image, target):
        drawn.append(model[0].values.detach().clone())
        return image

    x = torch.rand(1, 3, 300, 300)
    parameter_randomization(model, x, x, 0, method=method, similarity="spearman")
    assert torch.equal(drawn[0], values)
    assert (drawn[1] != values).all()
    assert drawn[1].mean() == pytest.approx(5, abs=0.05)
    assert drawn[1].std() == pytest.approx(2, abs=0.05)


def test_nothing_of_the_model_or_the_random_state_changes(net, images):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x, states = images.clone(), (torch.get_rng_state(), np.random.get_state()[1].copy())
    parameter_randomization(net, x, x, method="saliency")
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not net.training
    assert not any(module._forward_hooks for module in net.modules())
    assert torch.equal(x, images)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])


def test_the_seed_decides_and_batch_mates_do_not(net, images):
    def score(rows, seed):
        x, target = images[rows], [0, 1][rows]
        return parameter_randomization(net, x, x, target, method="smooth_grad", generator=seed)

    both = score(slice(0, 2), 1)
    torch.testing.assert_close(score(slice(1, 2), 1), both[1:])
    assert torch.equal(score(slice(0, 2), 1), both)
    assert not torch.equal(score(slice(0, 2), 2), both)


class Attends(nn.Module):
    """A layer whose part it uses without calling it, and another that nothing uses."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens)[0].mean(1)


def test_parts_belong_to_the_layer_that_uses_them_and_idle_layers_are_named(images):
    with pytest.warns(UserWarning, match="left as they are: unused"):
        _, _, layers = parameter_randomization(
            Attends().eval(), images, images, method="saliency", return_curves=True
        )
    assert layers == ["attention.out_proj", "attention"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forward_func": lambda x: x.mean((2, 3))}, "forward_func must be a torch.nn.Module"),
        ({"mode": "cascade"}, "unknown mode 'cascade'; did you mean 'cascading'"),
        ({"similarity": "pearson"}, "unknown similarity 'pearson'"),
        ({"method": "salience"}, "unknown method 'salience'; did you mean 'saliency'"),
        ({"method": None}, "method must"),
        ({"forward_func": nn.Flatten()}, "forward_func must run modules that have parameters"),
        ({"inputs": torch.rand(2, 3, 2, 8)}, "attributions must"),
    ],
)
def test_arguments_are_checked(net, images, change, message):
    call = {"forward_func": net, "inputs": images, "attributions": images, "method": "saliency"}
    with pytest.raises((TypeError, ValueError), match=message):
        parameter_randomization(**call | change)


def test_ssim_needs_three_pixels_a_side(net):
    x = torch.rand(1, 3, 2, 8)
    with pytest.raises(ValueError, match="at least 3 x 3 pixels"):
        parameter_randomization(net, x, x, method="saliency")


def old_spectral_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.spectral_norm(layer)


@pytest.mark.parametrize(
    "normalized", [old_spectral_norm, nn.utils.parametrizations.weight_norm], ids=["old", "new"]
)
@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_weights_that_are_computed_from_others_are_randomized_too(images, normalized, mode):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), normalized(nn.Linear(images[0].numel(), 2))).eval()
    _, curves, layers = parameter_randomization(
        model,
        images,
        images,
        0,
        method="saliency",
        mode=mode,
        similarity="spearman_signed",
        return_curves=True,
    )
    assert layers == ["1"] and curves.abs().max() < 0.5


class Keeping(nn.Module):
    """Keeps what it has computed, as some models do for their users."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        self.kept = self.conv(x)
        return self.linear(self.kept.relu().mean((2, 3)))


def test_a_model_may_keep_its_activations(images):
    model = Keeping().eval()
    model(images)
    scores = parameter_randomization(model, images, images, 0, method="saliency")
    assert scores.isfinite().all()


def test_a_map_that_is_not_finite_costs_its_example_only(net, images):
    calls = []

    def sometimes(model, inputs, target):
        calls.append(target)
        return inputs / (0 if len(calls) == 4 else 1)

    with pytest.warns(UserWarning, match=r"no similarity \(NaN\) for examples \["):
        scores = parameter_randomization(net, images[:2], images[:2], 0, method=sometimes)
    assert scores.isnan().sum() == 1
