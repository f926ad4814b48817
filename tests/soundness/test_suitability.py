import pytest
import torch
import torchvision
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn

from captum_ext import explain, get_method
from captum_ext.attr.lrp import RULED_LAYERS
from captum_ext.forward import Preprocessed
from captum_ext.soundness import observe
from captum_ext.soundness.suitability import (
    embeds_patches,
    last_convolution,
    last_representation,
    without_deep_lift_rules,
    without_gradients,
    without_hooks,
    without_lrp_rules,
    without_relu,
)
from tests.soundness.example_models import calls, conv_net, pictures

RELU_ONLY = ["guided_backprop", "deconvolution", "guided_grad_cam"]
DEEP_LIFT = ["deep_lift", "deep_lift_shap"]
LRP = ["lrp_z", "lrp_epsilon", "lrp_alpha1_beta0", "lrp_alpha2_beta1"]


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


def facts_of(model, *inputs):
    return observe(model, inputs or (pictures(1, 3, 32, 32),))


def reason_of(method, model):
    with pytest.raises(ValueError, match=f"^{method} does not work on ") as caught:
        get_method(method).make(model, facts=facts_of(model))
    return str(caught.value)


@pytest.mark.parametrize("method", RELU_ONLY + DEEP_LIFT + LRP)
@pytest.mark.parametrize(
    "make", [vgg_like, squeezenet, lambda: Preprocessed(vgg_like(), *[[1.0] * 3] * 2)]
)
def test_models_with_the_layers_are_let_through(method, make):
    model = make()
    get_method(method).make(model, facts=facts_of(model))


@pytest.mark.parametrize("method", RELU_ONLY)
@pytest.mark.parametrize("layer", [nn.GELU(), nn.ReLU6(), nn.LeakyReLU(), nn.Identity()])
def test_without_relu_it_would_be_the_plain_gradient(method, layer):
    message = reason_of(method, conv_net(layer))
    assert message == (
        f"{method} does not work on Sequential: it needs ReLU layers, and there is none: it would "
        "be the plain gradient"
    )


def test_one_relu_is_enough():
    assert without_relu(facts_of(conv_net(nn.GELU(), nn.ReLU()))) is None


@pytest.mark.parametrize(
    "function", [torch.relu, lambda x: x.clamp(min=0), lambda x: nn.functional.relu_(x + 0)]
)
def test_a_relu_that_is_no_layer_is_none(function):
    reason = without_relu(facts_of(conv_net(calls(lambda _, x: function(x)))))
    assert "it needs ReLU layers, and its 1 ReLUs are functions" in reason


def test_a_relu_layer_whose_output_is_dropped_is_none():
    model = calls(lambda m, x: (m.relu(x), x.mean((2, 3)))[1], relu=nn.ReLU)
    assert without_relu(facts_of(model)) is not None


@pytest.mark.parametrize("method", DEEP_LIFT)
@pytest.mark.parametrize(
    "layer", [nn.GELU(), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.GroupNorm(2, 4)]
)
def test_deep_lift_has_no_rule_for(method, layer):
    message = reason_of(method, conv_net(nn.ReLU(), layer))
    assert f"it has no rule for {type(layer).__name__}, which it would take for linear" in message


@pytest.mark.parametrize(
    ("module", "kind"),
    [("transformers.activations", "GELUActivation"), ("timm.layers.activations", "GELU")],
)
def test_deep_lift_has_no_rule_for_other_libraries_activations(module, kind):
    layer = getattr(pytest.importorskip(module), kind)()
    assert f"it has no rule for {kind}" in reason_of("deep_lift", conv_net(nn.ReLU(), layer))


def test_deep_lift_has_no_rule_for_layer_norm_also_of_a_subclass():
    class Norm(nn.LayerNorm):
        pass

    assert "no rule for Norm," in reason_of("deep_lift", conv_net(nn.ReLU(), Norm(32)))


def test_deep_lift_without_a_ruled_activation_would_be_input_times_gradient():
    model = calls(lambda m, x: m.head(x.mean((2, 3)).relu()), head=lambda: nn.Linear(3, 2))
    assert "it finds no activation that it has a rule for" in reason_of("deep_lift", model)


def test_deep_lift_is_right_on_a_linear_model():
    assert without_deep_lift_rules(facts_of(conv_net(nn.Identity()))) is None


@pytest.mark.parametrize("method", DEEP_LIFT)
@pytest.mark.parametrize("kind", [nn.ReLU, nn.Tanh, lambda: nn.MaxPool2d(3, 1, 1)])
def test_deep_lift_names_a_ruled_layer_that_runs_several_times(method, kind):
    layer = kind()
    message = reason_of(method, conv_net(layer, nn.Conv2d(4, 4, 1), layer))
    assert "it runs the layer 1 several times; DeepLift needs a layer for each" in message


@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.ELU(), nn.LeakyReLU(), nn.Sigmoid(), nn.Tanh(), nn.Softplus()]
)
def test_deep_lift_adds_up_where_it_is_let_through(layer):
    torch.manual_seed(0)
    model = conv_net(layer)
    x, zero = torch.rand(1, 3, 6, 6), torch.zeros(1, 3, 6, 6)
    attribution = explain(model, x, 1, "deep_lift")
    torch.testing.assert_close(attribution.sum(), (model(x) - model(zero))[0, 1])


@pytest.mark.parametrize("method", LRP)
def test_lrp_names_the_kinds_of_layers_without_a_rule(method):
    assert reason_of(method, conv_net(nn.GELU())).endswith("it has no rule for GELU")
    many = conv_net(nn.GELU(), nn.GELU(), nn.GroupNorm(2, 4), nn.SiLU(), nn.Mish(), nn.CELU())
    assert reason_of(method, many).endswith("it has no rule for GELU, GroupNorm, SiLU and 2 more")


