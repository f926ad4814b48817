"""The integrator, on the path that everyone knows: the straight line."""

import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from captum_ext.forward import Evaluator
from captum_ext.path import PathView, integrate, norms

STEPS = 8


class StraightLine:
    """From black to the input; path ``p`` belongs to example ``p``."""

    def __init__(self, inputs, evaluator):
        self.inputs, self.evaluator, self.looks = inputs, evaluator, []

    def start(self, paths):
        return tuple(torch.zeros_like(x[paths]) for x in self.inputs)

    def look(self, points, paths):
        self.looks.append(paths.tolist())
        return PathView(self.evaluator.gradients(points, paths))

    def move(self, points, view, paths, step):
        return tuple(x[paths] * (step + 1) / STEPS for x in self.inputs)

    def finished(self, still, paths):
        return still


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double()


@pytest.fixture
def inputs():
    return (torch.rand(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64),)


def walk(model, inputs, **settings):
    line = StraightLine(inputs, Evaluator(model, 1))
    return line, integrate(line, inputs, 1, STEPS, **({"batch_size": 2} | settings))


@pytest.mark.parametrize("method", ["riemann_left", "riemann_right", "riemann_trapezoid"])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_each_quadrature_rule_is_its_sum(model, inputs, method, batch_size):
    _, result = walk(model, inputs, method=method, batch_size=batch_size)
    steps = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    points = (steps[:, None, None] * inputs[0]).flatten(0, 1)
    (gradients,) = Evaluator(model, 1).gradients((points,), torch.arange(len(points)))
    gradients = gradients.unflatten(0, (STEPS + 1, 3))
    means = {
        "riemann_left": gradients[:-1].mean(0),
        "riemann_right": gradients[1:].mean(0),
        "riemann_trapezoid": (gradients[:-1] + gradients[1:]).mean(0) / 2,
    }
    torch.testing.assert_close(result.attributions[0], inputs[0] * means[method])


def test_with_many_steps_it_agrees_with_captum(model, inputs, monkeypatch):
    monkeypatch.setattr(f"{__name__}.STEPS", 400)
    _, result = walk(model, inputs, method="riemann_trapezoid")
    expected = IntegratedGradients(model).attribute(*inputs, target=1, n_steps=100)
    torch.testing.assert_close(result.attributions[0], expected.detach(), rtol=1e-4, atol=1e-6)


def test_paths_that_have_arrived_are_not_looked_at_again(model, inputs):
    inputs[0][1] = 0  # its line has no length
    line, result = walk(model, inputs, batch_size=3, keep_points=True)
    assert line.looks == [[0, 1, 2]] + [[0, 2]] * (STEPS - 1)
    assert not result.attributions[0][1].any()
    assert not result.points[0][1].any()


def test_a_path_that_only_rests_goes_on(model, inputs, monkeypatch):
    def rest_at_first(line, points, view, paths, step):
        return tuple(x[paths] * (step >= 4) * (step + 1) / STEPS for x in line.inputs)

    monkeypatch.setattr(StraightLine, "move", rest_at_first)
    monkeypatch.setattr(StraightLine, "finished", lambda line, still, paths: still & False)
    line, result = walk(model, inputs, keep_points=True)
    assert len(line.looks) == 2 * STEPS
    torch.testing.assert_close(result.points[0][:, 0, -1], inputs[0])


def test_the_mean_gradient_of_a_path_without_length_is_that_of_its_place(model, inputs):
    inputs[0][1] = 0
    _, mean = walk(model, inputs, multiply_by_steps=False)
    (expected,) = Evaluator(model, 1).gradients((torch.zeros(1, 4).double(),), torch.tensor([0]))
    torch.testing.assert_close(mean.attributions[0][1:2], expected)


def test_the_mean_gradient_is_the_integral_without_its_steps(model, inputs):
    _, whole = walk(model, inputs)
    _, mean = walk(model, inputs, multiply_by_steps=False)
    torch.testing.assert_close(mean.attributions[0] * inputs[0], whole.attributions[0])


def test_deltas_tell_what_the_sum_misses(model, inputs):
    _, result = walk(model, inputs, evaluator=Evaluator(model, 1), deltas=True)
    with torch.no_grad():
        expected = model(inputs[0])[:, 1] - model(torch.zeros(1, 4).double())[:, 1]
    torch.testing.assert_close(result.attributions[0].sum(1) - result.deltas, expected)


def test_a_gradient_that_is_not_finite_is_refused(inputs):
    with pytest.raises(ValueError, match="no finite gradient"):
        walk(lambda x: x.sqrt().sum(1, keepdim=True).expand(-1, 2), inputs)


def test_norms_neither_overflow_nor_underflow():
    tiny, huge = torch.tensor([[3e-30, 4e-30]]), torch.tensor([[3e30, 4e30]])
    torch.testing.assert_close(norms((tiny,)), torch.tensor([5e-30]))
    torch.testing.assert_close(norms((huge,)), torch.tensor([5e30]))
