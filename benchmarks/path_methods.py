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

from collections.abc import Sequence
from typing import Any

import saliency.core as pair
import torch
from matplotlib.axes import Axes
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


def contestants(pool: Sequence[Photograph], n_references: int, steps: int) -> list[Contestant]:
    """The methods, with as many steps (or samples) for each path."""

    def references(subject: Photograph) -> Tensor:
        found = [other.image for other in pool if other.label != subject.label][:n_references]
        if not found:
            raise SystemExit(
                f"--references: none is of another class than {subject.name} ({subject.label})"
            )
        return torch.cat(found)

    def from_black(subject: Photograph) -> dict[str, Any]:
        return {"n_steps": steps}

    def expected(subject: Photograph) -> dict[str, Any]:
        # GradientShap without noise.
        return {"baselines": references(subject), "n_samples": steps, "stdevs": 0.0}

    def ig2(subject: Photograph) -> dict[str, Any]:
        return {"baselines": references(subject), "n_steps": steps, "clip": (0.0, 1.0)}

    return [
        Contestant("Integrated Gradients", "integrated_gradients", from_black),
        Contestant("Expected Gradients", "gradient_shap", expected),
        Contestant("Guided IG", "guided_ig", from_black),
        Contestant("Blur IG", "blur_ig", from_black),
        Contestant("IG2", "ig2", ig2),
    ]


def draw(axes: Axes, image: Tensor, heat: Tensor) -> None:
    axes.imshow(pair.VisualizeImageGrayscale(heat.movedim(0, -1).numpy()), cmap="gray")


def main() -> None:
    parser = parser_of(__doc__, out="path_methods")
    parser.add_argument(
        "--references", nargs="+", help="files to choose from; the images themselves"
    )
    parser.add_argument("--n-references", type=int, default=8, help="for each image")
    parser.add_argument("--steps", type=int, default=200, help="of each path")
    args = parser.parse_args()
    if args.n_references < 1:
        parser.error(f"--n-references must be at least 1; got {args.n_references}")
    model, probability = models(args)
    subjects = photographs(model, args.images, args.size)
    pool = photographs(model, args.references, args.size) if args.references else subjects
    if len({each.label for each in [*pool, *subjects]}) < 2:
        parser.error("--references must hold photographs of another class than the image's")
    chosen = contestants(pool, args.n_references, args.steps)
    run(args, "path_methods", compare(model, probability, chosen, subjects), subjects, chosen, draw)


if __name__ == "__main__":
    main()
