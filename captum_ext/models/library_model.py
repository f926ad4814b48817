"""What libraries of models share: what they give, and what may go wrong on the way."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import nn

from captum_ext.checks import one_line
from captum_ext.choices import OUTPUT_KINDS
from captum_ext.models.classifier import Preprocessing
from captum_ext.models.framing import INTERPOLATIONS
from captum_ext.models.state_dicts import file_and_key
from captum_ext.randomness import global_seed

#: Words for weights beside files and names that a library knows.
DEFAULT, NONE = "DEFAULT", "none"
HUB = "Hugging Face's hub"
#: What an error advises.
KEPT = "once online, the file is kept for later"
INSTEAD = f"{KEPT}, or give weights: a checkpoint's path, or {NONE} for random ones"
#: A side of the images that most models are trained on.
USUAL_SIDE = 224


@dataclass(frozen=True)
class LibraryModel:
    """A model as its library has it.

    Attributes:
        network: takes normalized images, gives ``[B, classes]``.
        preprocessing: what it wants of a picture.
        class_names: where they are known.
        outputs: their kind, one of :data:`captum_ext.choices.OUTPUT_KINDS`.
    """

    network: nn.Module
    preprocessing: Preprocessing
    class_names: Sequence[str] | None = None
    outputs: str = OUTPUT_KINDS[0]


def untrained(make: Callable[[], nn.Module]) -> nn.Module:
    """The same random weights each time."""
    with global_seed(0):
        return make()


def existing_file(weights: str, names: Iterable[str] = ()) -> str:
    """The path of weights that are neither a word nor a name that the library knows.

    Raises:
        ValueError: there is nothing; ``names`` are told.
    """
    if os.path.exists(file_and_key(weights)[0]):
        return weights
    others = "".join(f"{name}, " for name in names if name != DEFAULT)
    raise ValueError(
        f"weights must be {DEFAULT}, {NONE}, {others}or a file; {weights!r} is none of these"
    )


def as_pair(sides: Sequence[int]) -> tuple[int, int]:
    return int(sides[0]), int(sides[-1])


def known_interpolation(name: str) -> str:
    return name if name in INTERPOLATIONS else "bilinear"


def installed(package: str) -> ModuleType | None:
    try:
        return import_module(package)
    except ImportError:
        return None


def require(package: str) -> ModuleType:
    library = installed(package)
    if library is None:
        raise ValueError(f"model needs the package {package}: pip install 'captum_ext[{package}]'")
    return library


@contextmanager
def fetched(what: str, source: str, advice: str = "") -> Iterator[None]:
    """One line for whatever goes wrong where something is fetched."""
    try:
        with _reachable_hub() if source == HUB else nullcontext():
            yield
    except Exception as error:
        reason = one_line(error)[:200]
        raise ValueError(
            f"{what} could not be had from {source} ({reason}){advice and '; '}{advice}"
        ) from error


@contextmanager
def _reachable_hub() -> Iterator[None]:
    """Takes Hugging Face's library offline where its hub's name is not known.

    Otherwise it asks for half a minute, also for what it has kept, before it takes that.
    """
    constants: Any = installed("huggingface_hub.constants")
    if constants is None or constants.HF_HUB_OFFLINE or getproxies() or _known(constants.ENDPOINT):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _known(address: str) -> bool:
    try:
        socket.getaddrinfo(urlsplit(address).hostname, None)
    except OSError:
        return False
    return True
