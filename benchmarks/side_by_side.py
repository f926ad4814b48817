"""Methods side by side on photographs: shared parts of the benchmarks that run a study."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from benchmarks.subjects import add_arguments, at_least, cifar10, load_model
from captum_ext.image_files import read_image
from captum_ext.study import (
    ModelEntry,
    StudyImage,
    StudyResults,
    analyze,
    attribution_files,
    export,
    format_leaderboard,
    study_images,
)
from captum_ext.study.define.models import StudyClassifier
from captum_ext.study.plan.digest import digest_of

#: Inches of a picture's side, and of the line of titles.
PICTURE, TITLES = 1.6, 0.3


@dataclass(frozen=True)
class Resized(StudyImage):
    """An image resized to a square, not cropped."""

    whole: StudyImage
    size: int

    def read(self) -> Tensor:
        pixels = (self.whole.read().expand(3, -1, -1).movedim(0, -1) * 255).round().byte()
        square = (self.size, self.size)
        return read_image(Image.fromarray(pixels.numpy()).resize(square, Image.Resampling.BILINEAR))

    def digest(self) -> str:
        return f"{self.whole.digest()} {self.size} x {self.size}"


class AsGiven(StudyClassifier):
    """A classifier that sees images as large as they are."""

    @property
    def fingerprint(self) -> str:
        return digest_of(super().fingerprint, "as given")

    def see(self, image: Tensor) -> Tensor:
        return image.float().expand(3, -1, -1)[None].to(self.model.device)


def model_entry(name: str, weights: str, device: str = "cpu") -> ModelEntry:
    """The model of :func:`benchmarks.subjects.load_model`."""
    given = {"model": name, "weights": weights}
    return ModelEntry(name, partial(_loaded, name, weights, device), given)


def _loaded(name: str, weights: str, device: str) -> AsGiven:
    return AsGiven(load_model(name, weights).to(device))


def photographs(
    sources: Sequence[str], size: int | None, root: Path = Path("data")
) -> list[StudyImage]:
    """The images of files, folders, ``.npz`` files and names, as large as they are for None.

    Args:
        sources: as of :func:`captum_ext.study.study_images`, or ``"cifar10"``.
        size: pixels of a side.
        root: where CIFAR-10 is, or will be.

    Raises:
        ValueError: as :func:`captum_ext.study.study_images`.
    """
    files = (str(cifar10(root)) if each == "cifar10" else each for each in dict.fromkeys(sources))
    found = study_images(list(files), Path())
    return found if size is None else [resized(image, size) for image in found]


def resized(image: StudyImage, size: int) -> StudyImage:
    """The same image as a square with a side of ``size`` pixels."""
    return Resized(image.name, image, size, label=image.label)


def parser_of(doc: str | None, out: str, size: int | None = 224) -> argparse.ArgumentParser:
    """Arguments that all such benchmarks take.

    Args:
        doc: whose first line describes the benchmark.
        out: the default output folder.
        size: the default; None leaves images as large as they are.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    add_arguments(parser)
    parser.add_argument("--size", type=at_least(1), default=size, help="pixels of a side")
    parser.add_argument("--out", type=Path, default=Path(out), help="output folder")
    parser.add_argument("--workers", type=at_least(1), metavar="N", help="processes to compute in")
    return parser


def as_settings(args: argparse.Namespace) -> dict[str, str]:
    """The arguments of a study, for its report."""
    return {name: str(value) for name, value in vars(args).items()}


def table(results: StudyResults) -> str:
    """Who is better than whom, what it costs, and why cells failed."""
    return "\n".join([format_leaderboard(analyze(results)), *failures(results)])


def failures(results: StudyResults) -> list[str]:
    """A line for each reason."""
    errors = results.cells.loc[results.cells["status"] == "failed", "error"]
    counts = errors.value_counts(sort=False)
    return [f"{count} cells failed: {error}" for error, count in counts.items()]


def finish(
    results: StudyResults,
    args: argparse.Namespace,
    name: str,
    images: Sequence[StudyImage] = (),
    draw: Callable[[Axes, Tensor, Tensor], Any] | None = None,
) -> None:
    """Prints the table, and writes ``NAME.csv`` and, with images to draw, ``NAME.png``."""
    print(table(results))
    written = [f"{name}.csv", "report.html", "study.sqlite"]
    if draw is not None:
        picture(results, args.out, images, draw).savefig(args.out / f"{name}.png")
        written.insert(0, f"{name}.png")
    export(results, args.out / f"{name}.csv")
    print(f"written to {args.out}: {', '.join(written)}")


def picture(
    results: StudyResults,
    folder: Path,
    images: Sequence[StudyImage],
    draw: Callable[[Axes, Tensor, Tensor], Any],
) -> Figure:
    """A row for each image, a column for each method; empty where there is no attribution.

    Args:
        results: of a study of one model and one seed.
        folder: that has its attributions.
        images: as the model sees them.
        draw: draws an image ``[3, H, W]`` and its map into axes.
    """
    files = {place[1:3]: file for place, file in attribution_files(folder).items()}
    rows, columns = len(images), 1 + len(results.methods)
    height = PICTURE * rows + TITLES
    figure = Figure(figsize=(PICTURE * columns, height), dpi=100, facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - TITLES / height, 0.03, 0.03)
    for axes in grid.flat:
        axes.axis("off")
    for axes, title in zip(grid[0][1:], results.methods.values(), strict=True):
        axes.set_title(title, fontsize=9, pad=4)
    for image, row in zip(images, grid, strict=True):
        try:
            pixels = image.read()
        except ValueError:
            # Its cells say why.
            continue
        row[0].imshow(pixels.movedim(0, -1).numpy())
        for axes, method in zip(row[1:], results.methods, strict=True):
            if (image.name, method) in files:
                heat = np.load(files[image.name, method])["attribution"]
                draw(axes, pixels, torch.from_numpy(heat))
    return figure
