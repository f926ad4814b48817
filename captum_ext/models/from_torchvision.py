"""Models of torchvision, with its weights' preprocessing and class names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from torch import nn

from captum_ext.checks import check_choice
from captum_ext.models.checkpoint import load_checkpoint
from captum_ext.models.classifier import Preprocessing
from captum_ext.models.framing import Framing
from captum_ext.models.library_model import (
    DEFAULT,
    INSTEAD,
    NONE,
    LibraryModel,
    as_pair,
    existing_file,
    fetched,
    known_interpolation,
    untrained,
)


def torchvision_names() -> list[str]:
    """Its classifiers."""
    library = _models()
    names: list[str] = library.list_models(module=library)
    return names


def from_torchvision(name: str, weights: str) -> LibraryModel:
    check_choice(name, "model", torchvision_names())
    library = _models()
    known = library.get_model_weights(name)
    chosen = known.DEFAULT

    def make(n_classes: int | None) -> nn.Module:
        settings = {} if n_classes is None else {"num_classes": n_classes}
        return untrained(lambda: library.get_model(name, weights=None, **settings))

    names: Sequence[str] | None = None
    if weights == NONE:
        network = make(None)
    elif weights == DEFAULT or weights in known.__members__:
        chosen = known.DEFAULT if weights == DEFAULT else known[weights]
        with fetched(f"weights {chosen.name} of {name}", chosen.url, INSTEAD):
            network = library.get_model(name, weights=chosen)
        names = chosen.meta["categories"]
    else:
        network, n_classes = load_checkpoint(make, existing_file(weights, known.__members__))
        names = chosen.meta["categories"] if n_classes is None else None
    wanted = chosen.transforms()
    size = as_pair(wanted.crop_size)
    resize = wanted.resize_size
    view = Framing(
        size,
        resize[0] if len(resize) == 1 else as_pair(resize),
        known_interpolation(wanted.interpolation.value),
    )
    preprocessing = Preprocessing(tuple(wanted.mean), tuple(wanted.std), view)
    return LibraryModel(network, preprocessing, names, "softmax")


def _models() -> ModuleType:
    # Imported at first use: a user's own model does not need it.
    return import_module("torchvision.models")
