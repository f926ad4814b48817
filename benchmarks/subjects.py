"""Photographs and models that the benchmarks share."""

from __future__ import annotations

import argparse

import numpy as np
import skimage.data
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from captum_ext.baselines import IMAGENET_MEAN, IMAGENET_STD
from captum_ext.forward import Preprocessed

#: Photographs that ship inside scikit-image, taken where no files are given.
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")


def photograph(source: str, size: int) -> Tensor:
    """``[3, size, size]`` in [0, 1], resized, not cropped."""
    if source in PHOTOGRAPHS:
        image = Image.fromarray(getattr(skimage.data, source)())
    else:
        image = Image.open(source)
    resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).movedim(-1, 0) / 255


def load_model(name: str, weights: str) -> nn.Module:
    """A torchvision classifier that takes RGB in [0, 1].

    Args:
        name: of the model, as ``"squeezenet1_0"``.
        weights: ``"imagenet"`` (torchvision's own, which it downloads), ``"random"``, or the path
            of a state dict.
    """
    if weights == "imagenet":
        model = torchvision.models.get_model(name, weights="DEFAULT")
    else:
        torch.manual_seed(0)
        model = torchvision.models.get_model(name, weights=None)
        if weights != "random":
            model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return Preprocessed(model, IMAGENET_MEAN, IMAGENET_STD).eval()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What :func:`photograph` and :func:`load_model` are to be told, as command line arguments."""
    parser.add_argument(
        "--images",
        nargs="+",
        default=PHOTOGRAPHS,
        help="files, or scikit-image's " + "/".join(PHOTOGRAPHS),
    )
    parser.add_argument("--model", default="squeezenet1_0", help="a torchvision classifier")
    parser.add_argument("--weights", default="imagenet", help="imagenet, random, or a state dict")
