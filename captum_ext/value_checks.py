"""Checks of plain values, and texts of errors. This module does not import torch.

Every error names the argument, the given value and the allowed values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real
from operator import index
from reprlib import Repr
from typing import Any

#: An error lists at most this many choices.
MOST_LISTED = 60
#: Of an error's message, which may be of another package and hold a whole tensor.
MOST_LETTERS = 4000
#: The most steps of a method, for each example: a million passes.
MOST_STEPS = 10**6
#: The most rows in a call of a model, and other counts that cost nothing by themselves.
MOST_ROWS = 10**9
#: The most values in a tensor of samples or draws, a byte or more each.
MOST_VALUES = 2**32


class AttributionWarning(UserWarning):
    """An attribution, or a metric of one, is not what it promises to be on this model.

    Example:
        >>> issubclass(AttributionWarning, UserWarning)
        True
    """


def as_tuple(value: Any) -> tuple[Any, ...]:
    """``value`` itself if it is a tuple, else the tuple that holds only ``value``.

    Example:
        >>> as_tuple(3), as_tuple((3, 4))
        ((3,), (3, 4))
    """
    return value if isinstance(value, tuple) else (value,)


def printable(text: object) -> str:
    """A text with escapes in place of line ends, control characters and bytes that are no UTF-8.

    Example:
        >>> print(printable("two\\nlines, \\x1b[31mred, café"))
        two\\nlines, \\x1b[31mred, café
    """
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text)
    )


def one_line(error: BaseException) -> str:
    """The message of an error on one line, or its class name if it has no message.

    The message of a KeyError is a key, which says nothing without the class.

    Example:
        >>> one_line(ValueError("first,  second")), one_line(MemoryError()), one_line(KeyError("a"))
        ('first, second', 'MemoryError', "KeyError: 'a'")
    """
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # An error of another package may have a broken ``__str__``.
        return name
    if len(text) > MOST_LETTERS:
        text = f"{text[:MOST_LETTERS]}…"
    message = printable(" ".join(text.split()))
    return f"{name}: {message}" if isinstance(error, KeyError) else message or name


def described(value: Any) -> str:
    """A value in the words of a message: short, and of a tensor or an array the shape only.

    Example:
        >>> import torch
        >>> described(torch.zeros(3, 4)), described(torch.tensor(3)), described([0.5] * 100)
        ('a tensor of shape (3, 4)', 'tensor(3)', '[0.5, 0.5, 0.5, 0.5, ...]')
    """
    shape = _shape_of(value)
    if not shape:
        return _Short().repr(value)
    kind = type(value).__name__
    words = {"Tensor": "a tensor", "Parameter": "a tensor", "ndarray": "an array"}
    return f"{words.get(kind, kind)} of shape {shape}"


def _shape_of(value: Any) -> tuple[Any, ...]:
    """Of a tensor, an array or what is like one; else ()."""
    shape: Any = getattr(value, "shape", ())
    return tuple(shape) if isinstance(shape, tuple) else ()


class _Short(Repr):
    """A short ``repr``, in which tensors that others hold are described, too."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 4
        self.maxstring = self.maxother = 80

    def repr1(self, x: Any, level: int) -> str:
        return described(x) if _shape_of(x) else super().repr1(x, level)

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write more than 4,300 digits.
        return super().repr_int(x, level) if x.bit_length() < 2**13 else "a number too long to show"


def check_number(
    value: Any, name: str, low: float = -math.inf, high: float = math.inf, *, above: bool = False
) -> float:
    """``value`` as a finite float in [low, high], or in (low, high] where it must lie ``above``.

    Raises:
        TypeError: not a number.
        ValueError: not finite, or outside.

    Example:
        >>> check_number(0, "step_size", low=0, above=True)
        Traceback (most recent call last):
        ...
        ValueError: step_size must be above 0; got 0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {described(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = -math.inf if value < 0 else math.inf  # type: ignore[operator]
    if math.isfinite(number) and low <= number <= high and not (above and number == low):
        return number
    bounds = []
    if low > -math.inf:
        bounds.append(f"above {low:g}" if above else f"at least {low:g}")
    if high < math.inf:
        bounds.append(f"at most {high:g}")
    raise ValueError(f"{name} must be {' and '.join(bounds) or 'finite'}; got {described(value)}")


def check_int(value: Any, name: str, minimum: int, maximum: int | None = None) -> int:
    """``value`` as an int of at least ``minimum``, and at most ``maximum``, where there is one.

    Raises:
        TypeError: not a whole number.
        ValueError: below ``minimum``, or above ``maximum``.

    Example:
        >>> check_int(0, "n_samples", minimum=1)
        Traceback (most recent call last):
        ...
        ValueError: n_samples must be at least 1; got 0
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number; got {described(value)}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {described(number)}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum}; got {described(number)}")
    return number


def most_of(n_values: int) -> int:
    """How many rows of ``n_values`` each one tensor may have: the limit of a number of samples.

    Example:
        >>> most_of(64)
        67108864
    """
    return max(1, MOST_VALUES // max(1, n_values))


def check_interval(value: Any, name: str) -> tuple[float, float]:
    """``value`` as a pair of numbers, the lower one first.

    Raises:
        TypeError: not a pair of numbers.
        ValueError: not finite, or not in ascending order.

    Example:
        >>> check_interval([0, 255], "clip")
        (0.0, 255.0)
    """
    if not hasattr(value, "__len__") or len(value) != 2:
        raise TypeError(f"{name} must be a pair (lowest, highest); got {described(value)}")
    low, high = (check_number(bound, f"each bound of {name}") for bound in value)
    if low >= high:
        raise ValueError(
            f"{name} must be (lowest, highest), the lower one first; got {described(value)}"
        )
    return low, high


def check_choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """``value`` if it is one of ``choices``; otherwise an error with the nearest one.

    Raises:
        ValueError: another value.

    Example:
        >>> check_choice("logits", "output", ("probability", "logit"))
        Traceback (most recent call last):
        ...
        ValueError: unknown output 'logits'; did you mean 'logit'? (probability, logit)
    """
    allowed = list(choices)
    if isinstance(value, str) and value in allowed:
        return str(value)
    raise unknown(value, name, allowed)


def unknown(value: Any, name: str, choices: Iterable[str]) -> ValueError:
    """Build the error for a value that is not in ``choices``; it suggests the nearest ones.

    Example:
        >>> str(unknown("logits", "output", ("probability", "logit")))
        "unknown output 'logits'; did you mean 'logit'? (probability, logit)"
    """
    allowed = list(choices)
    many = len(allowed) > MOST_LISTED
    text = described(value)
    word = value if isinstance(value, str) else text
    near = get_close_matches(word, allowed, n=3 if many else 1, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
    known = f"there are {len(allowed)}" if many else ", ".join(allowed)
    return ValueError(f"unknown {name} {text}{hint} ({known})")
