"""Specs beside the code that they are about: how a package's are collected."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def specs_in(package: str, word: str) -> tuple[Any, ...]:
    """The specs that the modules of a package declare, one as ``word`` or several as its plural.

    Args:
        package: its name.
        word: the name of a module's constant.

    Example:
        >>> [spec.name for spec in specs_in("captum_ext.exam", "EXAM_MODEL")]
        ['center_pixel', 'additive', 'and_or', 'saturation']
    """
    specs: list[Any] = []
    for module_info in iter_modules(import_module(package).__path__, prefix=f"{package}."):
        module = import_module(module_info.name)
        specs.extend(getattr(module, f"{word}S", ()))
        if hasattr(module, word):
            specs.append(getattr(module, word))
    return tuple(specs)


def check_name(name: str) -> None:
    """Refuses a spec's name that is no lower-case identifier.

    Raises:
        ValueError: it says which.

    Example:
        >>> check_name("saliency")
    """
    if not name.isidentifier() or name != name.lower():
        raise ValueError(f"name must be a lower-case identifier; got {name!r}")
