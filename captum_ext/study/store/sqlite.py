"""The SQLite file of a study: opened, checked, and its errors said in the study's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from captum_ext.value_checks import one_line

FILE = "study.sqlite"
#: Of the tables; another number is another program's.
FORMAT = 1
#: Seconds to wait for another process's transaction.
PATIENCE = 60.0


class StoreError(OSError):
    """The file cannot be read or written; what is in it stays as it is."""


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
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"{str(path)!r} cannot be used: {one_line(error)}. What is stored stays; mend it and "
            "give the same command again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{str(path)!r} is damaged or no study's: {one_line(error)}. It is left as it is; move "
            "it away, or take another folder"
        ) from error
    except OSError as error:
        raise StoreError(
            f"{str(folder)!r} cannot be written: {error.strerror or one_line(error)}. What is "
            "stored stays; mend it and give the same command again"
        ) from error
