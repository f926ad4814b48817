"""The images that the sources of a study stand for: files, folders, arrays, crops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from captum_ext.checks import check_int, described
from captum_ext.image_files import EMBEDDED, find_images
from captum_ext.study.define.images import (
    ArrayImage,
    CropImage,
    EmbeddedImage,
    FileImage,
    StudyImage,
    arrays_of,
    check_names,
    photograph,
)
from captum_ext.study.define.toml_values import Problems

#: How a source begins that stands for crops of the embedded photographs; their number follows.
CROPS = "crops:"
#: Beyond this number, squares of four photographs overlap so much that they add nothing.
MOST_CROPS = 10_000


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
            else, a number of crops that cannot be had; it names all of these. None at all.

    Example:
        >>> [image.name for image in study_images(["rocket", "coffee"], Path())]
        ['rocket', 'coffee']
    """
    found: list[StudyImage] = []
    files: list[Path] = []
    problems = Problems()
    for source in sources:
        path = folder / source
        with problems.at():
            if source in EMBEDDED and not os.path.exists(path):
                found.append(EmbeddedImage(source))
            elif source.startswith(CROPS) and not os.path.exists(path):
                found += _crops_of(source)
            elif path.suffix.lower() == ".npz" and os.path.isfile(path):
                found += _of_npz(path)
            else:
                new = [Path(file).resolve() for file in find_images(path)]
                files = list(dict.fromkeys([*files, *new]))
    problems.check()
    found += [FileImage(name, path) for name, path in zip(_names(files), files, strict=True)]
    if not found:
        raise ValueError("images must hold at least one; got none")
    check_names([image.name for image in found], "images")
    return found


def crops(count: int, seed: int = 0) -> list[StudyImage]:
    """Different squares of the embedded photographs, a quarter to a half of their height, in turn.

    Crops of four photographs are not as different as photographs: they show how a study works, and
    prove nothing about others.

    Args:
        count: from 1 to :data:`MOST_CROPS`.
        seed: of the squares' places and sizes.

    Raises:
        TypeError, ValueError: another count.

    Example:
        >>> [image.name for image in crops(5)]
        ['astronaut_0', 'chelsea_0', 'coffee_0', 'rocket_0', 'astronaut_1']
    """
    if check_int(count, "crops", minimum=1) > MOST_CROPS:
        raise ValueError(
            f"crops must be at most {MOST_CROPS:,}, squares of {len(EMBEDDED)} photographs; got "
            f"{described(count)}. Pass photographs of your own for more"
        )
    draw = np.random.default_rng(seed)
    found: list[StudyImage] = []
    taken = set()
    for number in range(count):
        source = EMBEDDED[number % len(EMBEDDED)]
        _, height, width = photograph(source).shape
        while (square := (source, *_square(draw, height, width))) in taken:
            pass
        taken.add(square)
        name = f"{source}_{number // len(EMBEDDED)}"
        found.append(CropImage(name, source, square[1:]))
    return found


def _square(draw: np.random.Generator, height: int, width: int) -> tuple[int, int, int]:
    side = int(draw.integers(height // 4, height // 2, endpoint=True))
    top, left = (int(draw.integers(0, most - side, endpoint=True)) for most in (height, width))
    return top, left, side


def _crops_of(source: str) -> list[StudyImage]:
    """The crops that a source ``"crops:N"`` stands for.

    Raises:
        ValueError: N is no number of crops that can be had.
    """
    number = source[len(CROPS) :]
    # No number of more digits can be had, and int() reads some thousands of them at most.
    if not number.isdecimal() or not 1 <= int(number[: len(str(MOST_CROPS)) + 1]) <= MOST_CROPS:
        raise ValueError(
            f"{described(source)} must be {CROPS}N with a whole number N from 1 to "
            f"{MOST_CROPS:,}, as {CROPS}16: different squares of {len(EMBEDDED)} photographs"
        )
    return crops(int(number))


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
    images, labels = arrays_of(path.absolute())
    return [
        ArrayImage(
            f"{path.stem}_{number:05}",
            path.absolute(),
            number,
            label=None if labels is None else int(labels[number]),
        )
        for number in range(len(images))
    ]
