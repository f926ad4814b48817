"""Images and models that the benchmarks share."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

import captum_ext
from benchmarks.resnet20 import ResNet20
from captum_ext.image_files import find_images, open_image, read_image
from captum_ext.models import Classifier

#: Those of :data:`captum_ext.image_files.EMBEDDED` that are taken where no files are given.
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
#: The model that is not torchvision's.
OWN_MODELS: dict[str, Callable[..., nn.Module]] = {"resnet20_cifar10": ResNet20}


@dataclass(frozen=True)
class Picture:
    """An image.

    Attributes:
        name: of the file, or of the set and the place in it.
        image: ``[3, H, W]`` in [0, 1].
        label: its class, where that is known.
    """

    name: str
    image: Tensor
    label: int | None = None


def photograph(source: str | Path, size: int | None) -> Tensor:
    """``[3, size, size]`` in [0, 1], resized, not cropped; None leaves it as large as it is."""
    image = open_image(source)
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return read_image(image)


def pictures(source: str, size: int | None, root: Path = Path("data")) -> Iterator[Picture]:
    """The images of a source, one after the other.

    Args:
        source: an image file, one of :data:`PHOTOGRAPHS`, a folder of image files, an ``.npz`` of
            ``images [N, H, W, 3]`` (uint8) and ``labels [N]``, or ``"cifar10"``, whose test images
            torchvision downloads, where they are not in ``root``.
        size: pixels of a side; None leaves images as large as they are.
        root: where CIFAR-10 is, or will be.

    Raises:
        ValueError: a file that is no image, a folder without images, an ``.npz`` of something else.
    """
    path = Path(source)
    if source == "cifar10":
        dataset = torchvision.datasets.CIFAR10(root, train=False, download=True)
        yield from _of_arrays("cifar10", dataset.data, np.array(dataset.targets), size)
    elif path.suffix == ".npz":
        try:
            file = np.load(path)
        except (BadZipFile, ValueError) as error:
            raise ValueError(f"{source} must be an .npz of images and labels") from error
        with file as arrays:
            missing = {"images", "labels"} - set(arrays.files)
            if missing:
                raise ValueError(f"{source} must hold images and labels; it lacks {missing}")
            images, labels = arrays["images"], arrays["labels"]
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"images of {source} must be [N, H, W, 3] of uint8; got {images.shape} of "
                f"{images.dtype}"
            )
        if len(images) != len(labels):
            raise ValueError(f"{source} must hold as many labels as its {len(images)} images")
        yield from _of_arrays(path.stem, images, labels, size)
    else:
        for file in find_images(source):
            yield Picture(Path(file).stem, photograph(file, size))


def _of_arrays(
    name: str, images: np.ndarray, labels: np.ndarray, size: int | None
) -> Iterator[Picture]:
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        image = Image.fromarray(pixels)
        if size is not None:
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        yield Picture(f"{name}_{number:05}", _channels_first(np.array(image)), int(label))


def _channels_first(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).movedim(-1, 0) / 255


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
    """What :func:`photograph` and :func:`load_model` are to be told, as command line arguments."""
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
