"""``captum-ext exam``: all methods on a model whose right answer is known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_ext.choices import EXAM_IMAGES, EXAM_MODELS, EXAM_OUTPUTS
from captum_ext.cli.common import (
    INTERRUPTED,
    bad_input,
    chosen_methods,
    natural_seed,
    settings_of,
    writable,
)
from captum_ext.value_checks import check_int

if TYPE_CHECKING:
    from torch import Tensor

    from captum_ext.exam import ExamAnswer, KnownModel
    from captum_ext.exam.report import AnswerFile
    from captum_ext.spec import MethodSpec

#: The model's weights take 2 GiB at this size.
MAX_SIZE = 1024
#: All images together take 1 GiB.
MAX_PIXELS = 2**27


def add_exam(commands: Any) -> None:
    """Adds the command to the parsers of all."""
    exam = commands.add_parser("exam", help="examine methods on a model whose answer is known")
    exam.add_argument(
        "--model",
        default="center_pixel",
        help=f"one of {', '.join(EXAM_MODELS)} (default: the first)",
    )
    exam.add_argument(
        "--image", default="astronaut", help=f"a path or one of {', '.join(EXAM_IMAGES)}"
    )
    exam.add_argument("--target", type=int, help="class to explain (default: the predicted one)")
    exam.add_argument(
        "--center-value", type=int, help="gray level to put at the center (center_pixel)"
    )
    exam.add_argument("--methods", default="all", help="names, separated by commas")
    exam.add_argument(
        "--output",
        choices=[output.replace("_", "-") for output in EXAM_OUTPUTS],
        help="which output of the model to explain (default: the probability of center_pixel, the "
        "logit of the others)",
    )
    exam.add_argument("--size", type=int, default=31, help="height and width in pixels")
    exam.add_argument("--alpha", type=float, help="contrast of center_pixel (default: 10)")
    exam.add_argument("--images", type=int, default=5, help="how many images to grade on")
    exam.add_argument("--seed", type=int, default=0, help="of the model, images and methods")
    exam.add_argument("--out", type=Path, default=Path("exam"), help="folder for the results")
    exam.set_defaults(run=_run_exam)


def _run_exam(args: argparse.Namespace) -> int:
    check_int(args.size, "size", 3, MAX_SIZE)
    check_int(args.images, "images", 1, MAX_PIXELS // args.size**2)
    natural_seed(args.seed)
    from captum_ext.exam import exam_images, grade
    from captum_ext.exam.report import figure, format_table, write_grades

    specs = chosen_methods(args.methods)
    model = _model(args)
    if args.target is not None and not 0 <= args.target < model.n_classes:
        raise ValueError(f"target must be from 0 to {model.n_classes - 1}; got {args.target}")
    images = exam_images(
        args.image,
        args.images,
        model.size,
        center_value=args.center_value,
        seed=args.seed,
        relevant=model.ground_truth(),
    )
    answers: list[ExamAnswer] = []
    interrupted = False
    with _answer_file(args.out) as file:
        try:
            for answer in _with_progress(model, images, specs, args):
                answers.append(answer)
                file.write(answer)
        except KeyboardInterrupt:
            interrupted = True
    grades = grade(answers)
    print(format_table(grades))
    used = {"output": model.output.replace("_", "-"), "alpha": getattr(model, "alpha", None)}
    write_grades(args.out / "exam.json", settings_of(args) | used, grades, answers)
    first = [answer for answer in answers if answer.image == 0]
    figure(model, images[:1], first).savefig(args.out / "exam.png")
    print(f"\nwritten to {args.out}: exam.png, exam.csv, exam.json")
    if interrupted:
        print(f"interrupted after {len(answers)} answers", file=sys.stderr)
    return INTERRUPTED if interrupted else 0


def _model(args: argparse.Namespace) -> KnownModel:
    """The exam model that the arguments name.

    Raises:
        ValueError: an unknown model, or an argument that it does not take.
    """
    from captum_ext.exam import CenterPixelModel, make_model

    own = {} if args.alpha is None else {"alpha": args.alpha}
    output = None if args.output is None else args.output.replace("-", "_")
    with bad_input():
        model = make_model(args.model, args.size, args.seed, output, **own)
    if args.center_value is not None and not isinstance(model, CenterPixelModel):
        raise ValueError(
            f"center_value is for center_pixel only, which looks there; got {args.center_value} "
            f"with the model {args.model}"
        )
    return model


def _answer_file(folder: Path) -> AnswerFile:
    from captum_ext.exam.report import AnswerFile

    with writable(folder):
        return AnswerFile(folder / "exam.csv")


def _with_progress(
    model: KnownModel,
    images: Tensor,
    specs: Sequence[MethodSpec],
    args: argparse.Namespace,
) -> Any:
    from tqdm.auto import tqdm

    from captum_ext.exam import examine

    with tqdm(total=len(images) * len(specs), unit="answer", file=sys.stderr) as bar:

        def show(spec: MethodSpec, index: int) -> None:
            bar.set_description(f"image {index + 1}/{len(images)}, {spec.title}")

        for answer in examine(model, images, specs, args.target, args.seed, show):
            yield answer
            bar.update()
