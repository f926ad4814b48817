import pytest
import torch
from torch import nn

from captum_ext.models import Classifier, Framing, Preprocessing
from captum_ext.models.output_kind import output_kind, sums_to_one

SEEN = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))


class Ends(nn.Module):
    """A linear layer, its outputs in [0, 1], and what comes after it."""

    def __init__(self, last):
        super().__init__()
        self.layer = nn.Linear(12, 3)
        with torch.no_grad():
            self.layer.weight.zero_()
            self.layer.bias.copy_(torch.tensor([0.1, 0.5, 0.8]))
        self.last = last

    def forward(self, x):
        return self.last(self.layer(x.flatten(1)))


def kind_of(last):
    preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3, Framing((2, 2), 2))
    return Classifier(Ends(last).eval(), preprocessing).top(SEEN)[0].outputs


@pytest.mark.parametrize(
    "last",
    [
        torch.sigmoid,
        lambda y: torch.stack([y.sigmoid(), y.sigmoid()]).mean(0),
        lambda y: (y.sigmoid() + (2 * y).sigmoid()) / 2,
        lambda y: y.sigmoid()[:, :2],
        lambda y: 1 - y.exp() / 9,
        lambda y: y.bfloat16().sigmoid().float(),
        lambda y: y.detach(),  # nothing but the values tell
    ],
)
def test_independent_labels_are_probabilities(last):
    assert kind_of(last) == "probabilities"


@pytest.mark.parametrize(
    "last",
    [
        nn.Identity(),
        lambda y: y.relu().reshape(-1, 3),
        lambda y: y / 2 + 0.01,
        lambda y: y.half().float(),
        lambda y: torch.stack([y, y]).mean(0),
        lambda y: 9 * y,
        lambda y: y.log_softmax(1),
        torch.zeros_like,
    ],
)
def test_small_logits_are_no_probabilities(last):
    assert kind_of(last) == "softmax"


@pytest.mark.parametrize("n_classes", [2, 10, 1000, 20000])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_softmax_sums_to_one_in_its_precision(n_classes, dtype):
    logits = torch.randn(4, n_classes, generator=torch.Generator().manual_seed(1)).to(dtype)
    exponentials = (logits - logits.amax(1, keepdim=True)).exp()
    for outputs in (logits.softmax(1), exponentials / exponentials.sum(1, keepdim=True)):
        assert sums_to_one(outputs) and sums_to_one(outputs.double())
        assert output_kind(outputs) == "probabilities"


def test_a_sum_that_misses_one_does_so_in_any_precision():
    outputs = torch.tensor([[0.3, 0.8]])
    assert not any(sums_to_one(outputs.to(dtype)) for dtype in (torch.bfloat16, torch.float64))


def test_labels_that_sum_to_one_by_accident_are_explained_as_they_are():
    # Nothing tells them from classes that compete; in either case nothing is added.
    assert output_kind(torch.tensor([[0.3, 0.7]])) == "probabilities"
