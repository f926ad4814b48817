"""Prediction difference analysis and Meaningful Perturbation beside Occlusion, on photographs.

    python -m benchmarks.perturbation_methods [--images PHOTO ...] [--data PHOTO ...]
        [--model squeezenet1_0] [--weights imagenet] [--out perturbation_methods]

Each explains the probability of each photograph's highest class. Occlusion and PDA slide the same
windows; PDA draws what else might stand there from other photographs: the same window of them
(marginal), or a Gaussian of their patches, given the window's surroundings (conditional). Written
to the output folder: ``perturbation_methods.png``, the heat maps over the photographs, and
``perturbation_methods.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.side_by_side import (
    Contestant,
    Photograph,
    compare,
    models,
    parser_of,
    photographs,
    run,
)
from captum_ext.perturbation import ConditionalGaussian, Empirical, Marginal
from captum_ext.visualize.heat_map import draw_heat_map_over_image


def contestants(
    data: Sequence[Photograph], window: int, stride: int, padding: int, n_samples: int, steps: int
) -> list[Contestant]:
    """The methods: windows and strides in pixels, samples of each window, steps of learning."""
    windows = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride)}

    def others(subject: Photograph) -> Tensor:
        return torch.cat(
            [each.image for each in data if not torch.equal(each.image, subject.image)]
        )

    def pda(marginal: Callable[[Tensor], Marginal]) -> Callable[[Photograph], dict[str, Any]]:
        return lambda subject: {
            **windows,
            "marginal": marginal(others(subject)),
            "n_samples": n_samples,
        }

    def learn(mode: str) -> Callable[[Photograph], dict[str, Any]]:
        return lambda subject: {"mode": mode, "n_steps": steps}

    def conditional(images: Tensor) -> Marginal:
        return ConditionalGaussian(images, window, padding)

    return [
        Contestant("Occlusion", "occlusion", lambda subject: dict(windows)),
        Contestant("RISE", "rise", lambda subject: {}),
        Contestant("PDA, marginal", "pda", pda(Empirical)),
        Contestant("PDA, conditional", "pda", pda(conditional)),
        Contestant("Meaningful, delete", "meaningful_perturbation", learn("delete")),
        Contestant("Meaningful, preserve", "meaningful_perturbation", learn("preserve")),
    ]


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
    model, probability = models(args)
    subjects = photographs(model, args.images, args.size)
    data = photographs(model, args.data, args.size) if args.data else subjects
    if len(data) < 2:
        parser.error("--data must hold another photograph than the one that is explained")
    if len(data) <= args.samples:
        print(f"marginal PDA has {len(data) - 1} samples only, one a photograph", file=sys.stderr)
    chosen = contestants(data, args.window, args.stride, args.padding, args.samples, args.steps)
    results = compare(probability, probability, chosen, subjects)
    run(args, "perturbation_methods", results, subjects, chosen, draw_heat_map_over_image)


if __name__ == "__main__":
    main()
