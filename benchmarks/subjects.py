"""Images and models that the benchmarks share."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torchvision
from PIL import Image
from torch import Tensor, nn

import captum_ext
from benchmarks.resnet20 import ResNet20
from captum_ext.image_files import open_image, read_image
from captum_ext.models import Classifier

#: Those of :data:`captum_ext.image_files.EMBEDDED` that are taken where no files are given.
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
#: The model that is not torchvision's.
OWN_MODELS: dict[str, Callable[..., nn.Module]] = {"resnet20_cifar10": ResNet20}


def photograph(source: str | Path, size: int | None) -> Tensor:
    """``[3, size, size]`` in [0, 1], resized, not cropped; None leaves it as large as it is."""
    image = open_image(source)
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return read_image(image)


def cifar10(root: Path) -> Path:
    """An ``.npz`` of CIFAR-10's test images and labels, which torchvision downloads once."""
    path = root / "cifar10.npz"
    if not path.exists():
        dataset = torchvision.datasets.CIFAR10(root, train=False, download=True)
        root.mkdir(parents=True, exist_ok=True)
        np.savez(path, images=dataset.data, labels=dataset.targets)
    return path


def fingerprint(*tensors: Tensor) -> str:
    """Twelve hexadecimal digits that differ where tensors do."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def load_model(name: str, weights: str) -> Classifier:
    """A classifier that takes RGB in [0, 1].

    Args:
        name: as of :func:`captum_ext.load_model`, or one of :data:`OWN_MODELS`.
        weights: ``"imagenet"`` (the library's own, which it downloads), ``"random"``, or the path
            of a checkpoint.

    Raises:
        ValueError: as :func:`captum_ext.load_model`.
    """
    if name in OWN_MODELS and weights == "imagenet":
        raise ValueError(f"weights of {name} must be a checkpoint; got 'imagenet'")
    word = {"imagenet": "DEFAULT", "random": "none"}.get(weights, weights)
    return captum_ext.load_model(OWN_MODELS.get(name, name), word, device="cpu")


def at_least(minimum: int) -> Callable[[str], int]:
    """A type for command line arguments: whole numbers that are no less."""

    def number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}; got {value}")
        return value

    return number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line arguments for :func:`photograph` and :func:`load_model`."""
    parser.add_argument(
        "--images",
        nargs="+",
        default=PHOTOGRAPHS,
        help="files, or scikit-image's " + "/".join(PHOTOGRAPHS),
    )
    own = " or ".join(OWN_MODELS)
    parser.add_argument(
        "--model", default="squeezenet1_0", help=f"a torchvision classifier, or {own}"
    )
    parser.add_argument("--weights", default="imagenet", help="imagenet, random, or a checkpoint")
