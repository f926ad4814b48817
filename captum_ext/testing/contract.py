"""Run the checks on a method and report their results."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from captum.attr import Attribution

from captum_ext.registry import as_spec
from captum_ext.spec import MethodSpec
from captum_ext.testing.bad_input import BAD_INPUT_CHECKS
from captum_ext.testing.checks import CHECKS
from captum_ext.testing.contract_subject import ContractSubject
from captum_ext.testing.expectations import NotApplicable

Status = Literal["passed", "failed", "skipped", "deviates", "recorded"]


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome; ``detail`` says why where it did not simply pass."""

    check: str
    status: Status
    detail: str = ""


@dataclass(frozen=True)
class ContractReport:
    """All outcomes for one method; prints as a table."""

    method: str
    results: tuple[CheckResult, ...]

    @property
    def failures(self) -> list[CheckResult]:
        return [result for result in self.results if result.status == "failed"]

    @property
    def passed(self) -> bool:
        return not self.failures

    def raise_if_failed(self) -> None:
        """Raises:
        AssertionError: a check failed; the message is the report.
        """
        if self.failures:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [self.method]
        for result in self.results:
            line = f"  {result.check:28} {result.status:9} {' '.join(result.detail.split())}"
            lines.append(line.rstrip())
        return "\n".join(lines)


def check_attribution(
    method: str | MethodSpec | type[Attribution], device: str | torch.device = "cpu"
) -> ContractReport:
    """Runs the whole contract over one method.

    Args:
        method: a registered method's name, a spec, or an ``Attribution`` subclass that is built
            from a model alone.
        device: where the models and inputs of the checks lie; it must know float64.

    Returns:
        A report; ``print`` it, or call ``raise_if_failed()`` in a test.

    Example:
        >>> from captum.attr import Saliency
        >>> report = check_attribution(Saliency)
        >>> [result.status for result in report.results if result.check == "no_graph"]
        ['passed']
    """
    subject = ContractSubject(as_spec(method), torch.device(device))
    return ContractReport(
        subject.spec.name, tuple(_run(name, check, subject) for name, check in CHECKS.items())
    )


def _run(
    name: str, check: Callable[[ContractSubject], None], subject: ContractSubject
) -> CheckResult:
    known = subject.spec.deviations.get(name)
    if name in BAD_INPUT_CHECKS and subject.built_in:
        return CheckResult(name, "recorded", _what_happens(check, subject))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(subject)
    except NotApplicable as skip:
        return CheckResult(name, "skipped", str(skip))
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        if known is not None:
            return CheckResult(name, "deviates", f"{known} [{detail}]")
        return CheckResult(name, "failed", detail)
    if known is not None:
        return CheckResult(name, "failed", f"listed as a deviation but holds: {known}")
    return CheckResult(name, "passed")


def _what_happens(check: Callable[[ContractSubject], None], subject: ContractSubject) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(subject)
    except Exception as error:
        return str(error)
    return "clear error before the model runs"
