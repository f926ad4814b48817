"""The parts of images that decide a class, found by a genetic search of masks.

    python -m benchmarks.genetic_masks [--images SOURCE ...] [--model squeezenet1_0]
        [--weights imagenet] [--constants black white gaussian norm_mean]
        [--features pixels grid slic] [--objective preserve] [--sparsity 0] [--generations 1000]
        [--out genetic_masks]

A source is an image file, a folder of them, an ``.npz`` of images and labels, ``cifar10``
(downloaded by torchvision), or one of scikit-image's photographs. For each image, partition and
constant, the search looks for the mask that keeps the probability of the class high (its label, or
what the model predicts) with the constant shown elsewhere. It stops at a probability of 1, or
beyond 0.99 when ten generations have brought next to nothing.

Written to the output folder: ``figures/IMAGE_PARTITION_CONSTANT_KEY.png``, the original, the
important and the unimportant part with their scores and impact indices, and ``genetic_masks.csv``,
row by row, so that a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import islice, product
from pathlib import Path
from statistics import mean

import torch
from torch import nn

from benchmarks.mask_attributions import PARTITIONS
from benchmarks.record import Record, case_of, gather
from benchmarks.subjects import (
    Picture,
    add_arguments,
    at_least,
    fingerprint,
    load_model,
    pictures,
)
from captum_ext.attr import GeneticIPHA
from captum_ext.baselines import make_baselines
from captum_ext.perturbation.mask_search import MaskSearch
from captum_ext.perturbation.mask_search.plan import OBJECTIVES, STRATEGIES
from captum_ext.visualize import compare_images

CONSTANTS = {
    "black": "black",
    "white": "white",
    "gaussian": "gaussian_noise",
    "norm_mean": "norm_mean",
}


@dataclass(frozen=True)
class Case:
    """What identifies a row.

    Attributes:
        image: its name.
        pixels: its fingerprint, as the model sees it.
        model: its name.
        weights: fingerprint of its parameters.
        target: index of the class.
        features: how the mask's features are made.
        constant: what stands where the mask does not keep the image.
        search: its settings.
        seed: of what is drawn.
    """

    image: str
    pixels: str
    model: str
    weights: str
    target: int
    features: str
    constant: str
    search: str
    seed: int

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that differ from those of another case."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Row(Case):
    """A case and what was found.

    Attributes:
        original, important, unimportant: probabilities of the whole image, of its important part
            and of its unimportant part.
        important_impact, unimportant_impact: their distances to the original's.
        kept: the important mask's part of the image.
        generations, evaluations: of the search.
        seconds: wall time of the search.
    """

    original: float
    important: float
    unimportant: float
    important_impact: float
    unimportant_impact: float
    kept: float
    generations: int
    evaluations: int
    seconds: float

    @property
    def case(self) -> Case:
        return case_of(self, Case)


def cases(
    model: nn.Module, weights: str, chosen: Sequence[Picture], args: argparse.Namespace
) -> Iterator[tuple[Picture, Case]]:
    """All that is asked for, image by image."""
    search = (
        f"{args.strategy} {args.objective} sparsity={args.sparsity:g} "
        f"generations={args.generations} population={args.population} parents={args.parents} "
        f"threshold={args.threshold:g}"
    )
    for picture in chosen:
        target = picture.label
        if target is None:
            with torch.no_grad():
                target = int(model(picture.image[None].to(args.device)).argmax())
        pixels = fingerprint(picture.image)
        for features, constant in product(args.features, args.constants):
            yield (
                picture,
                Case(
                    picture.name,
                    pixels,
                    args.model,
                    weights,
                    target,
                    features,
                    constant,
                    search,
                    args.seed,
                ),
            )


def found(
    model: nn.Module, picture: Picture, case: Case, args: argparse.Namespace
) -> tuple[Row, MaskSearch]:
    """The row of a case, and the search."""
    image = picture.image[None].to(args.device)
    start = time.perf_counter()
    (search,) = GeneticIPHA(model).search(
        image,
        make_baselines(CONSTANTS[case.constant], image, generator=case.seed),
        case.target,
        feature_mask=PARTITIONS[case.features](image),
        generator=case.seed,
        n_generations=args.generations,
        population_size=args.population,
        n_parents=args.parents,
        threshold=args.threshold,
        objective=args.objective,
        sparsity=args.sparsity,
        strategy=args.strategy,
    )
    row = Row(
        **asdict(case),
        original=search.score,
        important=search.important_score,
        unimportant=search.unimportant_score,
        important_impact=search.important_impact,
        unimportant_impact=search.unimportant_impact,
        kept=float(search.important[0].double().mean()),
        generations=len(search.best) - 1,
        evaluations=len(search.scores),
        seconds=time.perf_counter() - start,
    )
    return row, search


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """All rows that were asked for: those of the record, and the others, which it then has too."""
    classifier = load_model(args.model, args.weights)
    model = nn.Sequential(classifier, nn.Softmax(dim=1)).eval().to(args.device)
    sources = [pictures(source, args.size, args.out / "data") for source in args.images]
    chosen = [each for source in sources for each in islice(source, args.limit)]
    figures = args.out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    record = Record(args.out / "genetic_masks.csv", Row)
    asked = list(cases(model, fingerprint(*model.state_dict().values()), chosen, args))
    for number, (picture, case) in enumerate(asked, start=1):
        if case not in record.rows:
            name = f"{case.image}_{case.features}_{case.constant}"
            print(f"{number}/{len(asked)} {name}", file=sys.stderr)
            row, search = found(model, picture, case, args)
            title = f"{case.image}: class {case.target}, {case.features}, {case.constant}"
            compare_images(search, title=title).savefig(figures / f"{name}_{case.key}.png")
            record.add(row)
        yield record.rows[case]


def table(rows: Sequence[Row]) -> str:
    """Means over the images, a line for each partition and constant."""
    lines = [
        f"{'':22}{'images':>7}{'original':>10}{'important':>11}{'unimportant':>13}{'kept':>7}"
        f"{'generations':>13}{'evaluations':>13}{'seconds':>9}"
    ]
    for features, constant in dict.fromkeys((row.features, row.constant) for row in rows):
        own = [row for row in rows if (row.features, row.constant) == (features, constant)]
        lines.append(
            f"{f'{features:8}{constant}':22}{len(own):7}{mean(r.original for r in own):10.3f}"
            f"{mean(r.important for r in own):11.3f}{mean(r.unimportant for r in own):13.3f}"
            f"{mean(r.kept for r in own):7.2f}{mean(r.generations for r in own):13.0f}"
            f"{mean(r.evaluations for r in own):13.0f}{mean(r.seconds for r in own):9.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_arguments(parser)
    parser.add_argument("--size", type=at_least(1), help="pixels of a side; as they are")
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
    parser.add_argument("--out", type=Path, default=Path("genetic_masks"), help="output folder")
    args = parser.parse_args()
    print(table(gather(parser, rows(args))))
    print(f"written to {args.out}: figures, genetic_masks.csv")


if __name__ == "__main__":
    main()
