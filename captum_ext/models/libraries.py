"""Models by name, from the library that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from captum_ext.checks import unknown
from captum_ext.models.from_timm import from_timm
from captum_ext.models.from_torchvision import from_torchvision, torchvision_names
from captum_ext.models.from_transformers import from_transformers
from captum_ext.models.library_model import LibraryModel, installed

LIBRARIES: dict[str, Callable[[str, str], LibraryModel]] = {
    "torchvision": from_torchvision,
    "timm": from_timm,
    "transformers": from_transformers,
}


def find(name: str, weights: str) -> LibraryModel:
    """A model by its name, from the library that has it.

    Args:
        name: of torchvision, timm or transformers (a hub's ``"owner/name"``, or a folder); with
            ``"timm:"`` (and so on) before it, of that library only.
        weights: ``"DEFAULT"``, ``"none"``, a name that the library knows, or a checkpoint's path.

    Raises:
        ValueError: an unknown name, with the nearest ones; a library that is not installed;
            weights that cannot be had or do not fit.
    """
    library, _, rest = name.partition(":")
    if library in LIBRARIES and rest:
        return LIBRARIES[library](rest, weights)
    if name in torchvision_names():
        return from_torchvision(name, weights)
    timm = installed("timm")
    if timm is not None and timm.is_model(name.split(".", maxsplit=1)[0]):
        return from_timm(name, weights)
    if "/" in name or Path(name).is_dir():
        return from_transformers(name, weights)
    others = timm.list_models() if timm is not None else []
    raise unknown(name, "model", dict.fromkeys([*torchvision_names(), *others]))
