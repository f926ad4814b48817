"""Segmentation, edges or method: what matters to an explanation by perturbation?

    python -m benchmarks.smooth_edges [--images PHOTO ...] [--model squeezenet1_0]
        [--weights imagenet] [--segmenters grid slic ...] [--edges hard soft]
        [--samplers bernoulli ...] [--perturbers mean ...] [--attributers rise lime shap ...]
        [--samples 100 ...] [--occlusions mean blur ...] [--workers N] [--out smooth_edges]

Every combination explains the class that the model predicts for each photograph. Its scores are
judged by occlusion (LIF, MIF and SRG of the softmax), once with segments removed, edges and all,
and once with single pixels. All attributers of a combination get the same outputs.

Soft edges are bilinear for the grid, and a Gaussian's for the segmentations of scikit-image. What
does not go together (too few samples for an attributer, a single segment) is a failed cell with the
reason. Written to the output folder: ``study.sqlite``, with which a run that was interrupted goes
on, and another selection computes only what is not there; ``report.html``; ``smooth_edges.csv``;
and ``smooth_edges.png``: means over the photographs, and paired differences, with intervals.

Paper: Pihlgren and Främling, 2024 (arXiv 2409.04116).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks.side_by_side import as_settings, failures, model_entry, parser_of, photographs
from benchmarks.smooth_edges.cases import (
    ATTRIBUTERS,
    CELLS,
    PERTURBERS,
    SAMPLERS,
    SEGMENTERS,
    methods,
    metrics,
)
from benchmarks.smooth_edges.figure import picture
from benchmarks.smooth_edges.report import report
from benchmarks.study_arguments import run
from benchmarks.subjects import at_least
from captum_ext.study import Study, export


def main() -> None:
    parser = parser_of(__doc__, "smooth_edges")
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
    args = parser.parse_args()
    if args.size < CELLS:
        parser.error(f"--size must be at least {CELLS}; got {args.size}")
    for name, value in vars(args).items():
        if isinstance(value, (list, tuple)):
            setattr(args, name, list(dict.fromkeys(value)))
    try:
        images = photographs(args.images, args.size)
    except ValueError as error:
        parser.error(str(error))
    study = Study(
        "Segmentation, edges or method?",
        [model_entry(args.model, args.weights)],
        images,
        list(methods(args)),
        list(metrics(args)),
        seeds=[args.seed],
        settings=as_settings(args),
    )
    results = run(parser, args, study)
    export(results, args.out / "smooth_edges.csv")
    if not (results.cells["status"] == "ok").any():
        sys.exit("\n".join(["nothing to show", *failures(results)]))
    print(report(results))
    picture(results).savefig(args.out / "smooth_edges.png")
    names = "smooth_edges.csv, smooth_edges.png, report.html, study.sqlite"
    print(f"written to {args.out}: {names}")


def _add_choices(
    parser: argparse.ArgumentParser, name: str, choices: Any, default: list[str]
) -> None:
    parser.add_argument(
        name, nargs="+", choices=list(choices), default=default, help=" ".join(default)
    )


if __name__ == "__main__":
    main()
