from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from captum_ext.soundness.model_output import SCORE_NAMES, output_form, pick_output

Y, Z = torch.ones(1, 2), torch.zeros(1, 5)
Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Result:
    logits: torch.Tensor
    hidden: torch.Tensor


@pytest.mark.parametrize(
    "whole",
    [
        Y,
        (Y,),
        [Y],
        (Y, None),
        (None, Y),
        {"logits": Y},
        {"any": Y},
        {"hidden": Z, "logits": Y},
        OrderedDict(out=Y, aux=Z),
        Result(Y, Z),
        SimpleNamespace(logits=Y, loss=None),
        Pair(Y, "text"),
        {"loss": Z, "scores": Y},
    ],
    ids=lambda whole: type(whole).__name__,
)
def test_the_only_tensor_or_the_scores_are_taken(whole):
    assert pick_output(whole) is Y


@pytest.mark.parametrize(
    ("whole", "output"),
    [
        ((Z, Y), 1),
        ([Z, Y], 1),
        ({"a": Y, "logits": Z}, "a"),
        (Pair(Z, Y), "second"),
        (Result(Z, Y), "hidden"),
        ({3: Y, 4: Z}, 3),
    ],
)
def test_a_name_or_a_place_chooses(whole, output):
    assert pick_output(whole, output) is Y
    assert output_form(whole, output) == f"{output!r} of a {type(whole).__name__}"


@pytest.mark.parametrize("whole", [(Y, Z), {"a": Y, "b": Z}, Pair(Y, Z), [Y, Y, Y]])
def test_several_tensors_ask_for_a_choice(whole):
    with pytest.raises(ValueError, match="pass output= to choose one"):
        pick_output(whole)


@pytest.mark.parametrize("whole", [None, (), {}, "text", 3.0, (1, 2), {"a": "b"}, [[Y]]])
def test_an_output_without_tensors_is_refused(whole):
    with pytest.raises(TypeError, match=f"must return a tensor; got {type(whole).__name__}"):
        pick_output(whole)


@pytest.mark.parametrize("output", [2, -3, "logit", 0.5])
def test_an_unknown_part_is_refused_with_the_known_ones(output):
    with pytest.raises(ValueError, match="output must be one of 0, 1, the tensors in the tuple"):
        pick_output((Y, Z), output)


def test_scores_are_taken_by_the_first_known_name():
    for name in SCORE_NAMES:
        assert pick_output({"other": Z, name: Y}) is Y
