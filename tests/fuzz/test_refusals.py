"""Kinds of fault that the fuzzer has found: each is refused by name, or answered."""

import numpy as np
import pytest
import torch
from torch import nn

from captum_ext import explain

pytestmark = pytest.mark.filterwarnings("ignore")

X = torch.linspace(0, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
MASK = torch.arange(16).reshape(1, 1, 4, 4) // 4
SOME = torch.ones(2, 2)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    ).eval()


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("saliency", "abs", np.zeros(3)),
        ("lrp_z", "verbose", SOME),
        ("lrp_z", "return_convergence_delta", "yes"),
        ("grad_cam", "attribute_to_layer_input", torch.zeros(0)),
        ("grad_cam", "grad_kwargs", np.zeros(3)),
        ("grad_cam", "grad_kwargs", "x"),
        ("grad_cam", "grad_kwargs", {"no_such_argument": 1}),
        ("pda", "shortcut", torch.zeros(0)),
        ("gradient_shap", "n_samples", None),
        ("deep_lift", "custom_attribution_func", SOME),
        ("deep_lift_shap", "custom_attribution_func", 3),
        ("guided_grad_cam", "interpolate_mode", ()),
        ("guided_grad_cam", "interpolate_mode", "linear"),
        ("guided_grad_cam", "interpolate_mode", -1),
        ("integrated_gradients", "method", {}),
        ("integrated_gradients", "method", np.zeros(3)),
        ("integrated_gradients", "method", None),
        ("smooth_grad", "nt_type", float("nan")),
        ("smooth_grad", "nt_type", "mean"),
        ("smooth_grad", "nt_type", None),
        ("smooth_grad", "stdevs", (0.1, 0.1)),
        ("gradient_shap", "baselines", 0.5),
        ("gradient_shap", "baselines", torch.zeros(2, 2, 3, 4, 4)),
        ("deep_lift_shap", "baselines", torch.zeros(1, 3, 4, 4)),
        ("deep_lift_shap", "baselines", (None,)),
        ("integrated_gradients", "baselines", (None,)),
        ("shapley_value_sampling", "baselines", 10**60),
        ("occlusion", "sliding_window_shapes", None),
        ("occlusion", "strides", (2, 6, 6)),
        ("occlusion", "strides", 3),
        ("saliency", "additional_forward_args", torch.ones(1)),
        ("integrated_gradients", "additional_forward_args", (1, torch.ones(3))),
        ("pda", "generator", torch.zeros(0)),
        ("saliency", "target", 10**20),
        ("feature_ablation", "target", [10**20, 0]),
        ("lime", "target", (-(2**64),)),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(method, name, value):
    settings = {"target": 0, "n_samples": 2} if method == "pda" else {"target": 0}
    with pytest.raises((TypeError, ValueError), match=name):
        explain(network(), X, method=method, **settings | {name: value})


@pytest.mark.parametrize("rule", ["riemann_trapezoid", "riemann_left", "riemann_middle"])
def test_a_riemann_sum_takes_two_steps(rule):
    settings = {"method": rule, "n_steps": 1}
    with pytest.raises(ValueError, match=f"n_steps must be at least 2 by {rule}"):
        explain(network(), X, 0, "integrated_gradients", arguments=settings)


@pytest.mark.parametrize("method", ["saliency", "smooth_grad", "pda", "feature_ablation"])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool])
def test_inputs_of_other_kinds_of_number_are_refused(method, dtype):
    with pytest.raises(TypeError, match=f"inputs must hold .*numbers; got {dtype}"):
        explain(network(), X.to(dtype), 0, method)


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "deep_lift"])
def test_gradients_of_whole_numbers_are_refused(method):
    with pytest.raises(TypeError, match="inputs must be of a floating-point dtype"):
        explain(network(), X.long(), -99, method)


@pytest.mark.parametrize("method", ["integrated_gradients", "genetic_ipha", "feature_ablation"])
def test_an_example_without_batch_is_refused(method):
    with pytest.raises(ValueError, match="inputs must have the batch first"):
        explain(nn.Conv2d(1, 3, 3, padding=1), X[0, :1], -1, method)


@pytest.mark.parametrize("method", ["gradient_shap", "integrated_gradients", "smooth_grad", "rise"])
@pytest.mark.parametrize("given", [X.half(), X[:, :2], X[0]])
def test_an_error_of_the_model_passes_unchanged(method, given):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    with pytest.raises((RuntimeError, ValueError)) as own:
        model(given)
    with pytest.raises(type(own.value)) as caught:
        explain(model, given, -99, method)
    assert str(caught.value) == str(own.value)


