"""Segmentation, edges or method: what matters to an explanation by perturbation?

    python -m benchmarks.smooth_edges [--images PHOTO ...] [--model squeezenet1_0]
        [--weights imagenet] [--segmenters grid slic ...] [--edges hard soft]
        [--samplers bernoulli ...] [--perturbers mean ...] [--attributers rise lime shap ...]
        [--samples 100 ...] [--occlusions mean blur ...] [--out smooth_edges]

Every combination explains the class that the model predicts for each photograph. Its scores are
judged by occlusion (LIF, MIF and SRG of the softmax), once with segments removed, edges and all,
and once with single pixels. All attributers of a combination are told the same outputs.

Soft edges are bilinear for the grid, and a Gaussian's for the segmentations of scikit-image. What
does not go together (too few samples for an attributer, a single segment) is in the CSV with the
reason. Written to the output folder: ``smooth_edges.csv``, row by row, so that a run that was
interrupted goes on where it was; what is in there is not computed again. And ``smooth_edges.png``:
means with standard errors over the photographs, and the same of paired differences.

Paper: Pihlgren and Främling, 2024 (arXiv 2409.04116).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.record import Record
from benchmarks.smooth_edges.cases import (
    ATTRIBUTERS,
    CELLS,
    FIXED,
    PER,
    PERTURBERS,
    SAMPLERS,
    SEGMENTERS,
    Subject,
    measure,
)
from benchmarks.smooth_edges.figure import picture
from benchmarks.smooth_edges.report import report
from benchmarks.smooth_edges.rows import OWN_NUMBER, Case, Row
from benchmarks.subjects import add_arguments, at_least, fingerprint, load_model, photograph


def plan(subject: Subject, weights: str, args: argparse.Namespace) -> Iterator[list[Case]]:
    """The cases of a photograph, in groups for each of which the model is asked once."""
    for segmenter, edge, sampler, perturber in product(
        args.segmenters, args.edges, args.samplers, args.perturbers
    ):
        for n_samples in (OWN_NUMBER,) if sampler in FIXED else args.samples:
            yield [
                Case(
                    image=subject.name,
                    pixels=fingerprint(subject.image),
                    model=args.model,
                    weights=weights,
                    size=args.size,
                    segmenter=segmenter,
                    edge=edge,
                    sampler=sampler,
                    perturber=perturber,
                    n_samples=n_samples,
                    attributer=attributer,
                    per=per,
                    occlusion=occlusion,
                    steps=args.steps,
                    seed=args.seed,
                    parts=f"{SEGMENTERS[segmenter, edge]} > {SAMPLERS[sampler]} > "
                    f"{PERTURBERS[perturber]} > {ATTRIBUTERS[attributer]} | "
                    f"{PERTURBERS[occlusion]}",
                )
                for attributer, per, occlusion in product(args.attributers, PER, args.occlusions)
            ]


def run(
    model: nn.Module, weights: str, subjects: Sequence[Subject], record: Record[Row], args: Any
) -> list[Row]:
    """All rows that were asked for: those of the record, and the others, which it then has too."""
    groups = [(subject, cases) for subject in subjects for cases in plan(subject, weights, args)]
    for number, (subject, cases) in enumerate(groups, start=1):
        missing = [case for case in cases if case not in record.rows]
        if not missing:
            continue
        first = missing[0]
        print(
            f"{number}/{len(groups)} {subject.name}: {first.segmenter} {first.edge}, "
            f"{first.sampler} {first.n_samples or ''}, {first.perturber}",
            file=sys.stderr,
        )
        for row in measure(model, subject, missing):
            record.add(row)
    return [record.rows[case] for _, cases in groups for case in cases]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_arguments(parser)
    parser.add_argument("--size", type=at_least(CELLS), default=224, help="pixels of a side")
    segmenters = list(dict.fromkeys(name for name, _ in SEGMENTERS))
    _add_choices(parser, "--segmenters", segmenters, ["grid", "slic"])
    _add_choices(parser, "--edges", ["hard", "soft"], ["hard", "soft"])
    _add_choices(parser, "--samplers", SAMPLERS, ["bernoulli"])
    _add_choices(parser, "--perturbers", PERTURBERS, ["mean"])
    _add_choices(parser, "--attributers", ATTRIBUTERS, ["rise", "lime", "shap"])
    parser.add_argument(
        "--samples", nargs="+", type=at_least(1), default=[100], help="of each combination"
    )
    _add_choices(parser, "--occlusions", PERTURBERS, ["mean", "blur"])
    parser.add_argument("--steps", type=at_least(2), default=10, help="of the occlusion curves")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the samples")
    parser.add_argument("--out", type=Path, default=Path("smooth_edges"), help="output folder")
    args = parser.parse_args()
    for name, value in vars(args).items():
        if isinstance(value, (list, tuple)):
            setattr(args, name, list(dict.fromkeys(value)))
    try:
        classifier = load_model(args.model, args.weights)
        images = [photograph(source, args.size) for source in args.images]
        args.out.mkdir(parents=True, exist_ok=True)
        record = Record(args.out / "smooth_edges.csv", Row)
    except (OSError, ValueError, RuntimeError) as error:
        parser.error(str(error))
    model = nn.Sequential(classifier, nn.Softmax(dim=1)).eval()
    with torch.no_grad():
        targets = [int(model(image[None]).argmax()) for image in images]
    subjects = [
        Subject(Path(source).stem, image, target)
        for source, image, target in zip(args.images, images, targets, strict=True)
    ]
    try:
        rows = run(model, fingerprint(*model.state_dict().values()), subjects, record, args)
    except KeyboardInterrupt:
        sys.exit(f"interrupted; the same command goes on with {record.path}")
    print(report(rows))
    if not any(row.ok for row in rows):
        sys.exit(f"nothing to draw; the reasons are in {record.path}")
    picture(rows).savefig(args.out / "smooth_edges.png")
    print(f"written to {args.out}: smooth_edges.csv, smooth_edges.png")


def _add_choices(
    parser: argparse.ArgumentParser, name: str, choices: Any, default: list[str]
) -> None:
    parser.add_argument(
        name, nargs="+", choices=list(choices), default=default, help=" ".join(default)
    )


if __name__ == "__main__":
    main()
