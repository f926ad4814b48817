"""Models of timm, with their weights' preprocessing and class names."""

from __future__ import annotations

from types import ModuleType

from torch import nn

from captum_ext.checks import check_choice
from captum_ext.models.checkpoint import load_checkpoint
from captum_ext.models.classifier import Preprocessing
from captum_ext.models.found import (
    DEFAULT,
    NONE,
    Found,
    as_pair,
    existing_file,
    fetched,
    known_interpolation,
    require,
    untrained,
)
from captum_ext.models.view import View


def from_timm(name: str, weights: str) -> Found:
    timm = require("timm")
    if not timm.is_model(name.split(".", maxsplit=1)[0]) and ":" not in name:
        check_choice(name, "model", timm.list_models())

    def make(n_classes: int | None) -> nn.Module:
        settings = {} if n_classes is None else {"num_classes": n_classes}
        return untrained(lambda: timm.create_model(name, pretrained=False, **settings))

    trained_names = True
    if weights == NONE:
        network, trained_names = make(None), False
    elif weights == DEFAULT:
        with fetched(f"weights of timm's {name}", "Hugging Face's hub"):
            network = timm.create_model(name, pretrained=True)
    else:
        network, n_classes = load_checkpoint(make, existing_file(weights))
        trained_names = n_classes is None
    wanted = timm.data.resolve_model_data_config(network)
    size = as_pair(wanted["input_size"][1:])
    before = tuple(int(side / wanted["crop_pct"]) for side in size)
    squash = wanted.get("crop_mode") == "squash" or size[0] != size[1]
    view = View(
        size,
        (before[0], before[1]) if squash else before[0],
        known_interpolation(wanted["interpolation"]),
    )
    return Found(
        network,
        Preprocessing(tuple(wanted["mean"]), tuple(wanted["std"]), view),
        _timm_names(timm, network) if trained_names else None,
    )


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
