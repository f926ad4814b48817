"""Names of a package that are imported when they are first used, so that it starts fast.

A package writes its imports for type checkers only, and gets the same at run time::

    if TYPE_CHECKING:
        from captum_ext.registry import methods
    else:
        __getattr__, __dir__ = lazy_names(__name__)
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package, which is being imported.

    Args:
        package: its name. What it imports from captum_ext in an ``if`` statement is imported at
            the first use of the name, and so are its submodules.

    Example:
        >>> import captum_ext.study
        >>> get, names = lazy_names("captum_ext.study")
        >>> get("FORMATS"), "run_study" in names()
        (('csv', 'parquet'), True)
    """
    module = sys.modules[package]
    homes = _homes(Path(str(module.__file__)))

    def get(name: str) -> Any:
        if name in homes:
            value = getattr(import_module(homes[name]), name)
        elif not name.startswith("__") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(module, name, value)
        return value

    return get, lambda: sorted({*vars(module), *homes})


def _homes(file: Path) -> dict[str, str]:
    """The module of each name that a file imports in an ``if`` statement."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    blocks = [node.body for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.name: str(node.module)
        for block in blocks
        for node in block
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
