"""The command ``captum-ext``: lists the methods and runs the exam."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from tqdm.auto import tqdm

from captum_ext import __version__
from captum_ext.checks import check_int
from captum_ext.exam import (
    IMAGES,
    OUTPUTS,
    Answer,
    CenterPixelModel,
    exam_images,
    examine,
    grade,
)
from captum_ext.exam.report import AnswerFile, figure, format_table, write_json
from captum_ext.registry import get_method, methods
from captum_ext.spec import MethodSpec

BAD_INPUT = 2
INTERRUPTED = 130
#: The model's weights take 2 GiB at this size.
MAX_SIZE = 1024


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: its arguments; None takes those of the process.

    Returns:
        The exit code: 0, 2 for bad input, 130 when interrupted.

    Example:
        >>> main(["exam", "--methods", "salency"])
        2
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # LRP-ε on a terminal without Greek
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except BrokenPipeError:
        # The reader of our output has left (`| head`); Python flushes once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, MemoryError) as error:
        message = " ".join(str(error).split()) or "not enough memory"
        print(f"captum-ext {args.command}: error: {message}", file=sys.stderr)
        return BAD_INPUT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="captum-ext",
        description="Attribution methods that Captum and PAIR saliency lack, and an exam for all.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    listing = commands.add_parser("methods", help="list the registered methods")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=_run_methods)

    exam = commands.add_parser("exam", help="examine methods on the center-pixel model")
    exam.add_argument("--image", default="astronaut", help=f"a path or one of {', '.join(IMAGES)}")
    exam.add_argument("--target", type=int, help="class to explain (default: the predicted one)")
    exam.add_argument("--center-value", type=int, help="gray level to put at the center")
    exam.add_argument("--methods", default="all", help="names, separated by commas")
    exam.add_argument(
        "--output",
        default="probability",
        choices=[output.replace("_", "-") for output in OUTPUTS],
        help="which output of the model to explain",
    )
    exam.add_argument("--size", type=int, default=31, help="height and width in pixels")
    exam.add_argument("--alpha", type=float, default=10, help="contrast of the model")
    exam.add_argument("--images", type=int, default=5, help="how many images to grade on")
    exam.add_argument("--seed", type=int, default=0, help="of the model, images and methods")
    exam.add_argument("--out", type=Path, default=Path("exam"), help="folder for the results")
    exam.set_defaults(run=_run_exam)
    return parser


def _run_methods(args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps([spec.as_dict() for spec in methods()], indent=1))
        return 0
    for spec in methods():
        needs = ", ".join(sorted(need.value for need in spec.needs)) or "any function"
        print(f"{spec.name:24}{spec.family:14}{needs:32}{spec.paper}")
    return 0


def _run_exam(args: argparse.Namespace) -> int:
    specs = _chosen(args.methods)
    check_int(args.images, "images", minimum=1)
    if args.size > MAX_SIZE:
        raise ValueError(f"size must be at most {MAX_SIZE}; got {args.size}")
    model = CenterPixelModel(
        size=args.size,
        alpha=args.alpha,
        seed=_natural(args.seed),
        output=args.output.replace("-", "_"),
    )
    if args.target is not None and not 0 <= args.target < model.n_classes:
        raise ValueError(f"target must be from 0 to {model.n_classes - 1}; got {args.target}")
    images = exam_images(
        args.image, args.images, model.size, model.n_classes, args.center_value, args.seed
    )
    answers: list[Answer] = []
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
    write_json(args.out / "exam.json", _settings(args), grades, answers)
    first = [answer for answer in answers if answer.image == 0]
    figure(model, images[:1], first).savefig(args.out / "exam.png")
    print(f"\nwritten to {args.out}: exam.png, exam.csv, exam.json")
    if interrupted:
        print(f"interrupted after {len(answers)} answers", file=sys.stderr)
    return INTERRUPTED if interrupted else 0


def _answer_file(folder: Path) -> AnswerFile:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return AnswerFile(folder / "exam.csv")
    except OSError as error:
        raise ValueError(f"out {str(folder)!r} cannot be written: {error.strerror}") from error


def _chosen(names: str) -> list[MethodSpec]:
    if names == "all":
        return methods()
    chosen = [get_method(name.strip()) for name in names.split(",") if name.strip()]
    if not chosen:
        raise ValueError("methods must name at least one method, or be 'all'")
    return list({spec.name: spec for spec in chosen}.values())


def _natural(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to {2**32 - 1}; got {seed}")
    return seed


def _with_progress(
    model: CenterPixelModel,
    images: torch.Tensor,
    specs: Sequence[MethodSpec],
    args: argparse.Namespace,
) -> Any:
    with tqdm(total=len(images) * len(specs), unit="answer", file=sys.stderr) as bar:

        def show(spec: MethodSpec, index: int) -> None:
            bar.set_description(f"image {index + 1}/{len(images)}, {spec.title}")

        for answer in examine(model, images, specs, args.target, args.seed, show):
            yield answer
            bar.update()


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    settings = {name: value for name, value in vars(args).items() if name != "run"}
    return settings | {"out": str(args.out)}
