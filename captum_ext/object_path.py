"""Objects of Python by where they are written: ``"package.module:name"``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from captum_ext.checks import one_line

_PATH = re.compile(r"[\w.]+:[\w.]+")


def is_object_path(text: Any) -> bool:
    """Whether a text has the form ``package.module:name``.

    Example:
        >>> is_object_path("numpy:ndarray.sum"), is_object_path("owner/model")
        (True, False)
    """
    return isinstance(text, str) and bool(_PATH.fullmatch(text))


def import_object(path: str, what: str) -> Any:
    """The object at ``package.module:name``; modules of the working folder count.

    Args:
        path: where it is.
        what: the argument's name, for the error message.

    Raises:
        ValueError: the module or the name cannot be imported.

    Example:
        >>> import_object("math:pi", "number")
        3.141592653589793
    """
    module, _, name = path.partition(":")
    try:
        with _here_on_path():
            result = import_module(module)
        for part in name.split("."):
            result = getattr(result, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may exit()
        why = f"{type(error).__name__}: {one_line(error)}"
        raise ValueError(f"{what} {path!r} cannot be imported: {why}") from error
    return result


@contextmanager
def _here_on_path() -> Iterator[None]:
    """Lets modules of the working folder be imported, as ``python -m`` does."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