def test_a_layer_with_a_rule_of_its_own_is_let_through():
    model = conv_net(nn.GELU())
    model[1].rule = EpsilonRule()
    assert without_lrp_rules(facts_of(model), RULED_LAYERS) is None


def test_a_layer_that_does_not_run_needs_no_rule():
    model = conv_net(nn.ReLU())
    model[1].idle = nn.GELU()
    assert without_lrp_rules(facts_of(model), RULED_LAYERS) is None


@pytest.mark.parametrize("kind", [lambda: nn.Conv2d(4, 4, 1), lambda: nn.BatchNorm2d(4)])
def test_lrp_names_a_layer_that_runs_several_times(kind):
    layer = kind()
    model = conv_net(layer, nn.ReLU(), layer)
    assert "it runs the layer 1 several times; LRP" in reason_of("lrp_z", model)


@pytest.mark.parametrize("method", [*RELU_ONLY, *DEEP_LIFT, *LRP])
def test_explain_refuses_by_facts_that_cost_two_runs(method):
    model = conv_net(nn.GELU())
    runs = []
    model.register_forward_hook(lambda *_: runs.append(1))
    with pytest.raises(ValueError, match="does not work on Sequential"):
        explain(model, pictures(), method=method)
    assert len(runs) <= 2


@pytest.mark.parametrize(
    ("kernel", "stride", "patches"),
    [(16, 16, True), ((8, 4), (8, 4), True), (7, 4, False), (1, 1, False)],
)
def test_a_convolution_alone_embeds_patches_where_it_does_not_overlap(kernel, stride, patches):
    layer, x = nn.Conv2d(3, 4, kernel, stride), pictures(1, 3, 32, 32)
    alone = observe(nn.Sequential(layer), x).ran(nn.Conv2d)
    assert embeds_patches(alone) is patches
    two = observe(nn.Sequential(layer, nn.Conv2d(4, 4, 1)), x).ran(nn.Conv2d)
    assert not embeds_patches(two)
    assert not embeds_patches([])


def test_an_embedding_of_patches_is_no_layer_for_class_activation_maps():
    model = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(2))
    with pytest.raises(ValueError, match=r"the only convolution .* patches"):
        last_convolution(facts_of(model))


def convolutions(function):
    """Three convolutions that keep the size, declared in another order than they run."""
    return calls(
        function,
        late=lambda: nn.Conv2d(4, 6, 3, padding=1),
        head=lambda: nn.Linear(6, 3),
        side=lambda: nn.Conv2d(4, 2, 3),
        point=lambda: nn.Conv2d(6, 6, 1),
        stem=lambda: nn.Conv2d(3, 4, 3, padding=1),
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.head(m.late(m.stem(x).relu()).mean((2, 3))),
        lambda m, x: (m.side(y := m.stem(x)), m.head(m.late(y).mean((2, 3))))[1],
        lambda m, x: m.head(m.point(m.late(m.stem(x)).mean((2, 3), keepdim=True)).flatten(1)),
        lambda m, x: m.head(m.late(m.stem(x)).mean((2, 3)) * m.side(m.stem(x)).detach().mean()),
    ],
    ids=["declared last", "not reached", "one place", "detached"],
)
def test_the_last_convolution_is_the_last_with_places_that_reaches_the_output(function):
    assert last_convolution(facts_of(convolutions(function))) == "late"


def test_a_model_without_convolutions_is_named():
    with pytest.raises(ValueError, match="layer must be given: Flatten has no convolution to"):
        last_convolution(facts_of(nn.Flatten()))


def heads(function):
    return calls(
        function,
        head=lambda: nn.Linear(4, 2),
        body=lambda: nn.Linear(3, 4),
        unused=lambda: nn.Linear(2, 2),
        other=lambda: nn.Linear(5, 4),
    )


def test_the_last_representation_goes_into_the_last_head_that_runs_not_the_last_declared():
    model = heads(lambda m, x: m.head(m.body(x)).softmax(1))
    assert last_representation(observe(model, torch.ones(1, 3))) == "head"
    assert not any(module._forward_hooks for module in model.modules())


def test_the_last_representation_depends_on_all_inputs():
    x, t = torch.ones(1, 3), torch.ones(1, 5)
    joined = heads(lambda m, x, t: m.head(m.body(x) + m.other(t)))
    assert last_representation(observe(joined, (x, t))) == "head"
    apart = heads(lambda m, x, t: m.body(x) + m.other(t))
    with pytest.raises(ValueError, match="represents all inputs; what goes into other does not"):
        last_representation(observe(apart, (x, t)))
    ignored = heads(lambda m, x, t: m.head(m.body(x)))
    assert last_representation(observe(ignored, (x, t))) == "head"


def test_a_model_without_heads_is_named():
    with pytest.raises(ValueError, match="layer must be given: Sequential runs none of Linear"):
        last_representation(observe(nn.Sequential(nn.ReLU()), torch.ones(1, 2)))


def test_a_scripted_model_has_no_layers_to_hook():
    model = torch.jit.trace(conv_net(), pictures())
    assert "it is scripted" in without_hooks(facts_of(model))
    nested = nn.Sequential(model)
    assert "its 0 is scripted" in without_hooks(facts_of(nested))


@pytest.mark.parametrize(
    "function", [lambda x: x.argmax(1), lambda x: (x > 0.5).float(), lambda x: x.detach() * 2]
)
def test_an_output_without_gradient_is_told(function):
    assert without_gradients(observe(function, torch.ones(1, 3))) is not None
