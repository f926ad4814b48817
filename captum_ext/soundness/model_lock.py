"""Threads that explain one model: methods that hook it, or draw from the global state, go alone."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """A lock that many threads share, or one holds alone; a thread may take it again.

    A thread that shares the lock and then asks to be alone is let through, because two such
    threads would wait for each other.

    Example:
        >>> lock = SharedLock()
        >>> with lock.alone(), lock.alone(), lock.shared():
        ...     print("inside")
        inside
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sharing: defaultdict[int, int] = defaultdict(int)
        self._owner: int | None = None
        self._depth = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Waits until no other thread is alone."""
        thread = threading.get_ident()
        with self._condition:
            while self._owner not in (None, thread):
                self._condition.wait()
            self._sharing[thread] += 1
        try:
            yield
        finally:
            with self._condition:
                self._sharing[thread] -= 1
                if not self._sharing[thread]:
                    del self._sharing[thread]
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until no other thread holds the lock in any way."""
        thread = threading.get_ident()
        if thread in self._sharing:
            yield
            return
        with self._condition:
            while self._owner not in (None, thread) or any(
                other != thread for other in self._sharing
            ):
                self._condition.wait()
            self._owner = thread
            self._depth += 1
        try:
            yield
        finally:
            with self._condition:
                self._depth -= 1
                if not self._depth:
                    self._owner = None
                self._condition.notify_all()


#: The lock of all models: they may share modules, and the global random state is one.
MODEL_LOCK = SharedLock()
