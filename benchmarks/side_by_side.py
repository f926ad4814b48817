"""Methods side by side on photographs: what they show, what they cost, what the metric says."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks.subjects import add_arguments, load_model, photograph
from captum_ext import explain, get_method
from captum_ext.explanation import accepted_arguments
from captum_ext.forward import count_passes
from captum_ext.metrics import srg
from captum_ext.results import versions

#: Inches of a picture's side, and of the line of titles.
PICTURE, TITLES = 1.6, 0.3


@dataclass(frozen=True)
class Photograph:
    """What is explained.

    Attributes:
        name: of the file.
        number: its place among all.
        image: ``[1, 3, H, W]`` in [0, 1].
        label: index of the class to explain, the model's highest.
    """

    name: str
    number: int
    image: Tensor
    label: int


@dataclass(frozen=True)
class Contestant:
    """A method with settings.

    Attributes:
        title: for tables and pictures.
        method: its registered name.
        settings: arguments of its ``attribute()`` for a photograph.
    """

    title: str
    method: str
    settings: Callable[[Photograph], dict[str, Any]]


@dataclass
class Cell:
    """One contestant on one photograph.

    Attributes:
        image: the photograph's name.
        method: the contestant's title.
        label: index of the explained class.
        forward, backward: passes, those for the delta included.
        seconds: wall time, that of fitting a marginal included.
        delta: by how much the sum of the attributions misses the difference of the outputs at the
            path's ends; None for a method that does not tell.
        srg: symmetric relevance gain of the probability, pixels fading into the mean color.
    """

    image: str
    method: str
    label: int
    forward: int
    backward: int
    seconds: float
    delta: float | None
    srg: float


def photographs(model: nn.Module, sources: Sequence[str], size: int) -> list[Photograph]:
    """Read, resized to a square, and classified."""
    found = []
    for number, source in enumerate(sources):
        image = photograph(source, size)[None]
        with torch.no_grad():
            found.append(Photograph(Path(source).stem, number, image, int(model(image).argmax())))
    return found


def compare(
    asked: nn.Module,
    probability: nn.Module,
    contestants: Sequence[Contestant],
    subjects: Sequence[Photograph],
) -> Iterator[tuple[Cell, Tensor]]:
    """All contestants on all photographs, photograph by photograph: figures and heat maps.

    Args:
        asked: the model whose outputs are explained.
        probability: the same, giving probabilities, for the metric.
        contestants: the methods.
        subjects: the photographs.

    Returns:
        Yields each cell with its heat map ``[3, H, W]``, as soon as it is there.
    """
    for subject in subjects:
        for contestant in contestants:
            print(f"{subject.name}: {contestant.title}", file=sys.stderr)
            method = get_method(contestant.method)
            tells_delta = "return_convergence_delta" in accepted_arguments(method.make(asked))[0]
            start = time.perf_counter()
            arguments = contestant.settings(subject)
            if tells_delta:
                arguments["return_convergence_delta"] = True
            with count_passes(asked) as passes:
                heat = explain(
                    asked,
                    subject.image,
                    subject.label,
                    method,
                    generator=subject.number,
                    arguments=arguments,
                )
            seconds = time.perf_counter() - start
            heat, delta = heat if tells_delta else (heat, None)
            cell = Cell(
                subject.name,
                contestant.title,
                subject.label,
                passes.forward,
                passes.backward,
                seconds,
                None if delta is None else float(delta.mean()),
                float(srg(probability, subject.image, heat, subject.label)),
            )
            yield cell, heat[0]


def picture(
    subjects: Sequence[Photograph],
    titles: Sequence[str],
    maps: Sequence[Tensor],
    draw: Callable[[Axes, Tensor, Tensor], Any],
) -> Figure:
    """A row for each photograph, a column for each contestant.

    Args:
        subjects: the photographs.
        titles: the contestants'.
        maps: ``[3, H, W]``, photograph by photograph.
        draw: draws a photograph ``[3, H, W]`` and its map into axes.
    """
    rows, columns = len(subjects), 1 + len(titles)
    height = PICTURE * rows + TITLES
    figure = Figure(figsize=(PICTURE * columns, height), dpi=100, facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - TITLES / height, 0.03, 0.03)
    for row, subject in enumerate(subjects):
        grid[row][0].imshow(subject.image[0].movedim(0, -1).numpy())
        grid[row][0].axis("off")
        for column, title in enumerate(titles):
            axes = grid[row][column + 1]
            draw(axes, subject.image[0], maps[row * len(titles) + column])
            axes.axis("off")
            if row == 0:
                axes.set_title(title, fontsize=9, pad=4)
    return figure


def table(cells: Sequence[Cell]) -> str:
    """Means over the photographs, a line for each contestant."""
    tells_delta = any(cell.delta is not None for cell in cells)
    head = f"{'':24}{'forward':>9}{'backward':>10}{'seconds':>9}"
    lines = [f"{head}{'|delta|':>9}{'SRG':>16}" if tells_delta else f"{head}{'SRG':>16}"]
    for title in dict.fromkeys(cell.method for cell in cells):
        own = [cell for cell in cells if cell.method == title]
        deltas = [abs(cell.delta) for cell in own if cell.delta is not None]
        delta = f"{f'{mean(deltas):.2g}' if deltas else '-':>9}" if tells_delta else ""
        lines.append(
            f"{title:24}{mean(c.forward for c in own):9.0f}{mean(c.backward for c in own):10.0f}"
            f"{mean(c.seconds for c in own):9.1f}{delta}{with_error([c.srg for c in own]):>16}"
        )
    return "\n".join(lines)


def with_error(values: Sequence[float]) -> str:
    """The mean, and its standard error where there are several."""
    error = f" ± {stdev(values) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{error}"


def parser_of(doc: str | None, out: str) -> argparse.ArgumentParser:
    """Arguments that all such benchmarks take; ``out`` is the default output folder."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    add_arguments(parser)
    parser.add_argument("--size", type=int, default=224, help="pixels of a side")
    parser.add_argument("--out", type=Path, default=Path(out), help="output folder")
    return parser


def models(args: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
    """The model as it is, and one that ends in a softmax."""
    model = load_model(args.model, args.weights)
    return model, nn.Sequential(model, nn.Softmax(dim=1)).eval()


def run(
    args: argparse.Namespace,
    name: str,
    results: Iterator[tuple[Cell, Tensor]],
    subjects: Sequence[Photograph],
    contestants: Sequence[Contestant],
    draw: Callable[[Axes, Tensor, Tensor], Any],
) -> None:
    """Prints the table and writes ``NAME.png`` and ``NAME.json``; the latter after each cell.

    Whoever interrupts it gets the table and the picture of the photographs that are done.
    """
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {key: str(value) for key, value in vars(args).items()}
    known = {"versions": versions(), "settings": settings}
    cells, maps = [], []
    try:
        for cell, heat in results:
            cells.append(cell)
            maps.append(heat)
            content = json.dumps(known | {"cells": list(map(asdict, cells))}, indent=1)
            (args.out / f"{name}.json").write_text(content + "\n")
    except KeyboardInterrupt:
        print(f"interrupted after {len(cells)} cells", file=sys.stderr)
    subjects = subjects[: len(cells) // len(contestants)]
    if not subjects:
        return
    print(table(cells))
    titles = [contestant.title for contestant in contestants]
    picture(subjects, titles, maps, draw).savefig(args.out / f"{name}.png")
    print(f"written to {args.out}: {name}.png, {name}.json")
