"""The parts of images that decide a class, found by a genetic search of masks.

    python -m benchmarks.genetic_masks [--images SOURCE ...] [--model squeezenet1_0]
        [--weights imagenet] [--constants black white gaussian norm_mean]
        [--features pixels grid slic] [--objective preserve] [--sparsity 0] [--generations 1000]
        [--workers N] [--out genetic_masks]

A source is an image file, a folder of them, an ``.npz`` of images and labels, ``cifar10``
(downloaded by torchvision), or one of scikit-image's photographs. For each image, partition and
constant, the search looks for the mask that keeps the probability of the class high (its label, or
what the model predicts) with the constant shown elsewhere. It stops at a probability of 1, or
beyond 0.99 when ten generations have brought next to nothing.

Written to the output folder: ``figures/IMAGE_PARTITION_CONSTANT_KEY.png``, the original, the
important and the unimportant part with their scores and impact indices; ``genetic_masks.csv``;
``report.html``; and ``study.sqlite``, with which a run that was interrupted goes on. The masks are
in ``attributions/KEY.npz``: 1 in the first channel where the image is important, -1 in the second
where it is unimportant.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from captum.attr import PerturbationAttribution
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.mask_attributions import PARTITIONS
from benchmarks.side_by_side import as_settings, model_entry, parser_of, photographs, table
from benchmarks.study_arguments import run
from benchmarks.subjects import at_least
from captum_ext.attr import GeneticIPHA
from captum_ext.baselines import make_baselines
from captum_ext.metric_spec import MetricSpec
from captum_ext.perturbation.mask_search import MaskSearch
from captum_ext.perturbation.mask_search.settings import OBJECTIVES, STRATEGIES
from captum_ext.results import Direction
from captum_ext.spec import MethodSpec, Need
from captum_ext.study import (
    Aim,
    MethodEntry,
    MetricContext,
    MetricEntry,
    ModelEntry,
    Study,
    StudyImage,
    StudyResults,
    attribution_files,
    export,
)
from captum_ext.study.define.models import LABEL, PREDICTED
from captum_ext.visualize.style import INK, bare

CONSTANTS = {
    "black": "black",
    "white": "white",
    "gaussian": "gaussian_noise",
    "norm_mean": "norm_mean",
}
#: Inches of a picture's longer side, and of the lines above.
SIDE, HEAD = 2.6, 0.75


class Masks(PerturbationAttribution):
    """Both masks of a search as an attribution, and beside them the search.

    Args:
        forward_func: gives probabilities.
    """

    def attribute(
        self, inputs: Tensor, target: Any = None, generator: Any = None, **settings: Any
    ) -> tuple[Tensor, MaskSearch]:
        """Takes one image ``[1, 3, H, W]``, and the arguments of ``GeneticIPHA.search``.

        Returns:
            ``[1, 3, H, W]``: 1 in the first channel where the image is important, -1 in the second
            where it is unimportant; and the search.
        """
        genetic = GeneticIPHA(self.forward_func)
        (search,) = genetic.search(inputs, target=target, generator=generator, **settings)
        masks = torch.zeros_like(inputs)
        masks[0, 0] = search.important[0][0]
        masks[0, 1] = -1.0 * search.unimportant[0][0]
        return masks, search


SPEC = MethodSpec(
    "genetic_masks",
    "Genetic masks",
    "perturbation",
    "published as IPHA",
    Masks,
    frozenset({Need.PROBABILITIES}),
    # So that what is written above is in the study's identity.
    build=Masks,
    stochastic=True,
)


def constant_like(constant: str, images: Tensor, seed: int) -> Tensor:
    """What stands where a mask does not keep an image."""
    return make_baselines(CONSTANTS[constant], images, generator=seed)


def search_settings(
    aim: Aim, _: Tensor | None, *, features: str, constant: str, seed: int, **plan: Any
) -> dict[str, Any]:
    """The arguments of a search."""
    return plan | {
        "baselines": constant_like(constant, aim.seen, seed),
        "feature_mask": PARTITIONS[features](aim.seen),
    }


def said(question: MetricContext, *, fact: Callable[[MaskSearch], float]) -> float:
    """What a search says of itself."""
    return fact(question.beside[0])


def kept(search: MaskSearch) -> float:
    return float(search.important[0].double().mean())


def generations(search: MaskSearch) -> int:
    return len(search.best) - 1


def metric(
    name: str, direction: Direction, about: str, fact: Callable[[MaskSearch], float]
) -> MetricEntry:
    title = name.replace("_", " ").capitalize()
    function = partial(said, fact=fact)
    return MetricEntry(MetricSpec(name, title, direction, about, function, needs={"context"}))


METRICS = (
    metric("original", "none", "score of the whole image", lambda s: s.score),
    metric("important", "higher", "score of the important part", lambda s: s.important_score),
    metric("unimportant", "lower", "score of the unimportant part", lambda s: s.unimportant_score),
    metric("important_impact", "lower", "distance to the original's", lambda s: s.important_impact),
    metric(
        "unimportant_impact", "higher", "distance to the original's", lambda s: s.unimportant_impact
    ),
    metric("kept", "none", "the important mask's part of the image", kept),
    metric("generations", "none", "of the search", generations),
)


def methods(args: argparse.Namespace) -> list[MethodEntry]:
    """A search for each partition and constant."""
    plan = {
        "n_generations": args.generations,
        "population_size": args.population,
        "n_parents": args.parents,
        "threshold": args.threshold,
        "objective": args.objective,
        "sparsity": args.sparsity,
        "strategy": args.strategy,
    }
    return [
        MethodEntry(
            SPEC,
            f"{features} {constant}",
            settings=partial(
                search_settings, features=features, constant=constant, seed=args.seed, **plan
            ),
        )
        for features, constant in product(args.features, args.constants)
    ]


def images_of(args: argparse.Namespace) -> list[StudyImage]:
    """Up to ``args.limit`` images of each source."""
    return [
        image
        for source in dict.fromkeys(args.images)
        for image in photographs([source], args.size, args.out / "data")[: args.limit]
    ]


def with_labels(images: Sequence[StudyImage], model: ModelEntry) -> list[StudyImage]:
    """Where some images have labels, the others get what the model takes them for."""
    if len({image.label is None for image in images}) == 1:
        return list(images)
    subject = model.load()
    return [
        replace(image, label=subject.aim(subject.see(image.read()), PREDICTED).target)
        if image.label is None
        else image
        for image in images
    ]


def draw_all(results: StudyResults, images: Sequence[StudyImage], args: argparse.Namespace) -> None:
    """A figure of each case that has none yet."""
    folder = args.out / "figures"
    folder.mkdir(exist_ok=True)
    pixels = {image.name: image for image in images}
    values = results.cells.set_index(["image", "method", "metric"])["value"].to_dict()
    targets = results.cells.set_index(["image", "method"])["label"].to_dict()
    for (_, image, method, _), file in attribution_files(args.out).items():
        features, constant = method.split()
        path = folder / f"{image}_{features}_{constant}_{file.stem[:8]}.png"
        if path.exists():
            continue
        whole = pixels[image].read().expand(3, -1, -1)
        figure = draw(
            whole,
            constant_like(constant, whole[None], args.seed)[0],
            np.load(file)["attribution"],
            {name: values[image, method, name] for name in results.metrics},
        )
        title = f"{image}: class {targets[image, method]}, {features}, {constant}"
        figure.suptitle(title, fontsize=10, color=INK)
        figure.savefig(path)


def draw(image: Tensor, constant: Tensor, masks: np.ndarray, values: Mapping[str, float]) -> Figure:
    """The original, its important part and its unimportant part, with scores and impacts."""
    important, unimportant = torch.from_numpy(masks[0] > 0), torch.from_numpy(masks[1] < 0)
    shown = (
        ("original", image),
        ("important", torch.where(important, image, constant)),
        ("unimportant", torch.where(unimportant, image, constant)),
    )
    height, width = image.shape[1:]
    scale = SIDE / max(height, width)
    size = (3.2 * max(width * scale, 1.5), max(height * scale, 1.0) + HEAD)
    figure = Figure(figsize=size, dpi=100, facecolor="white", layout="constrained")
    for axes, (name, pixels) in zip(figure.subplots(1, 3), shown, strict=True):
        axes.imshow(pixels.movedim(0, -1).numpy(), vmin=0, vmax=1, interpolation="nearest")
        impact = values.get(f"{name}_impact")
        more = "" if impact is None else f"  (impact {impact:.3f})"
        only = "" if impact is None else " only"
        axes.set_title(f"{name}{only}\n{values[name]:.3f}{more}", fontsize=9, color=INK, pad=5)
        bare(axes)
    return figure


def main() -> None:
    parser = parser_of(__doc__, out="genetic_masks", size=None)
    parser.add_argument("--limit", type=at_least(1), help="take so many images of each source")
    parser.add_argument("--constants", nargs="+", choices=CONSTANTS, default=list(CONSTANTS))
    parser.add_argument("--features", nargs="+", choices=PARTITIONS, default=["pixels"])
    parser.add_argument("--strategy", choices=STRATEGIES, default="genetic")
    parser.add_argument("--objective", choices=OBJECTIVES, default="preserve")
    parser.add_argument("--sparsity", type=float, default=0.0, help="price of the whole image")
    parser.add_argument("--generations", type=at_least(1), default=1000, help="at most")
    parser.add_argument("--population", type=at_least(2), default=50, help="masks at a time")
    parser.add_argument("--parents", type=at_least(1), default=10, help="masks that have children")
    parser.add_argument("--threshold", type=float, default=0.99, help="probability to stop at")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of what is drawn")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    model = model_entry(args.model, args.weights, args.device)
    try:
        images = with_labels(images_of(args), model)
        study = Study(
            "The parts of images that decide a class",
            [model],
            images,
            methods(args),
            METRICS,
            seeds=[args.seed],
            target=PREDICTED if images[0].label is None else LABEL,
            keep_attributions=True,
            gallery=0,
            settings=as_settings(args),
        )
    except (OSError, ValueError, RuntimeError) as error:
        parser.error(str(error))
    results = run(parser, args, study)
    print(table(results))
    draw_all(results, images, args)
    export(results, args.out / "genetic_masks.csv")
    print(f"written to {args.out}: figures, genetic_masks.csv, report.html, study.sqlite")


if __name__ == "__main__":
    main()
