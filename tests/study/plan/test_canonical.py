"""Settings that differ have other plain values."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from captum_ext.study.plan.canonical import plain


class Settable:
    def __init__(self, value):
        self.value = value

    def method(self):
        return self.value


@dataclass
class Record:
    values: object


class Slotted:
    __slots__ = ()


def counted(most):
    def function(x):
        return x[:most]

    return function


LARGE = np.zeros(2000)
OTHER = np.where(np.arange(2000) == 1000, 1.0, LARGE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LARGE, OTHER),
        (torch.from_numpy(LARGE), torch.from_numpy(OTHER)),
        (np.zeros(3, np.float32), np.zeros(3)),
        (np.float32(1), np.float32(2)),
        (nn.Linear(2, 2), nn.Linear(2, 2)),
        (Settable(1), Settable(2)),
        (Settable(LARGE), Settable(OTHER)),
        (Settable(1).method, Settable(2).method),
        (Record(LARGE), Record(OTHER)),
        (counted(1), counted(2)),
        ({"a": 1}, {"a": 2}),
        ((1, 2), (2, 1)),
    ],
)
def test_what_differs_has_other_values_and_what_is_the_same_has_not(one, other):
    assert plain(one) == plain(one)
    assert plain(one) != plain(other)


def test_what_nothing_tells_apart_is_refused():
    with pytest.raises(TypeError, match=r"Slotted cannot be told from others; give it a __repr__"):
        plain(Slotted())
