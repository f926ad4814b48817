"""Attributions of a genetic mask search, RISE and Occlusion at an equal number of evaluations.

    python -m benchmarks.mask_attributions [--images SOURCE ...] [--model squeezenet1_0]
        [--weights imagenet] [--evaluations 3000] [--workers N] [--out mask_attributions]

One search for each partition (pixels; a 7 x 7 grid; SLIC) gives three attributions: the effect of
each feature, the best mask, and how often the fittest masks keep a feature. All methods show the
image's mean color for what is removed, and so does the metric (SRG of the softmax, pixel by pixel,
10 steps). Each takes as many evaluations as are allowed, but Occlusion no more windows than there
are places for.

A source is an image file, a folder of them, an ``.npz`` of images, ``cifar10``, or one of
scikit-image's photographs. The table is printed at the end; ``mask_attributions.csv`` has all
values. An interrupted run goes on with ``study.sqlite``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from skimage.segmentation import slic
from torch import Tensor

from benchmarks.side_by_side import as_settings, finish, model_entry, parser_of, photographs
from benchmarks.study_arguments import run
from benchmarks.subjects import at_least
from captum_ext import get_method
from captum_ext.attr import RISE
from captum_ext.perturbation import SkimageSegments, SolidColor, grid_masks, pixel_masks
from captum_ext.perturbation.mask_search import KINDS
from captum_ext.study import MethodEntry, MetricEntry, Study

CELLS = 7


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


def search_defaults(
    inputs: tuple[Tensor, ...], resolution: str, seed: int, *, features: str
) -> dict[str, Any]:
    """The arguments of a search that goes on to the end."""
    return {"threshold": None, "feature_mask": tuple(map(PARTITIONS[features], inputs))}


def methods() -> list[MethodEntry]:
    """The attributions of a search for each partition, and the rivals."""
    entries = []
    for features, kind in product(PARTITIONS, KINDS):
        defaults = partial(search_defaults, features=features)
        search = replace(get_method("genetic_ipha"), name=f"genetic_{features}", defaults=defaults)
        settings, name = {"attribution": kind}, f"{features} {kind}"
        entries.append(MethodEntry(search, name, baseline="image_mean", settings=settings))
    build = partial(RISE, perturber=SolidColor("mean"))
    entries.append(MethodEntry(replace(get_method("rise"), build=build)))
    return [*entries, MethodEntry("occlusion", baseline="image_mean")]


def main() -> None:
    parser = parser_of(__doc__, out="mask_attributions", size=None)
    parser.add_argument("--every", type=at_least(1), default=1, help="take one image of so many")
    parser.add_argument("--evaluations", type=at_least(1), default=3000, help="of each method")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of searches and samples")
    args = parser.parse_args()
    try:
        study = Study(
            "What a search of masks attributes",
            [model_entry(args.model, args.weights)],
            photographs(args.images, args.size)[:: args.every],
            methods(),
            [MetricEntry("srg")],
            seeds=[args.seed],
            passes=args.evaluations,
            settings=as_settings(args),
        )
    except ValueError as error:
        parser.error(str(error))
    finish(run(parser, args, study), args, "mask_attributions")


if __name__ == "__main__":
    main()
