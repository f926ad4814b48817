"""Path methods side by side on photographs: what they show, what they cost, how complete they are.

    python -m benchmarks.path_methods [--images PHOTO ...] [--references PHOTO ...]
        [--model squeezenet1_0] [--weights imagenet] [--out path_methods]

Integrated Gradients (from black), Expected Gradients (from the references), Guided IG (from black),
Blur IG and IG2 (to the references) explain each photograph's highest logit. References are other
photographs, as many as asked for, that the model puts into another class. Written to the output
folder: ``path_methods.png``, the heat maps as PAIR draws them (sum of magnitudes over the channels,
brightest at the 99th percentile), and ``path_methods.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import saliency.core as pair
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks.subjects import PHOTOGRAPHS, load_model, photograph
from captum_ext import explain, get_method
from captum_ext.exam.report import versions
from captum_ext.explanation import accepted_arguments
from captum_ext.forward import count_passes
from captum_ext.metrics import srg

METHODS = ("integrated_gradients", "gradient_shap", "guided_ig", "blur_ig", "ig2")
#: GradientShap without noise is Expected Gradients.
TITLES = {method: get_method(method).title for method in METHODS}
TITLES["gradient_shap"] = "Expected Gradients"


@dataclass
class Cell:
    """One method on one photograph.

    Attributes:
        image: the photograph's name.
        method: the method's title.
        label: index of the explained class.
        forward, backward: passes, those for the delta included.
        seconds: wall time.
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


def settings(method: str, references: Tensor, steps: int) -> dict[str, Any]:
    """The arguments of one method's ``attribute()``, as many steps (or samples) for each path."""
    if method == "gradient_shap":
        return {"baselines": references, "n_samples": steps, "stdevs": 0.0}
    if method == "ig2":
        return {"baselines": references, "n_steps": steps, "clip": (0.0, 1.0)}
    return {"n_steps": steps}


def compare(
    model: nn.Module,
    names: Sequence[str],
    images: Tensor,
    pool: Tensor,
    n_references: int,
    steps: int,
) -> tuple[list[Cell], list[list[np.ndarray]]]:
    """All methods on all photographs: the figures, and the heat maps ``[image][method]``."""
    with torch.no_grad():
        labels = model(images).argmax(1).tolist()
        pool_labels = model(pool).argmax(1)
    probability = nn.Sequential(model, nn.Softmax(dim=1)).eval()
    cells: list[Cell] = []
    maps: list[list[np.ndarray]] = []
    for number, (name, label) in enumerate(zip(names, labels, strict=True)):
        image = images[number : number + 1]
        references = pool[pool_labels != label][:n_references]
        if not len(references):
            raise SystemExit(f"--references: none is of another class than {name} ({label})")
        maps.append([])
        for method in METHODS:
            title = TITLES[method]
            print(f"{name}: {title}", file=sys.stderr)
            arguments = settings(method, references, steps)
            tells_delta = (
                "return_convergence_delta" in accepted_arguments(get_method(method).make(model))[0]
            )
            if tells_delta:
                arguments["return_convergence_delta"] = True
            start = time.perf_counter()
            with count_passes(model) as passes:
                heat = explain(model, image, label, method, generator=number, **arguments)
            seconds = time.perf_counter() - start
            heat, delta = heat if tells_delta else (heat, None)
            cells.append(
                Cell(
                    name,
                    title,
                    label,
                    passes.forward,
                    passes.backward,
                    seconds,
                    None if delta is None else float(delta.mean()),
                    float(srg(probability, image, heat, label)),
                )
            )
            maps[-1].append(heat[0].movedim(0, -1).numpy())
    return cells, maps


def picture(names: Sequence[str], images: Tensor, maps: Sequence[Sequence[np.ndarray]]) -> Figure:
    """A row for each photograph, a column for each method."""
    rows, columns = len(names), 1 + len(METHODS)
    figure = Figure(figsize=(1.6 * columns, 1.6 * rows + 0.3), dpi=100, facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.3 / (1.6 * rows + 0.3), 0.03, 0.03)
    for row, (image, heat_maps) in enumerate(zip(images, maps, strict=True)):
        _draw(grid[row][0], image.movedim(0, -1).numpy())
        for column, heat in enumerate(heat_maps, start=1):
            _draw(grid[row][column], pair.VisualizeImageGrayscale(heat), cmap="gray")
    for column, method in enumerate(METHODS, start=1):
        grid[0][column].set_title(TITLES[method], fontsize=9, pad=4)
    return figure


def _draw(axes: Axes, image: np.ndarray, **settings: Any) -> None:
    axes.imshow(image, **settings)
    axes.axis("off")


def table(cells: Sequence[Cell]) -> str:
    """Means over the photographs, a line for each method."""
    lines = [f"{'':22}{'forward':>9}{'backward':>10}{'seconds':>9}{'|delta|':>9}{'SRG':>16}"]
    for title in dict.fromkeys(cell.method for cell in cells):
        own = [cell for cell in cells if cell.method == title]
        deltas = [abs(cell.delta) for cell in own if cell.delta is not None]
        lines.append(
            f"{title:22}{mean(c.forward for c in own):9.0f}{mean(c.backward for c in own):10.0f}"
            f"{mean(c.seconds for c in own):9.1f}{f'{mean(deltas):.2g}' if deltas else '-':>9}"
            f"{_with_error([cell.srg for cell in own]):>16}"
        )
    return "\n".join(lines)


def _with_error(values: Sequence[float]) -> str:
    """The mean, and its standard error where there are several."""
    error = f" ± {stdev(values) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--images",
        nargs="+",
        default=PHOTOGRAPHS,
        help="files, or scikit-image's " + "/".join(PHOTOGRAPHS),
    )
    parser.add_argument(
        "--references", nargs="+", help="files to choose from; the images themselves"
    )
    parser.add_argument("--n-references", type=int, default=8, help="for each image")
    parser.add_argument("--model", default="squeezenet1_0", help="a torchvision classifier")
    parser.add_argument("--weights", default="imagenet", help="imagenet, random, or a state dict")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side")
    parser.add_argument("--steps", type=int, default=200, help="of each path")
    parser.add_argument("--out", type=Path, default=Path("path_methods"), help="output folder")
    args = parser.parse_args()
    if args.n_references < 1:
        parser.error(f"--n-references must be at least 1; got {args.n_references}")
    args.out.mkdir(parents=True, exist_ok=True)
    model = load_model(args.model, args.weights)
    images = torch.stack([photograph(source, args.size) for source in args.images])
    pool = torch.stack([photograph(s, args.size) for s in args.references or args.images])
    names = [Path(source).stem for source in args.images]
    cells, maps = compare(model, names, images, pool, args.n_references, args.steps)
    print(table(cells))
    picture(names, images, maps).savefig(args.out / "path_methods.png")
    content = {
        "versions": versions(),
        "model": args.model,
        "weights": args.weights,
        "steps": args.steps,
        "cells": [asdict(cell) for cell in cells],
    }
    (args.out / "path_methods.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"written to {args.out}: path_methods.png, path_methods.json")


if __name__ == "__main__":
    main()
