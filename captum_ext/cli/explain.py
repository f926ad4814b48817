"""``captum-ext explain``: heat maps of pictures, by any methods, for a model's top classes."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_ext.choices import (
    BASELINES,
    DEFAULT_METHOD,
    EMBEDDED,
    MAX_SIDE,
    OUTPUTS,
)
from captum_ext.cli.common import (
    BAD_INPUT,
    FAILED_IN_PART,
    INTERRUPTED,
    bad_input,
    check_writable,
    chosen_methods,
    natural_seed,
    reason_of,
    settings_of,
    writable,
)
from captum_ext.cli.model_options import add_model_options, load_chosen_model
from captum_ext.cli.picture_report import PictureFolders, report_of
from captum_ext.value_checks import check_int, check_number, printable

if TYPE_CHECKING:
    from tqdm import tqdm

    from captum_ext.models import Classifier, TopClass
    from captum_ext.pictures import ExplainedPicture
    from captum_ext.spec import MethodSpec

#: Of classes and passes.
MOST = 10**9
#: Of a whole number among the settings; a seed has 32 bits.
MOST_SETTING = 2**32


def add_explain(commands: Any) -> None:
    """Adds the command to the parsers of all."""
    explain = commands.add_parser("explain", help="explain pictures that a model classifies")
    explain.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help=f"files, folders, or photographs of scikit-image: {', '.join(EMBEDDED)}",
    )
    add_model_options(explain.add_argument_group("the model"))
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
    what.add_argument(
        "--strict", action="store_true", help="a map that breaks its method's promise is an error"
    )
    what.add_argument(
        "--no-checks", action="store_true", help="leave out the checks that take passes"
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
    _check_numbers(args)
    check_writable(args.out)
    from tqdm.auto import tqdm

    from captum_ext.visualize import check_drawing

    specs = chosen_methods(args.method)
    if args.passes is not None:
        for spec in specs:
            spec.checked_budget(args.passes)
    check_drawing(alpha=args.alpha, cmap=args.cmap, outlier_perc=args.outliers)
    with bad_input():
        model = load_chosen_model(args)
        request = _PictureRequest(args, model, specs)
    with tqdm(total=len(images) * request.n_maps, unit="map", file=sys.stderr) as bar:
        return _explain_all(images, request, bar)


def _explain_all(images: Sequence[str | Path], request: _PictureRequest, bar: tqdm[Any]) -> int:
    """Explains one picture after the other; whatever fails, the others go on."""
    from captum_ext.pictures import PictureInterrupt

    done = maps = failed = 0
    stopped = ""
    folders = PictureFolders(request.out)
    for number, image in enumerate(images, start=1):
        bar.set_description(f"picture {number}/{len(images)}, {printable(Path(image).name)}")
        try:
            try:
                explained = request.explained(image, lambda *_: bar.update())
            except PictureInterrupt as interrupt:
                explained = interrupt.explained
                stopped = f", with {explained.n_maps} maps of the next"
            folder = folders.of(image)
            request.save(explained, folder)
            bar.write(report_of(explained, folder), file=sys.stdout)
            sys.stdout.flush()
            if stopped:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            bar.write(
                f"interrupted after {done} of {len(images)} pictures{stopped}", file=sys.stderr
            )
            return INTERRUPTED
        except BaseException as error:
            # Whatever a model, a method or a disk may raise, and be it exit().
            reason = reason_of(error)
            if len(images) == 1:
                raise ValueError(reason) from error
            which = "" if reason.startswith("image ") else f"{printable(image)}: "
            bar.write(f"skipped: {which}{reason}", file=sys.stderr)
            continue
        done += 1
        maps += explained.n_maps
        failed += explained.n_failed
    return _exit_code(len(images), done, maps, failed)


def _exit_code(pictures: int, done: int, maps: int, failed: int) -> int:
    """Tells what failed, and the shell that something did."""
    if done < pictures:
        print(f"{pictures - done} of {pictures} pictures were skipped", file=sys.stderr)
    if failed:
        print(f"{failed} of {maps + failed} maps failed", file=sys.stderr)
    if not maps:
        return BAD_INPUT
    return FAILED_IN_PART if failed or done < pictures else 0


def _check_numbers(args: argparse.Namespace) -> None:
    """Refuses numbers that nothing could be made of, before anything is loaded.

    Raises:
        ValueError: it names the argument and its bounds.
    """
    check_int(args.top, "top", 1, MOST)
    if args.size is not None:
        check_int(args.size, "size", 1, MAX_SIDE)
    if args.passes is not None:
        check_int(args.passes, "passes", 1, MOST)
    for name in ("mean", "std"):
        for value in getattr(args, name) or ():
            check_number(value, name, -MOST, MOST)
    for name, value in args.set:
        for each in _whole_numbers(value):
            if abs(each) > MOST_SETTING:
                raise ValueError(f"{name} must be at most {MOST_SETTING}; got {value}")
    natural_seed(args.seed)


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _whole_numbers(each)


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
        self.out: Path = args.out
        self.settings = settings_of(args)
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
            "checks": not args.no_checks,
            "strict": args.strict,
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
            name=printable(image),
            on_start=on_start,
            **self.request,
        )

    def save(self, explained: ExplainedPicture, folder: Path) -> None:
        from captum_ext.pictures import save_explanation

        with writable(folder):
            save_explanation(explained, folder, settings=self.settings, **self.drawing)


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"must be as n_samples=200; got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return name, value
