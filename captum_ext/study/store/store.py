"""The results of a study, in an SQLite file of its folder.

Each cell is a transaction, so a process that is killed loses only the cell it was computing.
Several processes may write at once: each claims the task that it works on, and a lock, which the
system takes back from a dead process, shows whether it is alive.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from captum_ext.study.plan.tasks import Plan, Task
from captum_ext.study.store.cells import ATTRIBUTIONS, CellResult, KeptAttribution
from captum_ext.study.store.contents import identity_in
from captum_ext.study.store.identity_differences import differences, without_code
from captum_ext.study.store.sqlite import (
    FILE,
    FORMAT,
    TABLES,
    FileWatch,
    StoreError,
    check_format,
    connect,
    explained,
    is_made,
)

logger = logging.getLogger(__name__)

#: Of a text that is stored; of a traceback, the end tells most.
MOST_LETTERS = 100_000
_RESULT = tuple(each.name for each in fields(CellResult))


class Store:
    """A study's folder, open for this process.

    Args:
        folder: made where it is not there.
        plan: of the study.
        about: what the report must know of it, plain values.
        extend: of another study's folder, make this one's; its cells stay.

    Raises:
        ValueError: a folder of another study; it says what differs.
        StoreError: a folder that cannot be written, a file that is damaged or no study's; and, of
            each method, a file that has been deleted or replaced since.

    Example:
        >>> import tempfile
        >>> from captum_ext.study.plan.tasks import Cell
        >>> plan = Plan([Cell("m", "i", "a", "srg", 0, "key")], [], {"seeds": [0]}, [])
        >>> with tempfile.TemporaryDirectory() as folder, Store(Path(folder), plan, {}) as store:
        ...     store.add(CellResult("key", "ok", 0.5))
        ...     store.known(["key", "other"])
        {'key'}
    """

    def __init__(
        self, folder: Path, plan: Plan, about: dict[str, Any], *, extend: bool = False
    ) -> None:
        self.folder = folder
        self.owner = uuid.uuid4().hex
        self._lock: FileLock | None = None
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._database = connect(folder / FILE)
            self._file = FileWatch(folder / FILE)
        try:
            with explained(folder):
                self._prepare(plan, about, extend)
                self._lock = _lock_of(folder, self.owner)
                self._lock.acquire(timeout=0)
        except BaseException:
            self._database.close()
            raise

    def _prepare(self, plan: Plan, about: dict[str, Any], extend: bool) -> None:
        """Makes the tables, or makes sure that they are this study's."""
        # Before anything is written: what is refused stays as it is.
        self._changes(plan, extend)
        # Survives the death of any process; of the machine's, all but the last moments.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        with self._writing():
            # PlannedMethod again: another process may have been at it.
            changes = self._changes(plan, extend)
            if changes == []:
                # Titles and paths may have changed, which determine nothing.
                self._database.execute("UPDATE study SET about = ?", (json.dumps(about),))
                return
            if changes and not extend:
                computed = "; ".join(changes)
                logger.warning("out %r: computed again is %s", str(self.folder), computed)
            if changes is None:
                for statement in TABLES.split(";"):
                    self._database.execute(statement)
            self._write_plan(plan, about)

    def _changes(self, plan: Plan, extend: bool) -> list[str] | None:
        """What differs from the study that is there; None where there is none.

        Raises:
            ValueError: they are another one's, which is not to be extended.
        """
        if not is_made(self._database):
            return None
        check_format(self._database, self.folder)
        known = identity_in(self._database, self.folder)
        wanted = json.loads(json.dumps(plan.identity))
        found = list(differences(known, wanted))
        if without_code(known) != without_code(wanted) and not extend:
            raise ValueError(
                f"out {str(self.folder)!r} holds another study, which differs in "
                f"{'; '.join(found)}. Take another folder, or extend this one (--extend)"
            )
        return found

    def _write_plan(self, plan: Plan, about: dict[str, Any]) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._database.execute(
            "INSERT OR REPLACE INTO study VALUES (1, ?, ?, ?, ?)",
            (FORMAT, json.dumps(plan.identity), json.dumps(about), now),
        )
        attribution = {
            key: asked.key
            for task in plan.tasks
            for asked in task.asked
            for _, key, _ in asked.metrics
        }
        self._database.execute("DELETE FROM plan")
        self._database.executemany(
            "INSERT INTO plan VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (number, *cell, attribution.get(cell.key, ""))
                for number, cell in enumerate(plan.cells)
            ),
        )

    def known(self, keys: Sequence[str]) -> set[str]:
        """Those of some keys whose cells are there."""
        marks = ", ".join("?" * len(keys))
        with explained(self.folder):
            self._file.check()
            rows = self._database.execute(f"SELECT key FROM cells WHERE key IN ({marks})", keys)
            return {key for (key,) in rows}

    def all_known(self) -> set[str]:
        """The keys of all cells that are there."""
        with explained(self.folder):
            self._file.check()
            return {key for (key,) in self._database.execute("SELECT key FROM cells")}

    def add(self, result: CellResult | KeptAttribution) -> None:
        """Stores a cell, or what is kept of an attribution, in a transaction of its own."""
        with explained(self.folder):
            self._file.check()
            if isinstance(result, KeptAttribution):
                self._keep(result)
                return
            names = ", ".join(_RESULT)
            marks = ", ".join(f":{name}" for name in _RESULT)
            with self._writing():
                # Who comes second, has computed the same.
                self._database.execute(
                    f"INSERT OR IGNORE INTO cells ({names}) VALUES ({marks})",
                    {name: _storable(value) for name, value in asdict(result).items()},
                )

    def _keep(self, kept: KeptAttribution) -> None:
        if kept.attribution is not None:
            folder = self.folder / ATTRIBUTIONS
            folder.mkdir(exist_ok=True)
            content = BytesIO()
            np.savez_compressed(content, attribution=kept.attribution)
            # Whole or not at all.
            unfinished = folder / f"{kept.key}.{self.owner}.part"
            try:
                unfinished.write_bytes(content.getvalue())
                unfinished.replace(folder / f"{kept.key}.npz")
            finally:
                unfinished.unlink(missing_ok=True)
        if kept.drawn is not None:
            with self._writing():
                self._database.execute(
                    "INSERT OR IGNORE INTO kept VALUES (?, ?, ?)",
                    (kept.key, kept.picture, kept.drawn),
                )

    def claim(self, task: Task) -> bool:
        """Whether this process may work on a task: no living one does."""
        with explained(self.folder), self._writing():
            row = self._database.execute(
                "SELECT owner FROM claims WHERE task = ?", (task.key,)
            ).fetchone()
            if row is not None and row[0] != self.owner and _is_alive(self.folder, row[0]):
                return False
            self._database.execute(
                "INSERT OR REPLACE INTO claims VALUES (?, ?)", (task.key, self.owner)
            )
            return True

    def release(self, task: Task) -> None:
        """Gives up a claim."""
        with explained(self.folder), self._writing():
            self._database.execute(
                "DELETE FROM claims WHERE task = ? AND owner = ?", (task.key, self.owner)
            )

    def forget_failures(self) -> int:
        """Takes failed cells out, to be tried again; gives their number."""
        with explained(self.folder), self._writing():
            return self._database.execute("DELETE FROM cells WHERE status = 'failed'").rowcount

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that waits for others first, not when it is half done."""
        self._file.check()
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        # What was committed into a file that nobody finds is lost.
        self._file.check()

    def close(self) -> None:
        """Gives up all claims."""
        # Both do nothing where others are at it, or the file is gone.
        with suppress(sqlite3.Error, StoreError), self._writing():
            self._database.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
        with suppress(sqlite3.Error, StoreError):
            self._file.check()
            # A single file, which can be read where nothing can be written.
            self._database.execute("PRAGMA busy_timeout = 0")
            self._database.execute("PRAGMA journal_mode = DELETE")
        self._database.close()
        if self._lock is not None:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _storable(value: Any) -> Any:
    """A text of an error or a label, as SQLite takes it: without halves of letters, not endless."""
    if not isinstance(value, str):
        return value
    return value[-MOST_LETTERS:].encode("utf-8", "backslashreplace").decode("utf-8")


def _lock_of(folder: Path, owner: str) -> FileLock:
    return FileLock(folder / f"running-{owner}.lock")


def _is_alive(folder: Path, owner: str) -> bool:
    """Whether the process that has claimed something holds its lock still."""
    lock = _lock_of(folder, owner)
    if not Path(lock.lock_file).exists():
        return False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
    return False
