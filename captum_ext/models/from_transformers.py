"""Models of Hugging Face transformers: their logits, their processors' preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from captum_ext.baselines import IMAGENET_MEAN, IMAGENET_STD
from captum_ext.models.checkpoint import load_checkpoint
from captum_ext.models.classifier import Preprocessing
from captum_ext.models.found import (
    DEFAULT,
    NONE,
    USUAL_SIDE,
    Found,
    existing_file,
    fetched,
    require,
    untrained,
)
from captum_ext.models.view import View

#: From this side on, ConvNeXt's processor takes the whole picture.
CONVNEXT_WHOLE = 384
#: Pillow's numbers of interpolations.
INTERPOLATION_OF = {0: "nearest", 1: "lanczos", 3: "bicubic"}

T = TypeVar("T")


class Logits(nn.Module):
    """The logits of a model that puts them into an output of several parts."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, x: Any) -> Any:
        return self.model(x).logits


def from_transformers(name: str, weights: str) -> Found:
    transformers = require("transformers")
    here = "its folder" if Path(name).is_dir() else "Hugging Face's hub"

    def fetch(what: str, load: Callable[[], T]) -> T:
        with fetched(f"{what} of {name}", here):
            return load()

    auto = transformers.AutoModelForImageClassification
    names = True
    if weights == DEFAULT:
        network = fetch("weights", lambda: auto.from_pretrained(name))
    else:
        config = fetch("configuration", lambda: transformers.AutoConfig.from_pretrained(name))

        def make(n_classes: int | None) -> nn.Module:
            if n_classes is not None:
                config.num_labels = n_classes
            return untrained(lambda: auto.from_config(config))

        if weights == NONE:
            network, names = make(None), False
        else:
            network, n_classes = load_checkpoint(make, existing_file(weights))
            names = n_classes is None
    processor = fetch(
        "image processor", lambda: transformers.AutoImageProcessor.from_pretrained(name)
    )
    preprocessing = _of_processor(processor.to_dict())
    return Found(Logits(network), preprocessing, label_names(network) if names else None)


def _of_processor(wanted: Mapping[str, Any]) -> Preprocessing:
    """What a processor of transformers does to a picture."""
    size, crop = wanted.get("size") or {}, wanted.get("crop_size") or {}
    interpolation = INTERPOLATION_OF.get(wanted.get("resample", 2), "bilinear")
    edge = size.get("shortest_edge")
    if edge and not wanted.get("do_center_crop"):
        # ConvNeXt's: small ones are cut out of a larger picture.
        cut = edge < CONVNEXT_WHOLE
        around = int(edge / (wanted.get("crop_pct") or 1)) if cut else (edge, edge)
        view = View((edge, edge), around, interpolation)
    else:
        whole = (size.get("height", USUAL_SIDE), size.get("width", USUAL_SIDE))
        seen = (crop.get("height", whole[0]), crop.get("width", whole[1]))
        view = View(seen if wanted.get("do_center_crop") else whole, edge or whole, interpolation)
    # The processor's numbers are of values from 0 to 255, times its factor.
    factor = 255 * wanted.get("rescale_factor", 1 / 255) if wanted.get("do_rescale", True) else 255
    normalizes = wanted.get("do_normalize", True)
    mean = wanted.get("image_mean", IMAGENET_MEAN) if normalizes else (0.0,) * 3
    std = wanted.get("image_std", IMAGENET_STD) if normalizes else (1.0,) * 3
    return Preprocessing(
        tuple(value / factor for value in mean), tuple(value / factor for value in std), view
    )


def label_names(network: nn.Module) -> list[str] | None:
    """The class names in the configuration of a model of transformers; None for placeholders."""
    named: Mapping[int, str] = getattr(getattr(network, "config", None), "id2label", None) or {}
    names = [named[index] for index in sorted(named)]
    placeholders = [f"LABEL_{index}" for index in range(len(names))]
    return names if names and names != placeholders else None


def is_of_transformers(network: nn.Module) -> bool:
    """Whether a model gives the outputs of several parts that transformers' models do."""
    kinds = [kind.__module__.split(".")[0] for kind in type(network).__mro__]
    return "transformers" in kinds
