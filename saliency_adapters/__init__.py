"""PAIR saliency adapters: captum_ext's methods as ``CoreSaliency`` classes.

Every method of captum_ext itself (or of a third party) that needs no torch module has an adapter of
the same name here, made from its spec. :class:`IG2` and :class:`GuidedIG` have their own files,
because they take the arguments of their published NumPy versions, :class:`SegmentPerturbation`
because its arguments are parts. After ``captum_ext.register()``
the adapters can be imported from ``saliency.core`` too (where PAIR's own ``GuidedIG`` stays what it
is). :class:`FromCaptum` runs any Captum method.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

import saliency.core
from saliency.core.base import CoreSaliency

from captum_ext import methods
from captum_ext.registry import new_classes
from captum_ext.spec import MethodSpec
from saliency_adapters.from_captum import FromCaptum
from saliency_adapters.guided_ig import GuidedIG
from saliency_adapters.ig2 import IG2
from saliency_adapters.segment_perturbation import SegmentPerturbation

__all__ = ["IG2", "FromCaptum", "GuidedIG", "SegmentPerturbation", "adapters", "namespace"]

#: The adapters that are written by hand, by the name of their method.
_WRITTEN: dict[str, type[CoreSaliency]] = {
    "guided_ig": GuidedIG,
    "ig2": IG2,
    "segment_perturbation": SegmentPerturbation,
}


def adapters() -> dict[str, type[CoreSaliency]]:
    """The adapters by class name: one for each new method that any model's owner can use.

    Example:
        >>> {"GuidedIG", "IG2"} <= set(adapters())
        True
    """
    return dict(_adapters())


@cache
def _adapters() -> dict[str, type[CoreSaliency]]:
    found: dict[str, type[CoreSaliency]] = {cls.__name__: cls for cls in _WRITTEN.values()}
    for spec in methods():
        known = spec.origin in ("captum", "saliency") or spec.name in _WRITTEN
        if not known and not spec.needs_module:
            name = spec.attribution.__name__
            if name in found:  # a second method of the same class goes by its own name
                name = "".join(part.capitalize() for part in spec.name.split("_"))
            found[name] = _adapter(name, spec)
    for name, cls in new_classes().items():
        if cls.__name__ in found:  # another name of the same class
            found.setdefault(name, found[cls.__name__])
    return found


def namespace() -> tuple[ModuleType, Mapping[str, type]]:
    """What ``captum_ext.register()`` puts where: this package's adapters into ``saliency.core``."""
    return saliency.core, _adapters()


def __dir__() -> list[str]:
    return sorted({*globals(), *_adapters()})


def __getattr__(name: str) -> type[CoreSaliency]:
    try:
        return _adapters()[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def _adapter(name: str, spec: MethodSpec) -> type[FromCaptum]:
    def build(self: FromCaptum, **settings: Any) -> None:
        FromCaptum.__init__(self, spec, **settings)

    summary = (spec.attribution.__doc__ or spec.title).strip().splitlines()[0]
    return type(
        name,
        (FromCaptum,),
        {"__init__": build, "__doc__": summary, "__module__": __name__},
    )
