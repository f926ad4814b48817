"""The contract that every method passes, as code: :func:`check_attribution`.

Each check is a named function, run on tiny models in float64. Our methods and
third parties' must pass them all; a built-in may be listed as deviating, with the reason, in its
spec. What a built-in does with bad input is recorded, not judged.
"""

from captum_ext.testing.contract import CheckResult, ContractReport, check_attribution

__all__ = ["CheckResult", "ContractReport", "check_attribution"]
