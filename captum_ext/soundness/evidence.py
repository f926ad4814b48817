"""What a method notes while it runs, for the checks of its answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor

#: What both sides of an identity are, for each example: ``(left [B], right [B])``.
Sides = tuple[Tensor, Tensor]

_notes: ContextVar[dict[str, list[Any]] | None] = ContextVar("notes", default=None)


@contextmanager
def collect_evidence() -> Iterator[dict[str, list[Any]]]:
    """Collects what methods note inside, by name.

    Example:
        >>> with collect_evidence() as notes:
        ...     note("completeness", 3)
        >>> notes
        {'completeness': [3]}
    """
    notes: dict[str, list[Any]] = {}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def is_evidence_wanted() -> bool:
    """Whether anybody reads what is noted: what costs passes need else not be computed.

    Example:
        >>> is_evidence_wanted()
        False
    """
    return _notes.get() is not None


def note(name: str, value: Any) -> None:
    """Notes a value, where anybody reads it."""
    notes = _notes.get()
    if notes is not None:
        notes.setdefault(name, []).append(value)
