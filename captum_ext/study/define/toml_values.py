"""TOML files with plain values, and checks of their keys and kinds that say where an error is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from captum_ext.value_checks import check_choice, described, one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Tables and lists within one another, far more than a study needs.
MOST_LEVELS = 20
#: TOML's whole numbers have 64 bits; Python reads longer ones, which torch and SQLite refuse.
WHOLE_NUMBERS = range(-(2**63), 2**63)
_KINDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: of the file.

    Raises:
        ValueError: a file that cannot be read or is no TOML; values that are nested too deeply,
            whole numbers of more than 64 bits.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "study.toml")
        ...     _ = path.write_text("seeds = [0, 1]")
        ...     read_toml(path)
        {'seeds': [0, 1]}
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        _check_values(content)
    except RecursionError:
        raise ValueError(
            f"study {str(path)!r} cannot be read: values must be nested at most {MOST_LEVELS} "
            "levels deep"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or one_line(error)
        if "int_max_str_digits" in why:
            why = "a whole number has more than 64 bits"
        raise ValueError(f"study {str(path)!r} cannot be read: {why}") from error
    return content


def _check_values(content: Any) -> None:
    """Refuses what Python reads from TOML and nothing else can use."""
    left = [("", content, 0)]
    while left:
        place, value, level = left.pop()
        if level > MOST_LEVELS:
            raise ValueError(
                f"values must be nested at most {MOST_LEVELS} levels deep; {place[:40]!r} is deeper"
            )
        if isinstance(value, dict):
            left += [(f"{place}.{key}".lstrip("."), each, level + 1) for key, each in value.items()]
        elif isinstance(value, list):
            left += [
                (f"{place}[{number}]", each, level + 1) for number, each in enumerate(value, 1)
            ]
        elif isinstance(value, int) and value not in WHOLE_NUMBERS:
            raise ValueError(
                f"{place[:80]} must be a whole number of at most 64 bits; got {described(value)}"
            )


def check_table(
    table: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], needed: Sequence[str]
) -> None:
    """Refuses a table of a TOML file with an unknown key, a missing one, a value of a wrong kind.

    Args:
        table: its values by their keys.
        known: the kinds of values that each key may have.
        needed: keys that must be there.

    Raises:
        ValueError: it says all that is wrong.

    Example:
        >>> check_table({"seed": 1}, {"seeds": (list,)}, ["seeds"])
        Traceback (most recent call last):
        ...
        ValueError: unknown key 'seed'; did you mean 'seeds'? (seeds); there must be 'seeds'
    """
    problems = Problems()
    for key, value in table.items():
        with problems.at():
            check_choice(key, "key", known)
            check_kind(value, known[key], key)
    missing = [key for key in needed if key not in table]
    with problems.at():
        if missing:
            raise ValueError(f"there must be {', '.join(map(repr, missing))}")
    problems.check()


def check_kind(value: Any, kinds: tuple[type, ...], what: str) -> None:
    """Refuses a value that is of none of some kinds.

    Raises:
        ValueError: it says what it must be.

    Example:
        >>> check_kind([3], (list, str), "images")
    """
    # To Python, true is a whole number.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        allowed = " or ".join(_KINDS[kind] for kind in kinds)
        raise ValueError(f"{what} must be {allowed}; got {described(value)}")


class Problems:
    """Collects errors, so that all are told at once.

    Example:
        >>> problems = Problems()
        >>> for name in ("models[1]", "models[2]"):
        ...     with problems.at(name):
        ...         raise ValueError("there must be 'model'")
        >>> problems.check()
        Traceback (most recent call last):
        ...
        ValueError: models[1]: there must be 'model'; models[2]: there must be 'model'
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self.kinds: set[type[TypeError | ValueError]] = set()

    @contextmanager
    def at(self, place: str = "") -> Iterator[None]:
        """Keeps a TypeError or ValueError, with the place where it is."""
        try:
            yield
        except (TypeError, ValueError) as error:
            self.kinds.add(TypeError if isinstance(error, TypeError) else ValueError)
            self.found.append(f"{place}: {one_line(error)}" if place else one_line(error))

    def check(self) -> None:
        """Raises what was kept, where there is something.

        Raises:
            TypeError: each kept error is one.
            ValueError: otherwise.
        """
        if self.found:
            kind = TypeError if self.kinds == {TypeError} else ValueError
            raise kind("; ".join(dict.fromkeys(self.found)))
