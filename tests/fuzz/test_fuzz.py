"""Any call of ``explain()`` comes to a right result, or to an error that names an argument."""

from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import captum_ext
from tests.fuzz.fuzz_calls import draw_call
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


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_many_calls_are_answered_or_refused_by_name(method):
    check_calls(method, -(-N_SLOW_CALLS // len(METHODS)))
