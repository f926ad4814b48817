import pytest
import torch
from torch import nn
from torch.nn import functional as F

from captum_ext.soundness.graph import (
    ADDITION,
    CONCATENATION,
    LINEAR,
    NORMALIZATION,
    OTHER,
    POOLING,
    PRODUCT,
    RELU,
    dependence,
    kind_of,
    leaf_node,
    nodes_of,
    tensors_of,
    upstream,
)

CONSTANT, ZERO = torch.full((1, 4, 6), 2.0), torch.zeros(())
BAG = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0))
FUNCTIONS = {
    LINEAR: [
        lambda x: x * 2,
        lambda x: x * CONSTANT,
        lambda x: x / CONSTANT,
        lambda x: x + CONSTANT,
        lambda x: 1 - x,
        lambda x: x @ BAG,
        lambda x: x.mean(1),
        lambda x: x[:, :2],
        lambda x: x.flip(1).permute(0, 2, 1).reshape(1, -1),
        lambda x: F.avg_pool1d(x, 2),
        lambda x: F.conv1d(x, torch.ones(1, 4, 3)),
        lambda x: F.pad(x, (1, 1), "reflect"),
        lambda x: F.interpolate(x, scale_factor=2),
        nn.BatchNorm1d(4).eval(),
        lambda x: torch.cat([x, CONSTANT]),
    ],
    ADDITION: [lambda x: x + x, lambda x: x - x.mean(), lambda x: (x * 2).add_(x)],
    PRODUCT: [
        lambda x: x * x,
        lambda x: CONSTANT / x,
        lambda x: x / x.sum(),
        lambda x: x @ x.transpose(1, 2),
        lambda x: x.prod(1),
    ],
    CONCATENATION: [lambda x: torch.cat([x, x]), lambda x: torch.stack([x, 2 * x])],
    RELU: [
        torch.relu,
        F.relu,
        lambda x: (x * 1).relu_(),
        lambda x: x.clamp(min=0),
        lambda x: x.clamp_min(0),
        lambda x: (x * 1).clamp_(min=0),
        lambda x: torch.maximum(x, ZERO),
        lambda x: torch.maximum(ZERO, x),
        lambda x: F.threshold(x, 0, 0),
    ],
    POOLING: [
        lambda x: x.amax(1),
        lambda x: x.max(1).values,
        lambda x: F.max_pool1d(x, 2),
        lambda x: F.adaptive_max_pool2d(x, 2),
        lambda x: x.topk(2).values,
    ],
    NORMALIZATION: [lambda x: F.layer_norm(x, (6,)), lambda x: F.group_norm(x, 2)],
    OTHER: [
        torch.exp,
        torch.abs,
        F.relu6,
        F.gelu,
        lambda x: x.clamp(0, 1),
        lambda x: x.clamp(max=0),
        lambda x: F.threshold(x, 0.5, 0),
        lambda x: torch.maximum(x, 2 * x),
        lambda x: x**2,
        lambda x: x.softmax(1),
    ],
}


def kinds_in(output, *leaves):
    ordered = upstream(nodes_of(output))
    depends = dependence(ordered, leaves)
    return {kind_of(node, depends) for node in ordered if depends[node]}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_an_operation_has_the_kind_that_it_computes(kind):
    for number, function in enumerate(FUNCTIONS[kind]):
        x = (torch.rand(1, 4, 6) - 0.5).requires_grad_()
        assert kinds_in(function(x), x) - {LINEAR} == {kind} - {LINEAR}, number


def test_parameters_are_no_inputs():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    x = torch.rand(2, 4, requires_grad=True)
    assert kinds_in(model(x), x) == {LINEAR}
    assert kinds_in(x * model[0].weight[0] + model[0].bias, x) == {LINEAR}


def test_a_detached_branch_is_a_constant():
    x = torch.rand(2, 4, requires_grad=True)
    assert kinds_in(x * x.detach().sigmoid(), x) == {LINEAR}


def test_dependence_tells_the_inputs_apart():
    x, y, z = (torch.rand(2, requires_grad=True) for _ in range(3))
    first, second = x * y, x + 1
    depends = dependence(upstream(nodes_of([first, second, z * 2])), (x, y, z))
    assert depends[first.grad_fn] == {0, 1} and depends[second.grad_fn] == {0}
    assert depends[leaf_node(z)] == {2}


def test_each_node_comes_after_what_it_is_computed_from():
    x = torch.rand(2, requires_grad=True)
    ordered = upstream(nodes_of((x * 2).relu() + x.exp()))
    for place, node in enumerate(ordered):
        assert all(each in ordered[:place] for each, _ in node.next_functions if each is not None)
    assert len(ordered) == len(set(ordered))


def test_a_deep_graph_needs_no_recursion():
    y = torch.zeros(1, requires_grad=True)
    for _ in range(5000):
        y = y + 1
    assert len(upstream(nodes_of(y))) == 5001


def test_tensors_are_found_in_nests_in_order():
    nest = {"a": [torch.ones(1), (torch.ones(2), None)], "b": "text", "c": torch.ones(3)}
    assert [len(x) for x in tensors_of(nest)] == [1, 2, 3]
