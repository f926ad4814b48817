"""The images of a study: files, photographs of scikit-image, arrays."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captum_ext.checks import check_int, one_line
from captum_ext.image_files import EMBEDDED, find_images, open_image, read_image
from captum_ext.study.plan.digest import digest_of_bytes, digest_of_tensor

#: How a source begins that stands for crops of the embedded photographs; their number follows.
CROPS = "crops:"


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
        images: np.ndarray = _arrays_of(self.path)[0][self.index]
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
        box: top, left, and the pixels of a side.

    Example:
        >>> CropImage("eye", "chelsea", (90, 180, 64)).read().shape
        torch.Size([3, 64, 64])
    """

    source: str
    box: tuple[int, int, int]

    def read(self) -> Tensor:
        top, left, side = self.box
        return read_image(self.source)[:, top : top + side, left : left + side]

    def digest(self) -> str:
        return digest_of_tensor(self.read())


def crops(count: int, seed: int = 0) -> list[StudyImage]:
    """Squares of the embedded photographs, a quarter to a half of their height, in turn.

    Crops of four photographs are not as different as photographs: they show how a study works, and
    prove nothing about others.

    Example:
        >>> [image.name for image in crops(5)]
        ['astronaut_0', 'chelsea_0', 'coffee_0', 'rocket_0', 'astronaut_1']
    """
    draw = np.random.default_rng(seed)
    found: list[StudyImage] = []
    for number in range(check_int(count, "crops", minimum=1)):
        source = EMBEDDED[number % len(EMBEDDED)]
        width, height = open_image(source).size
        side = int(draw.integers(height // 4, height // 2, endpoint=True))
        top, left = (int(draw.integers(0, most - side, endpoint=True)) for most in (height, width))
        name = f"{source}_{number // len(EMBEDDED)}"
        found.append(CropImage(name, source, (top, left, side)))
    return found


def study_images(sources: Sequence[str], folder: Path) -> list[StudyImage]:
    """The images that sources stand for.

    Args:
        sources: files, folders, ``.npz`` files, names of
            :data:`captum_ext.image_files.EMBEDDED`, and ``"crops:N"``, of which :func:`crops` makes
            N images.
        folder: that relative paths start from.

    Returns:
        Images with names of their own: of files their stems, with the suffix or the folder where
        stems are not enough to tell them apart.

    Raises:
        ValueError: a source that does not exist, a folder without images, an ``.npz`` of something
            else; none at all.

    Example:
        >>> [image.name for image in study_images(["rocket", "coffee"], Path())]
        ['rocket', 'coffee']
    """
    found: list[StudyImage] = []
    files: list[Path] = []
    for source in sources:
        path = folder / source
        if source in EMBEDDED and not path.exists():
            found.append(EmbeddedImage(source))
        elif source.startswith(CROPS) and source[len(CROPS) :].isdecimal():
            found += crops(int(source[len(CROPS) :]))
        elif path.suffix.lower() == ".npz" and path.is_file():
            found += _of_npz(path)
        else:
            new = [Path(file).resolve() for file in find_images(path)]
            files += [file for file in new if file not in files]
    found += [FileImage(name, path) for name, path in zip(_names(files), files, strict=True)]
    if not found:
        raise ValueError("images must hold at least one; got none")
    check_names([image.name for image in found], "images")
    return found


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
    for name, count in Counter(names).items():
        if not name.strip() or not name.isprintable():
            raise ValueError(f"{what} must have names of letters on one line; got {name!r}")
        if count > 1:
            raise ValueError(f"{what} must have names of their own; got {name!r} {count} times")


def _names(files: Sequence[Path]) -> list[str]:
    """The shortest of stem, file name, folder and file name, path that are all different."""
    for name in (
        lambda file: file.stem,
        lambda file: file.name,
        lambda file: f"{file.parent.name}/{file.name}",
    ):
        names = [name(file) for file in files]
        if len(set(names)) == len(names):
            return names
    return [str(file) for file in files]


def _of_npz(path: Path) -> list[StudyImage]:
    images, labels = _arrays_of(path.absolute())
    return [
        ArrayImage(
            f"{path.stem}_{number:05}",
            path.absolute(),
            number,
            label=None if labels is None else int(labels[number]),
        )
        for number in range(len(images))
    ]


def _arrays_of(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Images, and labels where there are some."""
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
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
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