@pytest.mark.parametrize("additional", ["text", ("text",), [{}]])
def test_lrp_takes_no_additional_text(additional):
    class TakesMore(nn.Sequential):
        def forward(self, x, more):
            return super().forward(x)

    with pytest.raises(TypeError, match="additional_forward_args must be tensors, numbers"):
        explain(TakesMore(*network()), X, 0, "lrp_z", additional_forward_args=additional)


@pytest.mark.parametrize("layer", [nn.Linear(1, 1), nn.Conv2d(3, 4, 3)])
@pytest.mark.parametrize("method", ["grad_cam", "guided_grad_cam"])
def test_a_layer_of_another_model_is_refused(method, layer):
    with pytest.raises(ValueError, match="layer must be one that the model runs"):
        explain(network(), X, 0, method, layer=layer)


@pytest.mark.parametrize("settings", [{"marginal": None}, {"marginal": "x"}, {"marginal": 3}])
def test_passes_are_not_counted_with_wrong_arguments(settings):
    with pytest.raises((TypeError, ValueError), match=r"passes .* marginal"):
        explain(network(), X, 0, "pda", passes=50, probabilities="softmax", **settings)


@pytest.mark.parametrize(
    ("method", "name"),
    [("rise", "n_samples"), ("segment_lime", "n_samples"), ("rise", "perturbations_per_eval")],
)
def test_a_count_that_is_left_open_follows_from_the_passes(method, name):
    settings = {"passes": 20, "checks": False, "feature_mask": MASK}
    left = explain(network(), X, 0, method, **settings, **{name: None}, full=True)
    assert left.passes.total <= 20 * len(X)
    assert torch.equal(left.heat, explain(network(), X, 0, method, **settings))


@pytest.mark.parametrize(
    "method", ["saliency", "integrated_gradients", "lime", "occlusion", "rise", "segment_shap"]
)
@pytest.mark.filterwarnings("ignore")
def test_a_scripted_model_is_explained_as_the_one_that_was_scripted(method):
    model = network()
    scripted, plain = (explain(m, X, 1, method) for m in (torch.jit.script(model), model))
    assert torch.allclose(scripted, plain, atol=1e-5)


@pytest.mark.parametrize("method", ["feature_ablation", "shapley_value_sampling", "lime"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4), (1, 1, 4, 4)])
def test_a_mask_may_have_fewer_dimensions(method, shape):
    mask = torch.arange(4).repeat(12)[: torch.Size(shape).numel()].reshape(shape)
    whole = mask.broadcast_to(X[:1].shape)
    given = [explain(network(), X, 0, method, feature_mask=m, checks=False) for m in (mask, whole)]
    assert torch.allclose(*given, atol=1e-5)


@pytest.mark.parametrize("name", ["tolerance", "step_size"])
@pytest.mark.parametrize("value", [10**30, 2**63, 1e30])
def test_a_number_may_be_huge(name, value):
    references = torch.zeros(2, 3, 4, 4)
    result = explain(network(), X, 0, "ig2", references=references, n_steps=2, **{name: value})
    assert result.shape == X.shape


@pytest.mark.parametrize("stdevs", [1, np.float64(0.5), (1,)])
def test_noise_may_be_a_whole_number(stdevs):
    inputs = (X,) if isinstance(stdevs, tuple) else X
    result = explain(network(), inputs, 0, "smooth_grad", nt_samples=2, stdevs=stdevs)
    assert (result[0] if isinstance(stdevs, tuple) else result).shape == X.shape


@pytest.mark.parametrize("target", [torch.tensor(1), torch.tensor([1]), torch.tensor([1, 1])])
def test_a_target_may_be_any_tensor_of_whole_numbers(target):
    settings = {"n_samples": 4, "checks": False}
    expected = explain(network(), X, 1, "lime", **settings)
    assert torch.equal(explain(network(), X, target, "lime", **settings), expected)


@pytest.mark.parametrize("extra", [1, 2.5, (3,)])
def test_additional_arguments_need_no_tuple(extra):
    net = network()
    result = explain(
        lambda x, more: net(x) * 1, X, 0, "lime", n_samples=4, additional_forward_args=extra
    )
    assert result.shape == X.shape
