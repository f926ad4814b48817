"""PAIR saliency adapters: captum_ext's methods as ``CoreSaliency`` classes.

Every perturbation or path method of captum_ext has an adapter of the same name here, made from its
spec. After ``captum_ext.register()`` they can be imported from ``saliency.core`` too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import ModuleType

import saliency.core

from captum_ext import methods
from captum_ext.spec import MethodSpec
from saliency_adapters.from_captum import FromCaptum

__all__ = ["FromCaptum", "adapters", "namespace"]


def adapters() -> dict[str, type[FromCaptum]]:
    """The adapters by class name: one for each new method that needs no torch module.

    Example:
        >>> all(issubclass(adapter, FromCaptum) for adapter in adapters().values())
        True
    """
    return dict(_adapters())


@cache
def _adapters() -> dict[str, type[FromCaptum]]:
    found: dict[str, type[FromCaptum]] = {}
    for spec in methods():
        if spec.origin != "captum" and not spec.needs_module:
            name = spec.attribution.__name__
            if name in found:  # a second method of the same class goes by its own name
                name = "".join(part.capitalize() for part in spec.name.split("_"))
            found[name] = _adapter(name, spec)
    return found


def namespace() -> tuple[ModuleType, Mapping[str, type]]:
    """What ``captum_ext.register()`` puts where: this package's adapters into ``saliency.core``."""
    return saliency.core, _adapters()


def __getattr__(name: str) -> type[FromCaptum]:
    try:
        return _adapters()[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def _adapter(name: str, spec: MethodSpec) -> type[FromCaptum]:
    def build(self: FromCaptum) -> None:
        FromCaptum.__init__(self, spec)

    summary = (spec.attribution.__doc__ or spec.title).strip().splitlines()[0]
    return type(
        name,
        (FromCaptum,),
        {"__init__": build, "__doc__": summary, "__module__": __name__},
    )
