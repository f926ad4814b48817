"""Checks that bad input raises a clear error before the model runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from captum_ext.passes import count_passes
from captum_ext.testing.contract_subject import BATCH, CLASSES, ContractSubject
from captum_ext.testing.expectations import expect

#: Their names; what a built-in does is recorded, not judged.
BAD_INPUT_CHECKS = ("rejects_bad_target", "rejects_misaligned", "rejects_non_finite")


def rejects_bad_target(subject: ContractSubject) -> None:
    for target in ([1] * (BATCH + 1), torch.zeros(BATCH, 2, dtype=torch.long), "cat", 1.5):
        _expect_rejected(subject, subject.inputs(), "target", target=target)
    _expect_rejected(subject, subject.inputs(), "target", target=CLASSES, may_run=True)


def rejects_misaligned(subject: ContractSubject) -> None:
    inputs = (subject.inputs(), subject.small_inputs()[:2])
    _expect_rejected(subject, inputs, "inputs", model=subject.model("two_inputs"))


def rejects_non_finite(subject: ContractSubject) -> None:
    for value in (float("nan"), float("inf")):
        inputs = subject.inputs()
        inputs[1, 0, 0, 0] = value
        _expect_rejected(subject, inputs, "inputs")


def _expect_rejected(
    subject: ContractSubject,
    inputs: Any,
    argument: str,
    target: Any = 1,
    model: nn.Module | None = None,
    may_run: bool = False,
) -> None:
    model = subject.model() if model is None else model
    with count_passes(model) as passes:
        try:
            subject.attribute(inputs, target=target, model=model)
        except (TypeError, ValueError) as error:
            expect(argument in str(error), f"the error does not name {argument}: {error}")
        except Exception as error:
            raise ValueError(f"raises {type(error).__name__}: {error}") from error
        else:
            raise ValueError(f"accepts {argument} {target if argument == 'target' else ''}")
    expect(may_run or passes.total == 0, "raises only after the model has run")
