"""The images of a study: files, photographs of scikit-image, arrays."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captum_ext.checks import check_choice, check_int, described, one_line
from captum_ext.image_files import EMBEDDED, open_image, read_image
from captum_ext.study.plan.digest import digest_of_bytes, digest_of_tensor


@dataclass(frozen=True)
class StudyImage(ABC):
    """An image of a study, read when it is first used.

    Attributes:
        name: in tables; unique in a study.
        label: its class, where that is known.
    """

    name: str
    label: int | None = field(default=None, kw_only=True)

    @abstractmethod
    def read(self) -> Tensor:
        """``[3, H, W]`` or ``[1, H, W]`` in [0, 1].

        Raises:
            ValueError: it cannot be read.
        """

    @abstractmethod
    def digest(self) -> str:
        """Differs where the image does. A file that cannot be read has one, too."""


@dataclass(frozen=True)
class FileImage(StudyImage):
    """A file of any kind that :func:`captum_ext.image_files.read_image` reads.

    Example:
        >>> FileImage("cat", Path("none.png")).digest()
        'unreadable: No such file or directory'
    """

    path: Path

    def read(self) -> Tensor:
        return read_image(self.path)

    def digest(self) -> str:
        try:
            return digest_of_bytes(self.path.read_bytes())
        except OSError as error:
            return f"unreadable: {error.strerror}"


@dataclass(frozen=True)
class EmbeddedImage(StudyImage):
    """A photograph that ships inside scikit-image.

    Example:
        >>> EmbeddedImage("chelsea").read().shape
        torch.Size([3, 300, 451])
    """

    def read(self) -> Tensor:
        return read_image(self.name)

    def digest(self) -> str:
        return digest_of_bytes(open_image(self.name).tobytes())


@dataclass(frozen=True)
class ArrayImage(StudyImage):
    """One of an ``.npz`` file's ``images [N, H, W, 3]`` (or ``[N, H, W]``) of uint8."""

    path: Path
    index: int

    def read(self) -> Tensor:
        return read_image(self._pixels())

    def digest(self) -> str:
        pixels = np.ascontiguousarray(self._pixels())
        return digest_of_bytes(str(pixels.shape).encode(), pixels.data)

    def _pixels(self) -> np.ndarray:
        images: np.ndarray = arrays_of(self.path)[0][self.index]
        return images


@dataclass(frozen=True, eq=False)
class TensorImage(StudyImage):
    """An image in memory, ``[1, H, W]`` or ``[3, H, W]`` in [0, 1].

    Example:
        >>> TensorImage("black", torch.zeros(1, 4, 4)).read().shape
        torch.Size([1, 4, 4])
    """

    pixels: Tensor = field(repr=False)

    def read(self) -> Tensor:
        return self.pixels

    def digest(self) -> str:
        return digest_of_tensor(self.pixels)


@dataclass(frozen=True)
class CropImage(StudyImage):
    """A square of an embedded photograph.

    Args:
        source: one of :data:`captum_ext.image_files.EMBEDDED`.
        box: top, left, and the pixels of a side; the square lies within the photograph.

    Raises:
        TypeError: a box that is not three whole numbers.
        ValueError: an unknown photograph; a box that does not lie within it.

    Example:
        >>> CropImage("eye", "chelsea", (90, 180, 64)).read().shape
        torch.Size([3, 64, 64])
    """

    source: str
    box: tuple[int, int, int]

    def __post_init__(self) -> None:
        check_choice(self.source, "source", EMBEDDED)
        if not isinstance(self.box, (tuple, list)) or len(self.box) != 3:
            raise TypeError(f"box must be (top, left, side); got {described(self.box)}")
        names = ("top", "left", "side")
        top, left, side = (
            check_int(value, f"{name} of box", minimum=int(name == "side"))
            for name, value in zip(names, self.box, strict=True)
        )
        _, height, width = photograph(self.source).shape
        if top + side > height or left + side > width:
            raise ValueError(
                f"box must lie within {self.source}, {height} x {width} pixels; got a square of "
                f"{side} at ({top}, {left})"
            )

    def read(self) -> Tensor:
        top, left, side = self.box
        return photograph(self.source)[:, top : top + side, left : left + side].clone()

    def digest(self) -> str:
        return digest_of_tensor(self.read())


@lru_cache(maxsize=len(EMBEDDED))
def photograph(source: str) -> Tensor:
    """An embedded photograph, decoded once for all its crops.

    Args:
        source: one of :data:`captum_ext.image_files.EMBEDDED`.

    Returns:
        ``[3, H, W]`` in [0, 1]; do not write into it.

    Example:
        >>> photograph("coffee").shape
        torch.Size([3, 400, 600])
    """
    return read_image(source)


def check_names(names: Sequence[str], what: str) -> None:
    """Refuses a name that two things have.

    Raises:
        ValueError: it gives the name.

    Example:
        >>> check_names(["cat", "cat"], "images")
        Traceback (most recent call last):
        ...
        ValueError: images must have names of their own; got 'cat' 2 times
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{what} must have names that are texts; got {described(name)}")
        if not name.strip() or not name.isprintable():
            raise ValueError(
                f"{what} must have names of letters on one line; got {described(name)}"
            )
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{what} must have names of their own; got {name!r} {count} times")


def arrays_of(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The images of an ``.npz`` file, ``[N, H, W, 3]`` or ``[N, H, W]``, and its labels, if any.

    Raises:
        ValueError: it cannot be read, or holds something else.
    """
    try:
        # A file that has changed is read anew.
        return _arrays(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise ValueError(f"images {str(path)!r} cannot be read: {one_line(error)}") from error


@lru_cache(maxsize=4)
def _arrays(path: Path, _: int) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with zipfile.ZipFile(path) as file:
            names = [Path(name).stem for name in file.namelist()]
        if "images" not in names:
            raise ValueError(f"it must hold an array 'images'; it holds {names}")
        with np.load(path) as arrays:
            images = arrays["images"]
            labels = arrays["labels"] if "labels" in names else None
    except Exception as error:
        raise ValueError(f"images {str(path)!r} cannot be read: {one_line(error)}") from error
    if not isinstance(images, np.ndarray):
        raise ValueError(f"images of {str(path)!r} must be an array; got {type(images).__name__}")
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (*images.shape, 1)[3] not in (1, 3):
        raise ValueError(
            f"images of {str(path)!r} must be [N, H, W, 3] or [N, H, W] of uint8; got "
            f"{images.shape} of {images.dtype}"
        )
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iu"):
        raise ValueError(
            f"labels of {str(path)!r} must be a whole number for each of the {len(images)} images; "
            f"got shape {labels.shape} of {labels.dtype}"
        )
    return images, labels


def mask_of(path: Path) -> Tensor:
    """The mask of a file, ``[1, H, W]``: 1 where it is not black.

    Raises:
        ValueError: it cannot be read.
    """
    return (read_image(path).amax(0, keepdim=True) > 0).to(torch.float32)
