import gc
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from captum_ext import explain
from captum_ext.forward import count_passes
from captum_ext.soundness import observe
from captum_ext.soundness.graph import ADDITION, RELU
from captum_ext.soundness.model_facts import MOST_KEPT
from tests.soundness.example_models import calls, conv_net, dense_net, pictures


def counted(model):
    runs = []
    model.register_forward_hook(lambda *_: runs.append(1))
    return runs


def test_facts_cost_two_runs_and_are_kept_for_a_model_and_a_shape():
    model = conv_net()
    runs = counted(model)
    first = observe(model, pictures())
    assert len(runs) == 2
    assert observe(model, pictures(seed=5)) is first and len(runs) == 2
    assert observe(model, pictures(1, 3, 9, 9)) is not first and len(runs) == 4
    model.train()
    assert observe(model, pictures()) is not first


def test_one_set_of_facts_serves_all_methods():
    model = conv_net()
    runs = counted(model)
    for method in ("saliency", "guided_backprop", "input_x_gradient"):
        explain(model, pictures(), 0, method, checks=False)
    assert len(runs) == 2 + 3


def test_facts_are_no_passes():
    model = conv_net()
    with count_passes(model) as passes:
        observe(model, pictures())
    assert passes.total == 0


def test_only_so_many_facts_are_kept():
    model = nn.Flatten()
    for side in range(1, MOST_KEPT + 4):
        observe(model, pictures(1, 1, side, side))
    assert observe(model, pictures(1, 1, 1, 1)).output_shape == (1, 1)


def test_facts_keep_no_model_and_no_tensor_alive():
    gc.collect()
    gc.disable()
    try:
        model, x = conv_net(), pictures()
        facts = observe(model, x)
        alive = [weakref.ref(each) for each in (model, model[0].weight, x)]
        del model, x
        assert not any(each() is not None for each in alive)
        with pytest.raises(ValueError, match="Sequential has no module '0'"):
            facts.module("0")
    finally:
        gc.enable()


def test_a_run_leaves_no_hooks_and_the_random_state():
    model, state = conv_net(nn.Dropout(), nn.ReLU()).train(), torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        observe(model, pictures())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("fails_in", [1, 2])
def test_a_model_that_raises_is_left_without_hooks(fails_in):
    def function(m, x):
        m.n = getattr(m, "n", 0) + 1
        if m.n == fails_in:
            raise RuntimeError("no luck")
        return m.relu(x)

    model = calls(function, relu=nn.ReLU)
    facts = observe(model, torch.ones(1, 2))
    assert facts.error == ("no luck" if fails_in == 1 else "")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_operations_belong_to_their_innermost_module():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), calls(lambda m, x: m.sub(F.relu(x)) + x, sub=nn.ReLU)
    )
    facts = observe(model, pictures())
    kinds = {(each.kind, each.layer, each.between) for each in facts.operations}
    assert kinds == {
        (RELU, "1", False),
        (RELU, "2", True),
        (RELU, "2.sub", False),
        (ADDITION, "2", True),
    }
    assert len(facts.outside(RELU, nn.ReLU)) == 1


def test_runs_say_what_reaches_the_output_and_which_inputs_go_in():
    model = calls(
        lambda m, x, y: (m.side(x), m.a(x) + m.b(y))[1],
        a=lambda: nn.Linear(2, 2),
        b=lambda: nn.Linear(2, 2),
        side=lambda: nn.Linear(2, 2),
    )
    facts = observe(model, (torch.ones(1, 2), torch.ones(1, 2)))
    runs = {run.name: run for run in facts.runs}
    assert [runs[name].reaches_output for name in ("a", "b", "side", "")] == [1, 1, 0, 1]
    assert (runs["a"].input_depends, runs["b"].input_depends) == ({0}, {1})
    assert runs[""].output_depends == facts.used_inputs == {0, 1}
    assert not runs[""].is_leaf and runs["a"].is_leaf


IN_PLACE = [
    lambda x: x.sub_(0.5),
    lambda x: x.clamp_(min=0.5),
    lambda x: x.div_(2),
    lambda x: x[:, 0].zero_(),
    lambda x: x.__setitem__((slice(None), 0), 0),
    lambda x: x.flatten(1).mul_(3),
    lambda x: F.relu(x, inplace=True),
    lambda x: x.copy_(x.flip(-1)),
]


@pytest.mark.parametrize("change", IN_PLACE)
def test_changes_of_inputs_are_seen(change):
    def function(m, x, y):
        change(x)
        return m.head((x + y).flatten(1))

    model = calls(function, head=lambda: nn.Linear(12, 2))
    facts = observe(model, (torch.rand(1, 3, 2, 2) + 1, torch.rand(1, 3, 2, 2)))
    assert facts.changes_inputs == (0,) and not facts.error
    assert observe(dense_net(), pictures()).changes_inputs == ()


def test_unused_inputs_and_whole_numbers_are_told_apart():
    model = calls(lambda m, x, t, n: m.head(x.flatten(1)), head=lambda: nn.Linear(12, 3))
    facts = observe(model, (torch.ones(1, 3, 2, 2), torch.ones(1, 4), torch.ones(1, 2).long()))
    assert (facts.used_inputs, facts.unused_inputs) == ({0}, (1,))


@pytest.mark.parametrize("model", [nn.Identity(), nn.Flatten(), lambda x: x, lambda x: (x,)])
def test_a_model_may_return_its_input(model):
    assert observe(model, torch.ones(1, 2)).used_inputs == {0}


def test_an_empty_part_of_an_input_is_no_use_of_it():
    facts = observe(lambda x, y: x + y[:, :0].sum(), (torch.ones(1, 2), torch.ones(1, 2)))
    assert (facts.used_inputs, facts.unused_inputs) == ({0}, (1,))


def centered(x):
    return (x - x.mean(0)).flatten(1)


@pytest.mark.parametrize("n_examples", [1, 2, 5])
@pytest.mark.parametrize(
    ("function", "coupled", "random"),
    [
        (lambda x: x.flatten(1), False, False),
        (centered, True, False),
        (lambda x: F.batch_norm(x, None, None, training=True).flatten(1), True, False),
        (lambda x: x.flatten(1) + torch.rand(len(x), 1), False, True),
        (lambda x: F.dropout(x).flatten(1), False, True),
    ],
)
def test_examples_that_depend_on_each_other_and_chance_are_seen(
    function, coupled, random, n_examples
):
    facts = observe(function, pictures(n_examples, 3, 2, 2))
    assert (facts.coupled, facts.random) == (coupled, random)


def test_a_model_of_one_example_at_a_time_is_not_coupled():
    facts = observe(lambda x: x.reshape(1, 12), pictures(1, 3, 2, 2))
    assert facts.output_shape == (1, 12)
    assert observe(lambda x: x.flatten(1).view(1, 12), pictures(1, 3, 2, 2)).error == ""


def test_a_function_has_no_layers():
    facts = observe(torch.sigmoid, torch.ones(1, 2))
    assert not facts.is_module and not facts.runs and facts.traced


def test_wrapped_modules_are_named():
    model = nn.Sequential(dense_net(n_features=12), torch.compile(nn.ReLU(), backend="eager"))
    facts = observe(model, pictures(1, 3, 2, 2))
    assert facts.compiled == ("1",) and facts.dtype is torch.float32
    assert facts.hooks_fire and [run.kind for run in facts.runs].count(nn.ReLU) == 2
