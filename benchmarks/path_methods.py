"""Path methods side by side on photographs: what they show, what they cost, how complete they are.

    python -m benchmarks.path_methods [--images PHOTO ...] [--references PHOTO ...]
        [--model squeezenet1_0] [--weights imagenet] [--workers N] [--out path_methods]

Integrated Gradients (from black), Expected Gradients (from the references), Guided IG (from black),
Blur IG and IG2 (to the references) explain each photograph's highest logit. References are other
photographs, as many as requested, that the model puts into another class. Written to the output
folder: ``path_methods.png``, the heat maps as PAIR draws them (sum of magnitudes over the channels,
brightest at the 99th percentile); ``path_methods.csv``; ``report.html``; and ``study.sqlite``, with
which an interrupted run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import saliency.core as pair
from matplotlib.axes import Axes
from torch import Tensor

from benchmarks.side_by_side import as_settings, finish, model_entry, parser_of, photographs
from benchmarks.study_arguments import run
from benchmarks.subjects import at_least
from captum_ext.metric_spec import MetricSpec
from captum_ext.study import (
    Aim,
    MethodEntry,
    MetricContext,
    MetricEntry,
    ModelEntry,
    Study,
    StudyImage,
)
from captum_ext.study.define.models import PREDICTED


def methods(labels: Sequence[int], n_references: int, steps: int) -> list[MethodEntry]:
    """The methods, with as many steps (or samples) for each path.

    Args:
        labels: classes of the references to choose from.
        n_references: for each image.
        steps: of each path.
    """
    told: dict[str, Any] = {"return_convergence_delta": True}
    from_black = told | {"n_steps": steps}
    others = partial(compared, labels=list(labels), n_references=n_references, **told)
    # GradientShap without noise.
    expected = partial(others, n_samples=steps, stdevs=0.0)
    entries: list[tuple[str, str, Any]] = [
        ("Integrated Gradients", "integrated_gradients", from_black),
        ("Expected Gradients", "gradient_shap", expected),
        ("Guided IG", "guided_ig", from_black),
        ("Blur IG", "blur_ig", {"n_steps": steps}),
        ("IG2", "ig2", partial(others, n_steps=steps, clip=(0.0, 1.0))),
    ]
    return [
        MethodEntry(name, title=title, output="logit", settings=settings)
        for title, name, settings in entries
    ]


def compared(
    aim: Aim,
    references: Tensor | None,
    *,
    labels: Sequence[int],
    n_references: int,
    **settings: Any,
) -> dict[str, Any]:
    """The settings of a method that compares with references of other classes.

    Raises:
        ValueError: there is none.
    """
    others = [number for number, label in enumerate(labels) if label != aim.target]
    if references is None or not others:
        raise ValueError(f"no reference is of another class than {aim.label}")
    return settings | {"baselines": references[others[:n_references]]}


def delta(question: MetricContext) -> float:
    """By how much the sum of the attributions misses the change of the output along the path.

    Raises:
        ValueError: the method does not tell.
    """
    if not question.beside:
        raise ValueError(f"{question.spec.title} does not tell its convergence delta")
    return abs(float(question.beside[0].mean()))


ABOUT = "what the attributions' sum misses"
DELTA = MetricSpec("delta", "|delta|", "lower", ABOUT, delta, needs={"context"})


def classes(model: ModelEntry, images: Sequence[StudyImage]) -> list[int]:
    """What the model takes each image for."""
    subject = model.load()
    return [subject.aim(subject.see(image.read()), PREDICTED).target for image in images]


def draw(axes: Axes, image: Tensor, heat: Tensor) -> None:
    axes.imshow(pair.VisualizeImageGrayscale(heat.movedim(0, -1).numpy()), cmap="gray")


def main() -> None:
    parser = parser_of(__doc__, out="path_methods")
    parser.add_argument(
        "--references", nargs="+", help="files to choose from; the images themselves"
    )
    parser.add_argument("--n-references", type=at_least(1), default=8, help="for each image")
    parser.add_argument("--steps", type=at_least(1), default=200, help="of each path")
    args = parser.parse_args()
    model = model_entry(args.model, args.weights)
    try:
        images = photographs(args.images, args.size)
        pool = photographs(args.references, args.size) if args.references else images
        labels = classes(model, pool)
    except (OSError, ValueError, RuntimeError) as error:
        parser.error(str(error))
    if pool is images and len(set(labels)) < 2:
        parser.error("--references must hold photographs of another class than the image's")
    study = Study(
        "Path methods side by side",
        [model],
        images,
        methods(labels, args.n_references, args.steps),
        [MetricEntry("srg"), MetricEntry(DELTA)],
        references=pool,
        keep_attributions=True,
        settings=as_settings(args),
    )
    finish(run(parser, args, study), args, "path_methods", images, draw)


if __name__ == "__main__":
    main()
