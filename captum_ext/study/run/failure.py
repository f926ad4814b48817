"""What a model, method or metric raises or warns of, held to the cells that it concerns."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from captum_ext.study.define.cache import MismatchError
from captum_ext.value_checks import AttributionWarning, one_line


@dataclass
class CellFailure:
    """Why something failed, in one line and in full; both are empty where it did not."""

    error: str = ""
    traceback: str = ""


@contextmanager
def held() -> Iterator[CellFailure]:
    """Turns what is raised in the block, also a SystemExit, into a :class:`CellFailure`.

    Raises:
        KeyboardInterrupt, MismatchError: these stop a study.

    Example:
        >>> with held() as failure:
        ...     raise SystemExit(3)
        >>> failure.error
        'SystemExit: 3'
    """
    failure = CellFailure()
    try:
        yield failure
    except (KeyboardInterrupt, MismatchError):
        raise
    except BaseException as error:
        failure.error, failure.traceback = cause_of(error), traceback.format_exc()


def cause_of(error: BaseException) -> str:
    """Why something failed, in one line.

    Example:
        >>> cause_of(ValueError("no layer")), cause_of(SystemExit(3))
        ('no layer', 'SystemExit: 3')
    """
    # The message of a SystemExit is an exit code.
    kind = "" if isinstance(error, Exception) else f"{type(error).__name__}: "
    return f"{kind}{one_line(error)}"


@contextmanager
def attribution_warnings() -> Iterator[list[str]]:
    """Collects the texts of :class:`AttributionWarning` in the block; other warnings go on.

    Example:
        >>> with attribution_warnings() as said:
        ...     warnings.warn("the deltas do not add up", AttributionWarning)
        >>> said
        ['the deltas do not add up']
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        # Also where warnings are errors, or are shown once.
        warnings.simplefilter("always", AttributionWarning)
        yield said
    for each in warned:
        if issubclass(each.category, AttributionWarning):
            said.append(text_of(each))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def text_of(warned: warnings.WarningMessage) -> str:
    """The text of a warning on one line.

    Example:
        >>> with warnings.catch_warnings(record=True) as warned:
        ...     warnings.warn("first,  second")
        >>> text_of(warned[0])
        'first, second'
    """
    return one_line(warned.message) if isinstance(warned.message, Warning) else str(warned.message)
