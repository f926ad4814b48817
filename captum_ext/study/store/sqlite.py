"""The SQLite file of a study: opened, checked, and its errors said in the study's words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from captum_ext.value_checks import one_line

FILE = "study.sqlite"
#: Of the tables; another number is another program's.
FORMAT = 1
#: The statements that make the tables.
TABLES = f"""
CREATE TABLE study (
    id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, identity TEXT NOT NULL,
    about TEXT NOT NULL, created TEXT NOT NULL
);
CREATE TABLE plan (
    position INTEGER PRIMARY KEY, model TEXT, image TEXT, method TEXT, metric TEXT, seed INTEGER,
    key TEXT NOT NULL, attribution TEXT NOT NULL
);
CREATE TABLE cells (
    key TEXT PRIMARY KEY, status TEXT NOT NULL, value REAL, error TEXT, traceback TEXT,
    remark TEXT, target INTEGER, label TEXT, output TEXT, forward INTEGER, backward INTEGER,
    seconds REAL, metric_forward INTEGER, metric_seconds REAL, worker TEXT
);
CREATE TABLE kept (key TEXT PRIMARY KEY, picture BLOB, drawn BLOB);
CREATE TABLE claims (task TEXT PRIMARY KEY, owner TEXT NOT NULL);
PRAGMA user_version = {FORMAT};
"""
#: Seconds to wait for another process's transaction.
PATIENCE = 60.0


class StoreError(OSError):
    """The file cannot be read or written; what is in it stays as it is."""


class FileWatch:
    """Notices when the file of an open database is deleted, replaced or cut off.

    SQLite goes on with the file that it has opened, though nobody can find it any more.

    Args:
        path: of the file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, FILE)
        ...     _ = path.write_bytes(b"")
        ...     watch = FileWatch(path)
        ...     path.unlink()
        ...     watch.check()
        Traceback (most recent call last):
        ...
        captum_ext.study.store.sqlite.StoreError: '...study.sqlite' was deleted while ...
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        found = path.stat()
        self._place, self._size = (found.st_dev, found.st_ino), found.st_size

    def check(self) -> None:
        """Looks at the file, without opening it: to close it would give up SQLite's locks.

        Raises:
            StoreError: it is not the one that was opened, or smaller.
        """
        try:
            found = self.path.stat()
        except OSError:
            self._refuse("deleted")
        if (found.st_dev, found.st_ino) != self._place:
            self._refuse("replaced by another file")
        if found.st_size < self._size:
            self._refuse("cut off")
        self._size = found.st_size

    def _refuse(self, what: str) -> NoReturn:
        raise StoreError(
            f"{str(self.path)!r} was {what} while the study ran, and with it what was computed. "
            "Put it back, or give the same command again to start anew"
        )


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """A study's database, to be read only, also while others write.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise StoreError(f"{str(folder)!r} holds no study: there is no {FILE}")
    with explained(folder):
        try:
            database = connect(path, "mode=ro")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            log = folder / f"{FILE}-wal"
            if log.exists() and log.stat().st_size:
                raise
            # Where nothing can be written, not even the list of who reads.
            database = connect(path, "mode=ro&immutable=1")
        with closing(database):
            if not is_made(database):
                raise StoreError(f"{str(folder)!r} holds no study: {FILE} is empty")
            check_format(database, folder)
            yield database


def connect(path: Path, how: str = "mode=rwc") -> sqlite3.Connection:
    if os.path.isdir(path):
        raise StoreError(f"{str(path)!r} must be a file; it is a folder. Take another folder")
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}", uri=True, timeout=PATIENCE, isolation_level=None
    )
    try:
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    if verdict != "ok":
        database.close()
        raise sqlite3.DatabaseError(verdict)
    return database


def is_made(database: sqlite3.Connection) -> bool:
    return bool(database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone())


def check_format(database: sqlite3.Connection, folder: Path) -> None:
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if not found:
        raise StoreError(
            f"{str(folder / FILE)!r} is the database of another program. It is left as it is; take "
            "another folder"
        )
    if found != FORMAT:
        raise StoreError(
            f"{str(folder / FILE)!r} has format {found}; this version of captum_ext reads {FORMAT}"
        )
    there = _columns(database)
    for table, columns in _expected_columns().items():
        missing = sorted(columns - there.get(table, set()))
        if missing:
            what = f"columns {', '.join(missing)}" if table in there else "all its columns"
            raise sqlite3.DatabaseError(f"its table {table} lacks {what}")


_COLUMNS_OF = "SELECT name FROM pragma_table_info(?)"


def _columns(database: sqlite3.Connection) -> dict[str, set[str]]:
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {
        table: {
            row[0] for row in database.execute("SELECT name FROM pragma_table_info(?)", [table])
        }
        for (table,) in tables
    }


@lru_cache(maxsize=1)
def _expected_columns() -> dict[str, set[str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES)
        return _columns(database)


@contextmanager
def understood() -> Iterator[None]:
    """Says of contents that are not a study's that the file is damaged.

    Raises:
        sqlite3.DatabaseError: in place of what Python raises of them; :func:`explained` tells it.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(f"its contents are not a study's: {one_line(error)}") from error
    except RecursionError as error:
        raise sqlite3.DatabaseError("its contents are nested too deeply") from error


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Says what an error of SQLite or the file system means for the study.

    Raises:
        StoreError: in place of it.
    """
    path = folder / FILE
    try:
        yield
    except StoreError:
        raise
    except (sqlite3.OperationalError, UnicodeDecodeError) as error:
        if "decode" in str(error):  # SQLite's own message quotes the whole text.
            raise StoreError(_damaged(path, "its texts are not UTF-8")) from error
        raise StoreError(
            f"{str(path)!r} cannot be used: {one_line(error)}. What is stored stays; mend it and "
            "give the same command again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(_damaged(path, one_line(error))) from error
    except OSError as error:
        raise StoreError(
            f"{str(folder)!r} cannot be written: {error.strerror or one_line(error)}. What is "
            "stored stays; mend it and give the same command again"
        ) from error


def _damaged(path: Path, why: str) -> str:
    return (
        f"{str(path)!r} is damaged or no study's: {why}. It is left as it is; move it away, or "
        "take another folder"
    )
