"""Standard output and error of a command, whose readers may leave, or never have been there."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


class LastingStream:
    """A text stream that goes on into nothing when its reader has left (``| head``).

    Args:
        stream: the one to write to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except BrokenPipeError:
            self._leave()
        except OSError:
            self._leave()
            raise

    def _leave(self) -> None:
        """What could not be written waits in buffers; Python tries once more at its exit."""
        with suppress(OSError, ValueError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Within, standard output and error take all that is written, whoever reads it.

    Example:
        >>> with lasting_streams():
        ...     print("read")
        read
    """
    before = sys.stdout, sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # LRP-ε on a terminal without Greek
    # A process whose output was closed (`>&-`) has none.
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        sys.stdout = LastingStream(before[0] or nothing)  # type: ignore[assignment]
        sys.stderr = LastingStream(before[1] or nothing)  # type: ignore[assignment]
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            sys.stdout, sys.stderr = before
