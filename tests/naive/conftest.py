"""A tiny network and tiny images, in float64."""

import pytest
import torch
from torch import nn


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of_class(model, target):
    """The score of one example ``x`` without batch dimension."""
    return lambda x: model(x[None])[0, target]


def assert_equal(result, expected, atol=1e-9):
    """To rounding; and not because both are 0."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    assert expected.abs().max() > 100 * atol, "the expected values are too small to compare"
    torch.testing.assert_close(result, expected, rtol=1e-7, atol=atol)


@pytest.fixture
def images():
    return rand(2, 3, 7, 8)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(4, 5, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(80, 6),
            nn.ReLU(),
            nn.Linear(6, 3),
        )
        .double()
        .requires_grad_(False)
    )


@pytest.fixture
def classifier(network):
    """Probabilities that are neither all alike nor near 0 or 1."""
    network[-1].weight.data *= 8
    return nn.Sequential(network, nn.Softmax(dim=1))
