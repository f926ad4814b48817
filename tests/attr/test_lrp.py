import pytest
import torch
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
from torch import nn

from captum_ext.attr import AlphaBetaRule, UniformLRP
from captum_ext.forward import Preprocessed


def relevance_by_definition(layers, x, target, alpha, beta):
    """The alpha-beta rule written out with explicit sums, for linear layers with ReLU between."""
    activations = [x]
    for weight, bias in layers:
        z = activations[-1] @ weight.T + bias
        activations.append(z if weight is layers[-1][0] else z.clamp(min=0))
    relevance = torch.zeros_like(activations[-1])
    relevance[:, target] = activations[-1][:, target]
    for (weight, bias), a in zip(reversed(layers), reversed(activations[:-1]), strict=True):
        contributions = a[:, None, :] * weight[None]
        parts = []
        for sign, factor in ((1, alpha), (-1, -beta)):
            part = sign * (sign * contributions).clamp(min=0)
            total = part.sum(2) + sign * (sign * bias).clamp(min=0)
            share = torch.where(total == 0, 0.0, relevance / torch.where(total == 0, 1.0, total))
            parts.append(factor * (part * share[:, :, None]).sum(1))
        relevance = sum(parts)
    return relevance


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3)
    ).double()


def layers_of(network):
    return [(m.weight.detach(), m.bias.detach()) for m in network if isinstance(m, nn.Linear)]


@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (2, 1), (3, 2)])
def test_alpha_beta_is_its_definition_for_inputs_of_either_sign(network, alpha, beta):
    x = torch.randn(5, 6, dtype=torch.float64)
    result = UniformLRP(network, lambda: AlphaBetaRule(alpha, beta)).attribute(x, target=1)
    expected = relevance_by_definition(layers_of(network), x, 1, alpha, beta)
    torch.testing.assert_close(result, expected)


def test_a_convolution_has_the_relevance_of_its_equal_linear_layer():
    torch.manual_seed(1)
    conv = nn.Conv2d(2, 3, 3, stride=2, padding=1).double()
    head = nn.Linear(12, 2).double()
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    basis = torch.eye(32, dtype=torch.float64).reshape(32, 2, 4, 4)
    with torch.no_grad():
        offset = conv(torch.zeros(1, 2, 4, 4, dtype=torch.float64)).flatten()
        matrix = (conv(basis).flatten(1) - offset).T
    linear = nn.Linear(32, 12).double()
    linear.weight.data, linear.bias.data = matrix, offset
    as_conv = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head)
    as_linear = nn.Sequential(nn.Flatten(), linear, nn.ReLU(), head)
    first, second = (
        UniformLRP(model, AlphaBetaRule).attribute(x, target=0) for model in (as_conv, as_linear)
    )
    torch.testing.assert_close(first, second)


def test_relevance_is_conserved_without_biases():
    torch.manual_seed(2)
    network = nn.Sequential(nn.Linear(20, 30, bias=False), nn.ReLU(), nn.Linear(30, 2, bias=False))
    x = torch.randn(4, 20, dtype=torch.float64)
    network.double()
    result = UniformLRP(network, AlphaBetaRule).attribute(x, target=1)
    torch.testing.assert_close(result.sum(1), network(x)[:, 1].detach())


def test_alpha1_beta0_agrees_with_captums_on_positive_values():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    for layer in (network[0], network[2]):
        layer.bias.data.zero_()
    x = torch.rand(3, 6, dtype=torch.float64)
    ours = UniformLRP(network, lambda: AlphaBetaRule(1, 0)).attribute(x, target=0)
    captums = UniformLRP(network, Alpha1_Beta0_Rule).attribute(x, target=0)
    torch.testing.assert_close(ours, captums)


def test_branches_under_the_rule_and_under_captums_rules_add_up():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.pool = nn.Conv2d(1, 1, 1, bias=False), nn.AvgPool2d(1)

        def forward(self, x):
            return torch.cat([self.first(x), self.pool(x)], dim=1).flatten(1)

    model = Branches().double()
    model.first.weight.data.fill_(1.0)
    x = torch.rand(2, 1, 2, 2, dtype=torch.float64)
    for target in (0, 4):
        result = UniformLRP(model, lambda: AlphaBetaRule(1, 0)).attribute(x, target=target)
        expected = torch.zeros_like(x)
        expected[:, 0, 0, 0] = x[:, 0, 0, 0]
        torch.testing.assert_close(result, expected)


def test_normalization_is_passed_as_if_it_were_not_there(network):
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(3, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2)).double()
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    wrapped = Preprocessed(model, [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]).double()
    result = UniformLRP(wrapped, EpsilonRule).attribute(x, target=0)
    expected = UniformLRP(model, EpsilonRule).attribute(wrapped.normalize(x), target=0)
    torch.testing.assert_close(result, expected)


def test_a_softmax_is_refused_and_the_model_is_left_as_it_was(network):
    model = nn.Sequential(network, nn.Softmax(dim=1))
    with pytest.raises(TypeError, match="Softmax"):
        UniformLRP(model, EpsilonRule).attribute(torch.rand(1, 6, dtype=torch.float64), target=0)
    assert not any(hasattr(module, "rule") for module in model.modules())
    assert not any(hasattr(module, "activations") for module in model.modules())


@pytest.mark.parametrize(("alpha", "beta"), [(2, 0), (0.5, -0.5), (float("nan"), float("nan"))])
def test_alpha_and_beta_must_fit_each_other(alpha, beta):
    with pytest.raises(ValueError, match="alpha - beta must be 1"):
        AlphaBetaRule(alpha, beta)


def test_a_target_out_of_range_is_named(network):
    with pytest.raises(ValueError, match="target 9 does not fit"):
        UniformLRP(network, EpsilonRule).attribute(torch.rand(1, 6, dtype=torch.float64), target=9)


def test_a_rule_that_the_user_has_set_stays(network):
    mine = EpsilonRule()
    network[0].rule = mine
    UniformLRP(network, AlphaBetaRule).attribute(torch.rand(1, 6, dtype=torch.float64), target=0)
    assert network[0].rule is mine
    assert not hasattr(network[2], "rule")
