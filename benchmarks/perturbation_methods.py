"""Prediction difference analysis and Meaningful Perturbation beside Occlusion, on photographs.

    python -m benchmarks.perturbation_methods [--images PHOTO ...] [--data PHOTO ...]
        [--model squeezenet1_0] [--weights imagenet] [--workers N] [--out perturbation_methods]

Each explains the probability of each photograph's highest class. Occlusion and PDA slide the same
windows; PDA draws what else might stand there from other photographs: the same window of them
(marginal), or a Gaussian of their patches, given the window's surroundings (conditional). Written
to the output folder: ``perturbation_methods.png``, the heat maps over the photographs;
``perturbation_methods.csv``; ``report.html``; and ``study.sqlite``, with which an interrupted run
goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.side_by_side import as_settings, finish, model_entry, parser_of, photographs
from benchmarks.study_arguments import run
from captum_ext.perturbation import ConditionalGaussian, Empirical, Marginal
from captum_ext.study import Aim, MethodEntry, MetricEntry, Study
from captum_ext.visualize.heat_map import draw_heat_map_over_image


def methods(
    window: int, stride: int, padding: int, n_samples: int, steps: int
) -> list[MethodEntry]:
    """The methods: windows and strides in pixels, samples of each window, steps of learning."""
    windows: dict[str, Any] = {
        "sliding_window_shapes": (3, window, window),
        "strides": (3, stride, stride),
    }
    drawn = partial(pda, **windows, n_samples=n_samples)
    conditional = partial(ConditionalGaussian, patch=window, padding=padding)
    entries: list[tuple[str, str, Any]] = [
        ("Occlusion", "occlusion", windows),
        ("RISE", "rise", {}),
        ("PDA, marginal", "pda", partial(drawn, marginal=Empirical)),
        ("PDA, conditional", "pda", partial(drawn, marginal=conditional)),
        ("Meaningful, delete", "meaningful_perturbation", {"mode": "delete", "n_steps": steps}),
        ("Meaningful, preserve", "meaningful_perturbation", {"mode": "preserve", "n_steps": steps}),
    ]
    return [
        MethodEntry(method, name, output="probability", settings=settings)
        for name, method, settings in entries
    ]


def pda(
    aim: Aim, references: Tensor | None, *, marginal: Callable[[Tensor], Marginal], **settings: Any
) -> dict[str, Any]:
    """PDA's settings: it draws from all photographs but the one that is explained.

    Raises:
        ValueError: there is no other.
    """
    data = () if references is None else references
    others = [image for image in data if not torch.equal(image, aim.seen[0])]
    if not others:
        raise ValueError("--data must hold another photograph than the one that is explained")
    return settings | {"marginal": marginal(torch.stack(others))}


def main() -> None:
    parser = parser_of(__doc__, out="perturbation_methods")
    parser.add_argument(
        "--data", nargs="+", help="files that PDA draws from; the other images themselves"
    )
    parser.add_argument("--window", type=int, default=10, help="pixels of a window's side")
    parser.add_argument("--stride", type=int, default=4, help="pixels from window to window")
    parser.add_argument("--padding", type=int, default=4, help="pixels around a window")
    parser.add_argument("--samples", type=int, default=10, help="for each window")
    parser.add_argument("--steps", type=int, default=300, help="of Meaningful Perturbation")
    args = parser.parse_args()
    if not 1 <= args.stride <= args.window <= args.size - 2 * args.padding:
        parser.error("--stride, --window and --size must ascend, from 1, with room for the padding")
    try:
        images = photographs(args.images, args.size)
        data = photographs(args.data, args.size) if args.data else images
    except ValueError as error:
        parser.error(str(error))
    if len(data) < 2:
        parser.error("--data must hold another photograph than the one that is explained")
    if len(data) <= args.samples:
        print(f"marginal PDA has {len(data) - 1} samples only, one a photograph", file=sys.stderr)
    study = Study(
        "Perturbation methods side by side",
        [model_entry(args.model, args.weights)],
        images,
        methods(args.window, args.stride, args.padding, args.samples, args.steps),
        [MetricEntry("srg")],
        references=data,
        keep_attributions=True,
        settings=as_settings(args),
    )
    results = run(parser, args, study)
    finish(results, args, "perturbation_methods", images, draw_heat_map_over_image)


if __name__ == "__main__":
    main()
