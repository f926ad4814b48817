"""``captum-ext explain``: heat maps of pictures, by any methods, for a model's top classes."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_ext.choices import (
    BASELINES,
    DEFAULT_METHOD,
    DEVICES,
    EMBEDDED,
    FITS,
    OUTPUT_KINDS,
    OUTPUTS,
)
from captum_ext.cli.common import (
    BAD_INPUT,
    INTERRUPTED,
    bad_input,
    check_writable,
    chosen_methods,
    natural_seed,
    settings_of,
    writable,
)
from captum_ext.results import aligned
from captum_ext.value_checks import check_int

if TYPE_CHECKING:
    from tqdm import tqdm

    from captum_ext.models import Classifier, TopClass
    from captum_ext.pictures import ExplainedPicture
    from captum_ext.spec import MethodSpec


def add_explain(commands: Any) -> None:
    """Adds the command to the parsers of all."""
    explain = commands.add_parser("explain", help="explain pictures that a model classifies")
    explain.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help=f"files, folders, or photographs of scikit-image: {', '.join(EMBEDDED)}",
    )
    model = explain.add_argument_group("the model")
    model.add_argument(
        "--model",
        required=True,
        help="a name of torchvision, timm (timm:NAME) or transformers (OWNER/NAME or a folder), or "
        "package.module:factory",
    )
    model.add_argument(
        "--weights",
        default="DEFAULT",
        help="DEFAULT (the library's own), a checkpoint's path, or none (random)",
    )
    model.add_argument("--mean", type=_numbers, help="of its training images, as 0.5,0.5,0.5")
    model.add_argument("--std", type=_numbers, help="their standard deviation")
    model.add_argument("--size", type=int, help="pixels of a side of the images it takes")
    model.add_argument(
        "--fit", default=FITS[0], choices=FITS, help="own: as its weights want it; squash: no crop"
    )
    model.add_argument("--class-names", metavar="FILE", help="JSON list, or a line each")
    model.add_argument(
        "--outputs",
        default=OUTPUT_KINDS[0],
        choices=OUTPUT_KINDS,
        help="what they are: logits of classes that compete (softmax) or of independent labels "
        "(sigmoid), probabilities, or other scores; auto: as the library says, or as they look",
    )
    model.add_argument("--device", default="auto", help=f"one of {', '.join(DEVICES)}, or cuda:1")
    what = explain.add_argument_group("what is explained, and how")
    what.add_argument(
        "--method",
        default=DEFAULT_METHOD,
        metavar="NAME[,NAME...]",
        help=f"methods, or all (default: {DEFAULT_METHOD}); see captum-ext methods",
    )
    which = what.add_mutually_exclusive_group()
    which.add_argument("--top", type=int, default=3, help="how many of the highest classes")
    which.add_argument(
        "--target", action="append", metavar="N|LABEL", help="a class; may be repeated"
    )
    what.add_argument(
        "--output",
        default=OUTPUTS[0],
        choices=OUTPUTS,
        help="auto: the probability, or the logit for methods that use gradients",
    )
    what.add_argument("--baseline", metavar="NAME", help=f"one of {', '.join(BASELINES)}")
    what.add_argument("--references", metavar="FOLDER", help="pictures of other classes")
    what.add_argument("--layer", metavar="NAME", help="for methods that look into one")
    what.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="an argument of the methods that have it, as n_samples=200; may be repeated",
    )
    what.add_argument(
        "--passes",
        type=int,
        metavar="N",
        help="the most passes, forward and backward, that each method takes for a class",
    )
    what.add_argument("--seed", type=int, default=0, help="of the methods that draw")
    drawing = explain.add_argument_group("what it looks like")
    drawing.add_argument("--signed", action="store_true", help="red for the class, blue against it")
    drawing.add_argument("--alpha", type=float, default=0.5, help="of the heat map, 0 to 1")
    drawing.add_argument("--cmap", help="matplotlib's color map (default: turbo, signed RdBu_r)")
    drawing.add_argument(
        "--outliers",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="of the pixels, which share the ends of the scale",
    )
    drawing.add_argument(
        "--keep-colors", action="store_true", help="of the picture, which is gray otherwise"
    )
    explain.add_argument("--out", type=Path, default=Path("explained"), help="output folder")
    explain.set_defaults(run=run_explain)


def run_explain(args: argparse.Namespace) -> int:
    """Explains all pictures; gives the exit code."""
    from captum_ext.image_files import find_images

    images = find_images(args.images)
    check_int(args.top, "top", minimum=1)
    natural_seed(args.seed)
    check_writable(args.out)
    from tqdm.auto import tqdm

    from captum_ext.models import load_model
    from captum_ext.pictures import save_explanation
    from captum_ext.visualize import check_drawing

    specs = chosen_methods(args.method)
    if args.passes is not None:
        for spec in specs:
            spec.checked_budget(args.passes)
    check_drawing(alpha=args.alpha, cmap=args.cmap, outlier_perc=args.outliers)
    with bad_input():
        model = load_model(
            args.model,
            args.weights,
            mean=args.mean,
            std=args.std,
            size=args.size,
            fit=args.fit,
            class_names=args.class_names,
            outputs=args.outputs,
            device=args.device,
        )
        request = _PictureRequest(args, model, specs)
    done = maps = 0
    folders = _Folders(args.out)
    with tqdm(total=len(images) * request.n_maps, unit="map", file=sys.stderr) as bar:
        try:
            for number, image in enumerate(images, start=1):
                bar.set_description(f"picture {number}/{len(images)}, {_shown(Path(image).name)}")
                try:
                    explained = request.explained(image, lambda *_: bar.update())
                except (ValueError, TypeError, RuntimeError, MemoryError) as error:
                    reason = " ".join(str(error).split()) or "not enough memory"
                    if len(images) == 1:
                        raise ValueError(reason) from error
                    which = "" if reason.startswith("image ") else f"{_shown(image)}: "
                    bar.write(f"skipped: {which}{reason}", file=sys.stderr)
                    continue
                folder = folders.of(image)
                with writable(folder):
                    save_explanation(
                        explained, folder, settings=settings_of(args), **request.drawing
                    )
                _say(_report(explained, folder), bar)
                done += 1
                maps += sum(answer.attribution is not None for answer in explained.answers)
        except KeyboardInterrupt:
            print(f"interrupted after {done} of {len(images)} pictures", file=sys.stderr)
            return INTERRUPTED
    if done < len(images):
        print(f"{len(images) - done} of {len(images)} pictures were skipped", file=sys.stderr)
    return 0 if maps else BAD_INPUT


class _PictureRequest:
    """What is asked of every picture, known to be sound before the first is read."""

    def __init__(
        self, args: argparse.Namespace, model: Classifier, specs: Sequence[MethodSpec]
    ) -> None:
        from captum_ext.asking import Request
        from captum_ext.coerce import layer_of, references_of
        from captum_ext.pictures import check_request

        self.model = model
        self.specs = specs
        self.drawing: dict[str, Any] = {
            "signed": args.signed,
            "alpha": args.alpha,
            "cmap": args.cmap,
            "outlier_perc": args.outliers,
            "gray": not args.keep_colors,
        }
        targets = args.target and [model.index_of(target) for target in args.target]
        self.n_maps = len(specs) * len(targets or range(args.top))
        self.request: dict[str, Any] = {
            "output": args.output,
            "baseline": args.baseline,
            "references": references_of(model, args.references),
            "layer": layer_of(model, args.layer),
            "arguments": dict(args.set),
            "passes": args.passes,
        }
        settings = self.request.pop("arguments")
        check_request(Request(settings=settings, **self.request), specs, model)
        self.request |= {"arguments": settings}
        self.request |= {"top": args.top, "targets": targets, "generator": args.seed}

    def explained(
        self, image: str | Path, on_start: Callable[[MethodSpec, TopClass], None]
    ) -> ExplainedPicture:
        from captum_ext.image_files import read_image
        from captum_ext.pictures import explain_picture

        return explain_picture(
            self.model,
            read_image(image),
            self.specs,
            name=_shown(image),
            on_start=on_start,
            **self.request,
        )


def _shown(name: str | Path) -> str:
    """A file's name for the eye: it may hold bytes that are no UTF-8."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def _say(text: str, bar: tqdm[Any]) -> None:
    """Prints, as long as anybody reads."""
    try:
        bar.write(text, file=sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has left (`| head`); what is still to be explained goes to files.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


class _Folders:
    """A folder for each picture, also where two have the same name."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._taken: set[str] = set()

    def of(self, image: str | Path) -> Path:
        stem = name = Path(image).stem.strip(".") or "picture"
        number = 2
        while name.lower() in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name.lower())
        return self.out / name


def _report(explained: ExplainedPicture, folder: Path) -> str:
    """What is printed of a picture: its classes, and what each map has cost."""
    height, width = explained.picture.shape[1:]
    classes = [
        (
            f"{about.index}",
            about.label,
            *(
                (f"{about.logit:.2f}" if about.has_logit else "-", f"{about.probability:.4f}")
                if about.has_probability
                else (f"{about.score:.4g}",)
            ),
        )
        for about in explained.classes
    ]
    answers = [
        (
            answer.method.title,
            answer.about.label,
            answer.output,
            f"{answer.passes.forward}",
            f"{answer.passes.backward}",
            f"{answer.seconds:.1f}",
        )
        for answer in explained.answers
        if answer.attribution is not None
    ]
    odd: dict[tuple[str, str], list[str]] = {}
    for answer in explained.answers:
        if answer.remark:
            labels = odd.setdefault((answer.method.title, answer.remark), [])
            labels.append(answer.about.label)
    remarks = [
        f"{title}{_of(labels) if len(labels) < len(classes) else ''}: {remark}"
        for (title, remark), labels in odd.items()
    ]
    lines = [
        f"{explained.name} ({width} x {height})",
        *aligned(("class", "label", *_columns(explained.classes[0])), classes, left=(1,)),
        "",
        *aligned(
            ("method", "label", "explains", "forward", "backward", "seconds"),
            answers,
            left=(0, 1, 2),
        ),
        *remarks,
        f"written to {folder}",
        "",
    ]
    return "\n".join(lines)


def _columns(about: TopClass) -> tuple[str, ...]:
    """What is told of each class of a picture, all of one kind of outputs."""
    if not about.has_probability:
        return ("score",)
    return "logit", f"probability ({about.outputs})" if about.has_logit else "probability"


def _of(labels: Sequence[str]) -> str:
    return f" ({', '.join(labels)})"


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be numbers separated by commas; got {text!r}"
        ) from None


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"must be as n_samples=200; got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
