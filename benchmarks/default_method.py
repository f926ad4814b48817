"""Compare all registered methods at equal cost, to choose the default method.

    python -m benchmarks.default_method --images FOLDER [--model squeezenet1_0]
        [--weights imagenet] [--size 224] [--passes 500] [--workers N] [--out default_method]

Every method explains each image's highest class with at most ``--passes`` forward and backward
passes (:meth:`captum_ext.MethodSpec.within`). Methods that need gradients explain the class's
logit; those that only run the model explain the logit and the probability. Methods that want
references get the other images. The metric is SRG of the probability, pixel by pixel, in ten steps,
pixels fading into the image's mean color.

A source is an image file, a folder of them, an ``.npz`` of images, or one of scikit-image's
photographs. The table is printed at the end; ``default_method.csv`` has all values. An interrupted
run goes on with ``study.sqlite``.
"""

from __future__ import annotations

from benchmarks.side_by_side import as_settings, finish, model_entry, parser_of, photographs
from benchmarks.study_arguments import run
from benchmarks.subjects import at_least
from captum_ext import MethodSpec, Need, methods
from captum_ext.study import MethodEntry, MetricEntry, Study
from captum_ext.study.define.study import OTHERS


def outputs_of(spec: MethodSpec) -> tuple[str, ...]:
    """Which outputs of the model a method explains here."""
    if Need.GRADIENTS in spec.needs:
        return ("logit",)
    return ("probability",) if Need.PROBABILITIES in spec.needs else ("logit", "probability")


def main() -> None:
    parser = parser_of(__doc__, out="default_method")
    parser.add_argument("--passes", type=at_least(1), default=500, help="at most, for a heat map")
    args = parser.parse_args()
    try:
        study = Study(
            "Which method by default?",
            [model_entry(args.model, args.weights)],
            photographs(args.images, args.size),
            [
                MethodEntry(spec.name, f"{spec.name} {output}", output=output)
                for spec in methods()
                for output in outputs_of(spec)
            ],
            [MetricEntry("srg")],
            passes=args.passes,
            references=OTHERS,
            settings=as_settings(args),
        )
    except ValueError as error:
        parser.error(str(error))
    finish(run(parser, args, study), args, "default_method")


if __name__ == "__main__":
    main()
