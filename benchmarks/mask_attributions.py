"""What a genetic search of masks attributes, beside RISE and Occlusion at equal evaluations.

    python -m benchmarks.mask_attributions [--images SOURCE ...] [--model squeezenet1_0]
        [--weights imagenet] [--evaluations 3000] [--out mask_attributions]

One search for each partition (pixels; a 7 x 7 grid; SLIC) gives three attributions: the effect of
each feature, the best mask, and how often the fittest masks keep a feature. All methods show the
image's mean color for what is removed, and so does the metric (SRG of the softmax, pixel by pixel,
10 steps). RISE has as many samples as the search has evaluations, Occlusion as many windows (with
a side of a seventh of the image's) as fit in that number; there are no more than pixels.

A source is an image file, a folder of them, an ``.npz`` of images and labels, ``cifar10``, or one
of scikit-image's photographs. Rows go to ``mask_attributions.csv`` as they are found, and what is
in there is not computed again. The table is printed at the end.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from statistics import mean

import torch
from skimage.segmentation import slic
from torch import Tensor, nn

from benchmarks.record import Record, case_of, gather
from benchmarks.side_by_side import with_error
from benchmarks.subjects import (
    Picture,
    add_arguments,
    at_least,
    fingerprint,
    load_model,
    pictures,
)
from captum_ext import explain
from captum_ext.attr import RISE, GeneticIPHA
from captum_ext.baselines import image_mean
from captum_ext.forward import count_passes
from captum_ext.metrics import srg
from captum_ext.perturbation import SkimageSegments, SolidColor, grid_masks, pixel_masks
from captum_ext.perturbation.mask_search import KINDS

CELLS = 7
POPULATION = 50


@dataclass(frozen=True)
class Case:
    """What identifies a row.

    Attributes:
        image: its name.
        pixels: its fingerprint, as the model sees it.
        model: its name.
        weights: fingerprint of its parameters.
        features: how the mask's features are made, or the method, where it has none.
        method: what is attributed.
        evaluations: of the method.
        seed: of what is drawn.
    """

    image: str
    pixels: str
    model: str
    weights: str
    features: str
    method: str
    evaluations: int
    seed: int


@dataclass(frozen=True)
class Row(Case):
    """A case and what came out: the passes and seconds of a search count for all of its kinds."""

    target: int
    passes: int
    seconds: float
    srg: float

    @property
    def case(self) -> Case:
        return case_of(self, Case)


def slic_mask(image: Tensor) -> Tensor:
    """SLIC superpixels ``[1, 1, H, W]``, about as many as the grid has cells."""
    # A blur of 3 pixels for a side of 224.
    sigma = 3 * image.shape[-1] / 224
    segmenter = SkimageSegments(slic, n_segments=CELLS**2, compactness=30, sigma=sigma)
    return segmenter(image[0]).labels[None, None]


PARTITIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "pixels": lambda image: pixel_masks((image,))[0],
    "grid": lambda image: grid_masks((image,), CELLS, CELLS)[0],
    "slic": slic_mask,
}


def windows(height: int, width: int, evaluations: int) -> tuple[int, int]:
    """Occlusion's window and the smallest stride with no more windows than evaluations.

    The window is larger than a cell where cells side by side are too many.
    """
    window, stride = max(1, min(height, width) // CELLS), 1
    while prod(-(-(side - window) // stride) + 1 for side in (height, width)) > evaluations:
        stride += 1
        window = max(window, stride)
    return window, stride


def attributions(
    model: nn.Module, image: Tensor, target: int, features: str, evaluations: int, seed: int
) -> dict[str, Tensor]:
    """The attributions ``[1, 3, H, W]`` of one partition, or of the rivals, by their names."""
    fill = image_mean(image)
    if features in PARTITIONS:
        (search,) = GeneticIPHA(model).search(
            image,
            fill,
            target,
            feature_mask=PARTITIONS[features](image),
            # The first generation is drawn.
            n_generations=evaluations // POPULATION - 1,
            population_size=POPULATION,
            threshold=None,
            generator=seed,
        )
        return {kind: search.attribution(kind)[0][None].float() for kind in KINDS}
    if features == "rise":
        rise = RISE(model, perturber=SolidColor("mean"))
        heat = rise.attribute(image, target=target, n_samples=evaluations, generator=seed)
        return {"rise": heat}
    window, stride = windows(image.shape[2], image.shape[3], evaluations)
    arguments = {
        "baselines": fill,
        "sliding_window_shapes": (3, window, window),
        "strides": (3, stride, stride),
    }
    return {"occlusion": explain(model, image, target, "occlusion", arguments=arguments)}


def rows_of(model: nn.Module, picture: Picture, cases: Sequence[Case]) -> Iterator[Row]:
    """The rows of cases that differ in the method only."""
    image = picture.image[None]
    with torch.no_grad():
        target = int(model(image).argmax())
    first = cases[0]
    start = time.perf_counter()
    with count_passes(model) as passes:
        found = attributions(model, image, target, first.features, first.evaluations, first.seed)
    seconds = time.perf_counter() - start
    for case in cases:
        gain = float(srg(model, image, found[case.method], target))
        yield Row(**asdict(case), target=target, passes=passes.forward, seconds=seconds, srg=gain)


def table(rows: Sequence[Row]) -> str:
    """Means over the images, with the standard error of SRG, a line for each method."""
    lines = [f"{'':22}{'images':>8}{'passes':>9}{'seconds':>9}{'SRG':>17}"]
    for features, method in dict.fromkeys((row.features, row.method) for row in rows):
        own = [row for row in rows if (row.features, row.method) == (features, method)]
        title = f"{features:8}{method}" if features in PARTITIONS else method
        lines.append(
            f"{title:22}{len(own):8}{mean(row.passes for row in own):9.0f}"
            f"{mean(row.seconds for row in own):9.1f}{with_error([row.srg for row in own]):>17}"
        )
    return "\n".join(lines)


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """All rows that were asked for: those of the record, and the others, which it then has too."""
    model = nn.Sequential(load_model(args.model, args.weights), nn.Softmax(dim=1)).eval()
    found = [each for source in args.images for each in pictures(source, args.size)]
    chosen = found[:: args.every]
    args.out.mkdir(parents=True, exist_ok=True)
    record = Record(args.out / "mask_attributions.csv", Row)
    weights = fingerprint(*model.state_dict().values())
    for number, picture in enumerate(chosen, start=1):
        pixels = fingerprint(picture.image)
        for features in (*PARTITIONS, "rise", "occlusion"):
            cases = [
                Case(
                    picture.name,
                    pixels,
                    args.model,
                    weights,
                    features,
                    method,
                    args.evaluations,
                    args.seed,
                )
                for method in (KINDS if features in PARTITIONS else (features,))
            ]
            if any(case not in record.rows for case in cases):
                print(f"{number}/{len(chosen)} {picture.name}: {features}", file=sys.stderr)
                for row in rows_of(model, picture, cases):
                    record.add(row)
            yield from (record.rows[case] for case in cases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_arguments(parser)
    parser.add_argument("--size", type=at_least(1), help="pixels of a side; as they are")
    parser.add_argument("--every", type=at_least(1), default=1, help="take one image of so many")
    parser.add_argument(
        "--evaluations", type=at_least(2 * POPULATION), default=3000, help="of each method"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of searches and samples")
    parser.add_argument("--out", type=Path, default=Path("mask_attributions"), help="output folder")
    args = parser.parse_args()
    print(table(gather(parser, rows(args))))
    print(f"written to {args.out}: mask_attributions.csv")


if __name__ == "__main__":
    main()
