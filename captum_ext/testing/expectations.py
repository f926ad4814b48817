"""Results of a check: it passes, fails (a ValueError), or does not apply."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import as_tuple

TOLERANCE = 1e-9


class NotApplicable(Exception):  # noqa: N818
    """Raised by a check that does not apply; the message says why."""


def expect(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def expect_like(result: Any, inputs: Any) -> None:
    expect(
        isinstance(result, tuple) == isinstance(inputs, tuple),
        f"gives a {type(result).__name__} for a {type(inputs).__name__}",
    )
    for attribution, tensor in zip(as_tuple(result), as_tuple(inputs), strict=True):
        expect(isinstance(attribution, Tensor), f"gives {type(attribution).__name__}")
        for name in ("shape", "dtype", "device"):
            got, wanted = getattr(attribution, name), getattr(tensor, name)
            expect(got == wanted, f"{name} is {got}, the input's {wanted}")
        expect(bool(torch.isfinite(attribution).all()), "is not finite")


def expect_same(result: Any, other: Any, what: str) -> None:
    for first, second in zip(as_tuple(result), as_tuple(other), strict=True):
        expect(first.shape == second.shape, f"{what}: {first.shape} became {second.shape}")
        distance = float((first - second).abs().max())
        scale = max(1.0, float(second.abs().max()))
        expect(distance <= TOLERANCE * scale, f"{what}: results differ by {distance:.2g}")
