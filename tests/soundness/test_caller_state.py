"""A call leaves the model, the random state and the memory as they were."""

import gc
import random
import warnings
import weakref

import numpy as np
import pytest
import torch
from captum.attr import DeepLift
from torch import nn

from captum_ext import explain
from captum_ext.metrics import infidelity, insertion
from captum_ext.soundness import keep_caller_state
from captum_ext.soundness.caller_state import training_modules
from captum_ext.value_checks import AttributionWarning
from tests.soundness.example_models import calls, conv_net, dense_net, pictures

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
#: Methods that hook layers.
HOOKING = [
    "guided_backprop",
    "deconvolution",
    "deep_lift",
    "deep_lift_shap",
    "lrp_z",
    "lrp_alpha2_beta1",
    "grad_cam",
    "guided_grad_cam",
    "ig2",
]


def state_of(model):
    hooks = {
        name: [len(getattr(module, kind)) for kind in HOOKS]
        for name, module in model.named_modules()
    }
    return hooks, {name: sorted(vars(module)) for name, module in model.named_modules()}


@pytest.mark.parametrize("method", [*HOOKING, "saliency", "occlusion", "rise"])
def test_a_call_leaves_no_hook_and_no_attribute(method):
    model = conv_net()
    before = state_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explain(model, pictures(), 1, method, **({"n_steps": 2} if method == "ig2" else {}))
    assert state_of(model) == before


@pytest.mark.parametrize("calls_before", [2, 3, 4])
@pytest.mark.parametrize("method", HOOKING)
def test_an_error_inside_a_method_leaves_no_hook_and_no_attribute(method, calls_before):
    def function(m, x):
        y = m.net(x)
        m.counter.append(1)
        if len(m.counter) > calls_before:
            raise RuntimeError("no luck")
        return y

    model = calls(function, net=conv_net)
    model.counter = []
    before = state_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            explain(model, pictures(), 1, method, checks=False)
        except RuntimeError as error:
            assert "no luck" in str(error)
    assert len(model.counter) > 2
    assert state_of(model) == before


def test_the_callers_own_hooks_and_attributes_stay():
    model = conv_net()
    seen = []
    model[1].register_forward_hook(lambda *_: seen.append(1))
    model[1].input, model[1].note = "mine", "mine"
    explain(model, pictures(), 1, "deep_lift")
    assert len(model[1]._forward_hooks) == 1 and seen
    assert model[1].note == "mine"


def batch_norm_net():
    return conv_net(nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())


@pytest.mark.parametrize(
    "run",
    [
        lambda model, x: explain(model, x, 0, "saliency"),
        lambda model, x: explain(model, x, 0, "rise", n_samples=20),
        lambda model, x: explain(model, x, None, "integrated_gradients", n_steps=3),
        lambda model, x: explain(model, x, 0, "guided_backprop"),
        lambda model, x: explain(model, x, 0, "deep_lift"),
    ],
)
@pytest.mark.parametrize("part", ["whole", "one layer"])
def test_training_mode_is_one_warning_and_buffers_stay(run, part):
    model, x = batch_norm_net(), pictures(2, 3, 8, 8)
    (model if part == "whole" else model[1]).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(model, x)
    said = [str(w.message) for w in caught if "training mode" in str(w.message)]
    assert len(said) == 1 and "1 (BatchNorm2d)" in said[0] and "model.eval()" in said[0]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]


def test_layers_that_are_the_same_in_training_warn_of_nothing():
    model = conv_net(nn.ReLU(), nn.GroupNorm(2, 4), nn.Dropout(0.0).eval()).train()
    model[3].eval()
    assert training_modules(model) == []


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.BatchNorm1d(2), True),
        (nn.InstanceNorm1d(2, track_running_stats=True), True),
        (nn.Dropout(), True),
        (nn.AlphaDropout(), True),
        (nn.Dropout2d(), True),
        (nn.LayerNorm(2), False),
        (nn.ReLU(), False),
    ],
)
def test_training_is_told_of_layers_that_differ_there(layer, named):
    assert bool(training_modules(nn.Sequential(layer).train())) is named
    assert not training_modules(nn.Sequential(layer).eval())


def test_buffers_are_put_back_in_place_after_an_error_too():
    model = nn.Sequential(nn.BatchNorm1d(2)).train()
    buffer, value = model[0].running_mean, model[0].running_mean.clone()
    with warnings.catch_warnings(), pytest.raises(KeyError), keep_caller_state(model):
        warnings.simplefilter("ignore")
        model(torch.rand(4, 2))
        assert not torch.equal(buffer, value)
        raise KeyError
    assert model[0].running_mean is buffer and torch.equal(buffer, value)


def test_what_captum_leaves_is_taken_away():
    model = dense_net()
    before = state_of(model)
    with keep_caller_state(model):
        method = DeepLift(model)
        method.model.apply(method._register_hooks)
        model[2].input = torch.ones(1)
        assert state_of(model) != before
    assert state_of(model) == before


@pytest.mark.parametrize(
    "metric",
    [
        lambda f, x: infidelity(f, x, x, target=0, generator=0),
        lambda f, x: insertion(f, x, x.mean(1, keepdim=True), target=0),
    ],
)
def test_metrics_leave_a_training_model_as_it_is(metric):
    model = batch_norm_net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metric(model, pictures(2, 3, 8, 8))
    assert sum(issubclass(w.category, AttributionWarning) for w in caught) == 1
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "method",
    [
        "saliency",
        "smooth_grad",
        "gradient_shap",
        "lime",
        "kernel_shap",
        "rise",
        "pda",
        "shapley_value_sampling",
        "segment_shap",
        "genetic_ipha",
        "ig2",
    ],
)
@pytest.mark.parametrize("drops", [False, True])
def test_the_random_state_stays(method, drops):
    model = nn.Sequential(conv_net(nn.Dropout(), nn.ReLU()), nn.Softmax(1)).train(drops)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explain(model, pictures(1, 3, 6, 6), None, method)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()


def test_a_random_model_gives_the_same_map_for_a_seed():
    model, x = conv_net(nn.Dropout(), nn.ReLU()).train(), pictures()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maps = [explain(model, x, 0, "saliency", generator=g) for g in (1, 1, 2)]
    assert torch.equal(maps[0], maps[1]) and not torch.equal(maps[0], maps[2])


@pytest.mark.parametrize(
    "method",
    [
        "saliency",
        "guided_backprop",
        "deep_lift",
        "lrp_z",
        "grad_cam",
        "occlusion",
        "integrated_gradients",
        "kernel_shap",
        "lime",
        "shapley_value_sampling",
        "smooth_grad",
        "ig2",
        "rise",
        "segment_shap",
    ],
)
def test_nothing_of_a_call_is_kept_alive(method):
    explain(conv_net(), pictures(), 0, method)
    gc.collect()
    gc.disable()
    try:
        model, x = conv_net(), pictures()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = explain(model, x, 0, method)
        alive = [weakref.ref(each) for each in (model, model[0], model[0].weight, x, result)]
        del model, x, result
        assert [each() is None for each in alive] == [True] * 5
    finally:
        gc.enable()


def test_nothing_of_a_failed_call_is_kept_alive():
    gc.collect()
    gc.disable()
    try:
        model, x = dense_net(), pictures()
        with pytest.raises(ValueError, match="target 9"):
            explain(model, x, 9, "saliency")
        alive = [weakref.ref(each) for each in (model, model[1].weight, x)]
        del model, x
        assert [each() is None for each in alive] == [True] * 3
    finally:
        gc.enable()
