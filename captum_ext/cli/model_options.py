"""The options of every command that takes a model: which one, and how it sees a picture."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from captum_ext.choices import DEVICES, FITS, OUTPUT_KINDS

if TYPE_CHECKING:
    from captum_ext.models import Classifier


def add_model_options(model: Any, *, required: bool = True) -> None:
    """Adds the options to a parser or a group of one.

    Args:
        model: the parser or group.
        required: whether the command needs a model.
    """
    model.add_argument(
        "--model",
        required=required,
        help="a name of torchvision, timm (timm:NAME) or transformers (OWNER/NAME or a folder), or "
        "package.module:factory",
    )
    model.add_argument(
        "--weights",
        default="DEFAULT",
        help="DEFAULT (the library's own), a checkpoint's path, or none (random); of a checkpoint "
        "with several sets of weights, as averages, model.pt#KEY takes one",
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


def load_chosen_model(args: argparse.Namespace) -> Classifier:
    """The model of the options.

    Raises:
        TypeError, ValueError: as of :func:`captum_ext.load_model`.
    """
    from captum_ext.models import load_model

    return load_model(
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


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be numbers separated by commas; got {text!r}"
        ) from None
