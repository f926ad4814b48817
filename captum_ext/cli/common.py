"""What the commands share: exit codes, lists of methods, folders to write to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_ext.value_checks import one_line

if TYPE_CHECKING:
    from captum_ext.spec import MethodSpec

#: Some of what was asked for failed, and some did not.
FAILED_IN_PART = 1
BAD_INPUT = 2
INTERRUPTED = 130


def chosen_methods(names: str) -> list[MethodSpec]:
    """The methods of a list of names, separated by commas, each once; ``"all"`` gives all.

    A name may be ``package.module:SPEC``, where a spec or a class is written.

    Raises:
        ValueError: an unknown name, what is no method, or none at all.

    Example:
        >>> [spec.name for spec in chosen_methods("saliency, lime,saliency")]
        ['saliency', 'lime']
    """
    from captum_ext.registry import as_spec, methods

    if names == "all":
        return methods()
    with bad_input():
        chosen = [as_spec(name.strip()) for name in names.split(",") if name.strip()]
    if not chosen:
        raise ValueError("methods must name at least one method, or be 'all'")
    return list({spec.name: spec for spec in chosen}.values())


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line; with the class of an error that says little without it.

    Example:
        >>> reason_of(ValueError("size must be 3")), reason_of(ZeroDivisionError("by zero"))
        ('size must be 3', 'ZeroDivisionError: by zero')
    """
    message, name = one_line(error), type(error).__name__
    if isinstance(error, MemoryError) and message == name:
        return "not enough memory"
    plain = isinstance(error, ValueError | TypeError | OSError | MemoryError)
    return message if plain or message.startswith(name) else f"{name}: {message}"


@contextmanager
def bad_input() -> Iterator[None]:
    """On the command line, a wrong type is bad input like any other.

    Raises:
        ValueError: in place of a TypeError.
    """
    try:
        yield
    except TypeError as error:
        raise ValueError(str(error)) from error


def check_writable(folder: Path) -> None:
    """Refuses a folder in which nothing can be written, before there is anything to write.

    Raises:
        ValueError: it names the folder.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"out {str(folder)!r} cannot be written: {there} is no such folder")


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Makes a folder; one line where it, or what is written there, cannot be.

    Raises:
        ValueError: it names the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise ValueError(f"out {str(folder)!r} cannot be written: {reason}") from error


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of the command, as plain values."""
    settings = {name: value for name, value in vars(args).items() if name != "run"}
    return settings | {"out": str(args.out)}


def natural_seed(seed: int) -> int:
    """A seed that all generators take.

    Raises:
        ValueError: another one.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to {2**32 - 1}; got {seed}")
    return seed
