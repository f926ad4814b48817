"""Models of timm, with their weights' preprocessing and class names."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import nn

from captum_ext.checks import check_choice
from captum_ext.models.checkpoint import load_checkpoint
from captum_ext.models.classifier import Preprocessing
from captum_ext.models.framing import Framing
from captum_ext.models.library_model import (
    DEFAULT,
    HUB,
    INSTEAD,
    KEPT,
    NONE,
    LibraryModel,
    as_pair,
    existing_file,
    fetched,
    known_interpolation,
    require,
    untrained,
)


def from_timm(name: str, weights: str) -> LibraryModel:
    timm = require("timm")
    if ":" not in name:
        architecture, _, tag = name.partition(".")
        if not timm.is_model(architecture):
            check_choice(name, "model", timm.list_models())
        if tag:
            check_choice(name, "model", timm.list_models(architecture, pretrained=True))

    def make(n_classes: int | None) -> nn.Module:
        settings = {} if n_classes is None else {"num_classes": n_classes}
        with fetched(f"timm's {name}", HUB, KEPT):
            return untrained(lambda: timm.create_model(name, pretrained=False, **settings))

    trained_names = True
    if weights == NONE:
        network, trained_names = make(None), False
    elif weights == DEFAULT:
        with fetched(f"weights of timm's {name}", HUB, INSTEAD):
            network = timm.create_model(name, pretrained=True)
    else:
        network, n_classes = load_checkpoint(make, existing_file(weights))
        trained_names = n_classes is None
    names = _timm_names(timm, network) if trained_names else None
    return LibraryModel(network, timm_preprocessing(network), names)


def is_of_timm(network: nn.Module) -> bool:
    """Whether a model tells, as timm's do, what its weights were trained on."""
    return isinstance(getattr(network, "pretrained_cfg", None), Mapping)


def timm_preprocessing(network: nn.Module) -> Preprocessing:
    return preprocessing_of(require("timm").data.resolve_model_data_config(network))


def preprocessing_of(wanted: Mapping[str, Any]) -> Preprocessing:
    """What timm's configuration of the data says."""
    size = as_pair(wanted["input_size"][1:])
    before = as_pair([int(side / wanted["crop_pct"]) for side in size])
    squash = wanted.get("crop_mode") == "squash" or size[0] != size[1]
    interpolation = known_interpolation(wanted["interpolation"])
    view = Framing(size, before if squash else before[0], interpolation)
    return Preprocessing(tuple(wanted["mean"]), tuple(wanted["std"]), view)


def _timm_names(timm: ModuleType, network: nn.Module) -> list[str] | None:
    """Of ImageNet's classes, which most of its models tell apart."""
    given = (getattr(network, "pretrained_cfg", None) or {}).get("label_names")
    if given:
        return list(given)
    subset = timm.data.infer_imagenet_subset(network)
    if not subset:
        return None
    info = timm.data.ImageNetInfo(subset)
    return [info.index_to_description(index) for index in range(info.num_classes())]
