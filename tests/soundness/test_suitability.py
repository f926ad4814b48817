import pytest
import torch
import torchvision
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn

from captum_ext import explain, get_method
from captum_ext.attr.lrp import RULED_LAYERS
from captum_ext.forward import Preprocessed, count_passes
from captum_ext.soundness.suitability import (
    embeds_patches,
    without_deep_lift_rules,
    without_lrp_rules,
    without_relu,
)

RELU_ONLY = ["guided_backprop", "deconvolution", "guided_grad_cam"]
DEEP_LIFT = ["deep_lift", "deep_lift_shap"]
LRP = ["lrp_z", "lrp_epsilon", "lrp_alpha1_beta0", "lrp_alpha2_beta1"]


def net(*layers):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()


def vgg_like():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    ).eval()


def squeezenet():
    return torchvision.models.squeezenet1_0(num_classes=3).eval()


def reason_of(method, model):
    with pytest.raises(ValueError, match=f"^{method} does not work on ") as caught:
        get_method(method).make(model)
    return str(caught.value)


@pytest.mark.parametrize("method", RELU_ONLY + DEEP_LIFT + LRP)
@pytest.mark.parametrize(
    "make", [vgg_like, squeezenet, lambda: Preprocessed(vgg_like(), *[[1.0] * 3] * 2)]
)
def test_models_with_the_layers_are_let_through(method, make):
    get_method(method).make(make())


@pytest.mark.parametrize("method", RELU_ONLY)
@pytest.mark.parametrize("layer", [nn.GELU(), nn.ReLU6(), nn.LeakyReLU(), nn.Identity()])
def test_without_relu_it_would_be_the_plain_gradient(method, layer):
    message = reason_of(method, net(layer))
    assert message == (
        f"{method} does not work on Sequential: it needs ReLU layers, and there is none: it would "
        "be the plain gradient"
    )


def test_one_relu_is_enough():
    assert without_relu(net(nn.GELU(), nn.ReLU())) is None


def test_a_relu_that_is_no_layer_is_none():
    class Functional(nn.Module):
        def forward(self, x):
            return torch.relu(x)

    assert without_relu(net(Functional())) is not None


@pytest.mark.parametrize("method", DEEP_LIFT)
@pytest.mark.parametrize(
    "layer", [nn.GELU(), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.GroupNorm(2, 4)]
)
def test_deep_lift_has_no_rule_for(method, layer):
    message = reason_of(method, net(nn.ReLU(), layer))
    assert f"it has no rule for {type(layer).__name__}, which it would take for linear" in message


@pytest.mark.parametrize(
    ("module", "kind"),
    [("transformers.activations", "GELUActivation"), ("timm.layers.activations", "GELU")],
)
def test_deep_lift_has_no_rule_for_other_libraries_activations(module, kind):
    layer = getattr(pytest.importorskip(module), kind)()
    assert f"it has no rule for {kind}" in reason_of("deep_lift", net(nn.ReLU(), layer))


def test_deep_lift_has_no_rule_for_layer_norm_also_of_a_subclass():
    assert "no rule for LayerNorm2d" in reason_of("deep_lift", torchvision.models.convnext_tiny())


def test_deep_lift_without_activations_would_be_input_times_gradient():
    assert "it finds no activation that it has a rule for" in reason_of("deep_lift", net())
    assert without_deep_lift_rules(nn.Sequential(nn.Flatten(), nn.Linear(2, 2))) is None


@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.ELU(), nn.LeakyReLU(), nn.Sigmoid(), nn.Tanh(), nn.Softplus()]
)
def test_deep_lift_adds_up_where_it_is_let_through(layer):
    torch.manual_seed(0)
    model = net(layer)
    x, zero = torch.rand(1, 3, 6, 6), torch.zeros(1, 3, 6, 6)
    attribution = explain(model, x, 1, "deep_lift")
    torch.testing.assert_close(attribution.sum(), (model(x) - model(zero))[0, 1])


@pytest.mark.parametrize("method", LRP)
def test_lrp_names_the_kinds_of_layers_without_a_rule(method):
    assert reason_of(method, net(nn.GELU())).endswith("it has no rule for GELU")
    many = net(nn.GELU(), nn.GELU(), nn.GroupNorm(2, 4), nn.SiLU(), nn.Mish(), nn.CELU())
    assert reason_of(method, many).endswith("it has no rule for GELU, GroupNorm, SiLU and 2 more")


def test_a_layer_with_a_rule_of_its_own_is_let_through():
    model = net(nn.GELU())
    model[1].rule = EpsilonRule()
    assert without_lrp_rules(model, RULED_LAYERS) is None


@pytest.mark.parametrize("method", [*RELU_ONLY, *DEEP_LIFT, *LRP])
def test_explain_refuses_before_the_model_runs(method):
    model = net(nn.GELU())
    with (
        count_passes(model) as passes,
        pytest.raises(ValueError, match="does not work on Sequential"),
    ):
        explain(model, torch.rand(1, 3, 8, 8), method=method)
    assert passes.forward == 0


@pytest.mark.parametrize(
    ("kernel", "stride", "patches"),
    [(16, 16, True), ((8, 4), (8, 4), True), (7, 4, False), (1, 1, False)],
)
def test_a_convolution_alone_embeds_patches_where_it_does_not_overlap(kernel, stride, patches):
    layer = nn.Conv2d(3, 4, kernel, stride)
    assert embeds_patches([layer]) is patches
    assert not embeds_patches([layer, nn.Conv2d(4, 4, 3)])
    assert not embeds_patches([])
