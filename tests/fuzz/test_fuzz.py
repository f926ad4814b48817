"""Any call of ``explain()`` comes to a right result, or to an error that names an argument."""

from zlib import crc32

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from torch import nn

import captum_ext
from captum_ext.asking import Answer
from tests.fuzz.fuzz_calls import FuzzCall, draw_call
from tests.fuzz.fuzz_models import Subject
from tests.fuzz.fuzz_oracle import accepted_by, violation_of

METHODS = [spec.name for spec in captum_ext.methods()]
#: Calls in all, of the default run and of the slow one.
N_CALLS, N_SLOW_CALLS = 300, 10_000


def check_calls(method, n_calls):
    """Draws calls of a method, the same ones in each run, and looks at what they come to."""
    spec = captum_ext.get_method(method)

    @seed(crc32(method.encode()))
    @settings(
        max_examples=n_calls,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def run(random):
        violation = violation_of(draw_call(spec, accepted_by(method), random))
        if violation is not None:
            raise violation

    run()


@pytest.mark.parametrize("method", METHODS)
def test_any_call_is_answered_or_refused_by_name(method):
    check_calls(method, -(-N_CALLS // len(METHODS)))


@pytest.mark.parametrize(
    ("explain", "problem"),
    [
        (lambda *_, **__: "".index, "neither a result nor a clear error: AttributeError"),
        (lambda *_, **__: int("x"), "the message names no argument"),
        (lambda *_, **__: Answer(heat=torch.rand(7)), "the call changed torch's random state"),
        (lambda _, x, *__, **___: Answer(heat=torch.zeros(3)), "shape (3,) of"),
        (lambda _, x, *__, **___: Answer(heat=x.mul_(2)), "the call changed inputs"),
    ],
)
def test_the_fuzzer_sees_what_is_wrong(monkeypatch, explain, problem):
    monkeypatch.setattr(captum_ext, "explain", explain)
    call = FuzzCall("saliency", Subject("linear", nn.Linear(7, 2), [(7,)]), torch.ones(7), None)
    violation = violation_of(call)
    assert problem in "\n".join([str(violation), *getattr(violation, "__notes__", ())])


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_many_calls_are_answered_or_refused_by_name(method):
    check_calls(method, -(-N_SLOW_CALLS // len(METHODS)))
