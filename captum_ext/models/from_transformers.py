"""Models of Hugging Face transformers: their logits, their processors' preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import nn

from captum_ext.baselines import IMAGENET_MEAN, IMAGENET_STD
from captum_ext.choices import OUTPUT_KINDS
from captum_ext.models.checkpoint import load_checkpoint
from captum_ext.models.classifier import Preprocessing
from captum_ext.models.framing import Framing
from captum_ext.models.from_timm import preprocessing_of
from captum_ext.models.library_model import (
    DEFAULT,
    HUB,
    KEPT,
    NONE,
    USUAL_SIDE,
    LibraryModel,
    existing_file,
    fetched,
    require,
    untrained,
)

#: No code that comes with the weights is run.
OWN_CODE = {"trust_remote_code": False}
#: From this side on, ConvNeXt's processor takes the whole picture.
CONVNEXT_WHOLE = 384
#: The part of a picture that LeViT's processor takes of a side.
LEVIT_PART = 224 / 256
#: Pillow's numbers of interpolations.
INTERPOLATION_OF = {0: "nearest", 1: "lanczos", 3: "bicubic"}
#: The kind of outputs that a configuration's ``problem_type`` means.
OUTPUTS_OF_PROBLEM = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "scores",
}
#: By how much what is made of a picture may differ from what its processor makes, in the mean.
ROUNDING = 0.01

T = TypeVar("T")


class Logits(nn.Module):
    """The logits of a model that puts them into an output of several parts.

    Args:
        model: such a model.
        bgr: it takes blue, green, red in place of RGB.
    """

    def __init__(self, model: nn.Module, *, bgr: bool = False) -> None:
        super().__init__()
        self.model = model
        self.bgr = bgr
        self.training = model.training

    def forward(self, x: Any) -> Any:
        output = self.model(x.flip(1) if self.bgr else x)
        return getattr(output, "logits", output)


def from_transformers(name: str, weights: str) -> LibraryModel:
    transformers = require("transformers")
    local = Path(name).is_dir()

    def fetch(what: str, load: Callable[[], T]) -> T:
        with fetched(f"{what} of {name}", "its folder" if local else HUB, "" if local else KEPT):
            return load()

    auto = transformers.AutoModelForImageClassification
    names = True
    if weights == DEFAULT:
        network = fetch("weights", lambda: auto.from_pretrained(name, **OWN_CODE))
    else:
        config = fetch(
            "configuration", lambda: transformers.AutoConfig.from_pretrained(name, **OWN_CODE)
        )

        def make(n_classes: int | None) -> nn.Module:
            if n_classes is not None:
                config.num_labels = n_classes
            return fetch("model", lambda: untrained(lambda: auto.from_config(config, **OWN_CODE)))

        if weights == NONE:
            network, names = make(None), False
        else:
            network, n_classes = load_checkpoint(make, existing_file(weights))
            names = n_classes is None
    processor = fetch(
        "image processor",
        lambda: transformers.AutoImageProcessor.from_pretrained(name, **OWN_CODE),
    )
    wanted = processor.to_dict()
    logits = Logits(network, bgr=bool(wanted.get("do_flip_channel_order")))
    preprocessing = preprocessing_of_processor(wanted)
    if not _does_as(processor, preprocessing, logits.bgr):
        raise ValueError(
            f"{type(processor).__name__} of {name} does more to a picture than to resize, cut and "
            "normalize it; give the model itself in place of its name, with its mean, std and size"
        )
    labels = label_names(network) if names else None
    return LibraryModel(logits, preprocessing, labels, kind_of_outputs(network))


def preprocessing_of_processor(wanted: Mapping[str, Any]) -> Preprocessing:
    """What a processor of transformers says that it does to a picture."""
    if "data_config" in wanted:
        return preprocessing_of(wanted["data_config"])
    kind = wanted.get("image_processor_type") or ""
    size, crop = wanted.get("size") or {}, wanted.get("crop_size") or {}
    edge = size.get("shortest_edge")
    whole = (size.get("height", edge or USUAL_SIDE), size.get("width", edge or USUAL_SIDE))
    seen = whole
    if wanted.get("do_center_crop"):
        seen = (crop.get("height", whole[0]), crop.get("width", whole[1]))
    resize: int | tuple[int, int] = whole
    if edge and not (kind.startswith("ConvNext") and edge >= CONVNEXT_WHOLE):
        part = LEVIT_PART if kind.startswith("Levit") else wanted.get("crop_pct") or 1
        resize = int(edge / part)
    view = Framing(seen, resize, INTERPOLATION_OF.get(wanted.get("resample", 2), "bilinear"))

    normalizes = wanted.get("do_normalize")
    mean = _per_channel(wanted.get("image_mean", IMAGENET_MEAN) if normalizes else 0)
    std = _per_channel(wanted.get("image_std", IMAGENET_STD) if normalizes else 1)
    # The processor's numbers are of values from 0 to 255, times its factor, less its offset.
    factor = 255 * wanted.get("rescale_factor", 1 / 255) if wanted.get("do_rescale") else 255
    offset = 1 if wanted.get("rescale_offset") else 0
    # EfficientNet's divides twice.
    again = std if kind.startswith("EfficientNet") and wanted.get("include_top") else (1.0,) * 3
    own_mean = [(value + offset) / factor for value in mean]
    own_std = [value * other / factor for value, other in zip(std, again, strict=True)]
    if wanted.get("do_flip_channel_order"):
        own_mean, own_std = own_mean[::-1], own_std[::-1]
    return Preprocessing(tuple(own_mean), tuple(own_std), view)


def _per_channel(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,) * 3


def _does_as(processor: Callable[..., Any], preprocessing: Preprocessing, bgr: bool) -> bool:
    """Whether a picture becomes what the processor itself makes of it.

    The picture is smooth, so that it does not matter how pixels are found between pixels, and its
    sides, channels and corners differ.
    """
    down, right = torch.linspace(0, 1, 300)[:, None], torch.linspace(0, 1, 400)[None]
    picture = torch.stack([down.expand(300, 400), right.expand(300, 400), 1 - down * right])
    pixels = (picture * 255).round().byte().movedim(0, -1).numpy()
    try:
        made = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"][0]
    except Exception:
        return False
    seen = preprocessing.view(picture)
    mean, std = (
        torch.tensor(each)[:, None, None] for each in (preprocessing.mean, preprocessing.std)
    )
    if made.shape != seen.shape:
        return False
    made = made.flip(0) if bgr else made
    # Where what is cut off is odd, the middle may be a pixel aside.
    allowed = ROUNDING + 0.5 / min(preprocessing.view.size)
    return float((made * std + mean - seen).abs().mean()) < allowed


def label_names(network: nn.Module) -> list[str] | None:
    """The class names in the configuration of a model of transformers; None for placeholders."""
    named: Mapping[int, str] = getattr(getattr(network, "config", None), "id2label", None) or {}
    names = [named[index] for index in sorted(named)]
    placeholders = [f"LABEL_{index}" for index in range(len(names))]
    return names if names and names != placeholders else None


def kind_of_outputs(network: nn.Module) -> str:
    """The kind of outputs that the configuration of a model of transformers tells."""
    problem = getattr(getattr(network, "config", None), "problem_type", None)
    return OUTPUTS_OF_PROBLEM.get(problem or "", OUTPUT_KINDS[0])


def is_of_transformers(network: nn.Module) -> bool:
    """Whether a model gives the outputs of several parts that transformers' models do."""
    kinds = [kind.__module__.split(".")[0] for kind in type(network).__mro__]
    return "transformers" in kinds
