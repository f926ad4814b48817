"""From values to places on an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from captum_ext.analysis.report.numbers import (
    even_steps,
    finite,
    nice_steps,
    number_format,
)


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where, as a share of its length, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``.

    Example:
        >>> Scale(0.0, 2.0)(0.5), Scale(1.0, 100.0, log=True)(10.0)
        (0.25, 0.5)
    """

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The share of the axis that lies below ``value``."""
        low, high, value = (
            (math.log(each) if self.log else each) for each in (self.low, self.high, value)
        )
        return (value - low) / (high - low)

    def ticks(self) -> list[Tick]:
        """Round numbers along the axis.

        Example:
            >>> Scale(0.0, 1.0).ticks()[1], Scale(1.0, 1000.0, log=True).ticks()[-1]
            (Tick(at=0.2, text='0.2'), Tick(at=1.0, text='1,000'))
        """
        if self.log:
            return [Tick(self(each), f"{each:,.6g}") for each in even_steps(self.low, self.high)]
        steps = nice_steps(self.low, self.high)
        write = number_format([0.0, *(b - a for a, b in pairwise(steps))])
        texts = [write(each) for each in steps]
        while all("." in text and text.endswith("0") for text in texts):
            texts = [text[:-1] for text in texts]
        return [Tick(self(a), text.rstrip(".")) for a, text in zip(steps, texts, strict=True)]


def scale_over(values: Iterable[float], *, log: bool = False, room: float = 0.04) -> Scale | None:
    """An axis on which all of ``values`` have their place; None, where there are none.

    Args:
        values: those that are not finite, and on a logarithmic axis not positive, do not count.
        log: whether the axis is logarithmic.
        room: that is left at both ends, as a share of the values' range.

    Example:
        >>> scale_over([0.0, 1.0], room=0.5)
        Scale(low=-0.5, high=1.5, log=False)
        >>> scale_over([])
    """
    known = [value for value in finite(values) if value > 0 or not log]
    if not known:
        return None
    low, high = (math.log(bound) if log else bound for bound in (min(known), max(known)))
    # A single value stands in the middle of an axis that is as wide as the value is large.
    spread = (high - low) if high - low > 1e-12 * max(abs(low), abs(high)) else 0.0
    margin = spread * room or (1.0 if log else max(abs(low) * 0.5, 1e-6))
    low, high = low - margin, high + margin
    return Scale(math.exp(low), math.exp(high), log=True) if log else Scale(low, high)
