"""How the report writes numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

#: Stands where there is no number.
NOTHING = "–"
MINUS = "−"
MOST_DECIMALS = 4


def finite(values: Iterable[float]) -> list[float]:
    """Those of ``values`` that are finite.

    Example:
        >>> finite([1.0, math.nan, math.inf])
        [1.0]
    """
    return [float(value) for value in values if math.isfinite(value)]


def number_format(values: Iterable[float]) -> Callable[[float], str]:
    """One way to write all of ``values``, with three digits for the spread between them.

    Returns:
        A function from a number to its text.

    Example:
        >>> write = number_format([0.2, 0.7])
        >>> write(0.25), write(-0.5) == MINUS + "0.500", write(math.nan) == NOTHING
        ('0.250', True, True)
        >>> number_format([1e9, 3e9])(2e9)
        '2.00e+09'
    """
    known = finite(values)
    spread = max(known, default=0.0) - min(known, default=0.0)
    spread = spread or max(map(abs, known), default=0.0) or 1.0
    decimals = max(2 - math.floor(math.log10(spread)), 0)
    largest = max(map(abs, known), default=0.0)
    scientific = decimals > MOST_DECIMALS + 1 or largest >= 1e6
    kind = ".2e" if scientific else f".{min(decimals, MOST_DECIMALS)}f"

    def write(value: float) -> str:
        if not math.isfinite(value):
            return NOTHING if math.isnan(value) else f"{value}".replace("-", MINUS)
        text = f"{value:{kind}}"
        # Minus zero is zero.
        return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)

    return write


def signed(text: str) -> str:
    """A written number with its sign, unless it is nothing or zero.

    Example:
        >>> signed("0.25"), signed(MINUS + "0.25") == MINUS + "0.25", signed("0.00")
        ('+0.25', True, '0.00')
    """
    return f"+{text}" if text[0].isdigit() and text.strip("0.") else text


def probability(p: float) -> str:
    """A p-value.

    Example:
        >>> probability(0.00004), probability(0.0312), probability(1.0)
        ('<0.001', '0.031', '1')
    """
    if math.isnan(p):
        return NOTHING
    if p < 0.001:
        return "<0.001"
    return "1" if p >= 0.9995 else f"{p:.3f}"


def amount(value: float) -> str:
    """A cost: passes or seconds, with about three digits.

    Example:
        >>> amount(4000.0), amount(0.01234), amount(12.0), amount(0.0), amount(0.00041)
        ('4,000', '0.0123', '12', '0', '0.0004')
    """
    if not math.isfinite(value):
        return NOTHING
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    if value < 10**-MOST_DECIMALS:
        return f"{value:.0e}".replace("-", MINUS)
    decimals = 2 - math.floor(math.log10(value))
    return f"{value:.{min(max(decimals, 0), MOST_DECIMALS)}f}"


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things.

    Example:
        >>> counted(1, "image"), counted(1200, "image"), counted(2, "entry", "entries")
        ('1 image', '1,200 images', '2 entries')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names in a sentence.

    Example:
        >>> listed(["a", "b", "c"]), listed("abcdefgh", most=3)
        ('a, b and c', 'a, b, c and 5 more')
    """
    known = list(names)
    if len(known) > most:
        return f"{', '.join(known[:most])} and {len(known) - most:,} more"
    return " and ".join(filter(None, (", ".join(known[:-1]), *known[-1:])))


def nice_steps(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers in [low, high], about so many.

    Example:
        >>> nice_steps(0.03, 0.52)
        [0.1, 0.2, 0.3, 0.4, 0.5]
    """
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def even_steps(low: float, high: float) -> list[float]:
    """Round positive numbers in [low, high] that lie evenly on a logarithmic axis.

    Example:
        >>> even_steps(1, 5000), even_steps(2, 30)
        ([1.0, 10.0, 100.0, 1000.0], [2.0, 5.0, 10.0, 20.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        steps = [f * 10.0**power for power in powers for f in factors]
        inside = [step for step in steps if low * 0.999 <= step <= high * 1.001]
        if len(inside) >= 3:
            return _thinned(inside)
    return inside or [low]


def _thinned(steps: list[float], most: int = 7) -> list[float]:
    return steps[:: math.ceil(len(steps) / most)]
