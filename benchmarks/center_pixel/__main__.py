"""Who finds the one pixel that decides, as images grow?

    python -m benchmarks.center_pixel [--images 4] [--sizes 9 15 31]
        [--outputs probability log_probability logit] [--methods all] [--workers N]
        [--seed 0] [--out center_pixel]

All registered methods explain the center-pixel model, pixel by pixel, with their defaults: its
probability, log-probability and logit, at several sizes. Only the center decides the first two; the
logit depends on all other pixels, too: a low share of the center is no error there, and the
agreement with the exact Shapley values, the tables' last column, tells who is right. The images are
crops of scikit-image's photographs, gray, each with a gray level drawn for its center. They are
resized, and keep that level: at every size it is the same picture. A hit has more of
\\|attribution\\| at the center than at all other pixels together; what is less than the gradient's
rounding error counts as zero.

The published exam is ``--sizes 63 127 227``; methods that do not scale are refused there, and the
tables say so. A method that is defined on one output stands under that output only.

Written to the output folder: ``study.sqlite``, with which an interrupted run goes on;
``report.html``, the study's report; ``center_pixel.png``, a heat table of the center's share.
"""

from __future__ import annotations

import argparse

from benchmarks.center_pixel.cases import applicable, make_study
from benchmarks.center_pixel.figure import draw
from benchmarks.center_pixel.report import format_findings, format_output, table_of
from benchmarks.study_arguments import add_arguments, run
from benchmarks.subjects import at_least
from captum_ext.exam import OUTPUTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=at_least(1), default=4, metavar="N", help="how many crops")
    parser.add_argument(
        "--sizes", type=at_least(3), nargs="+", default=[9, 15, 31], help="pixels of a side"
    )
    parser.add_argument("--outputs", nargs="+", choices=OUTPUTS, default=OUTPUTS)
    add_arguments(parser, out="center_pixel")
    args = parser.parse_args()
    sizes = sorted(set(args.sizes))
    outputs = [output for output in OUTPUTS if output in args.outputs]
    try:
        entries, problems = applicable(args.methods)
    except ValueError as error:
        parser.error(str(error))
    results = run(parser, args, make_study(entries, args.images, sizes, outputs, args.seed))
    table = table_of(results, sizes, outputs)
    print(f"{args.images} images: hits, passes forward and backward, cosine with exact Shapley")
    for output in outputs:
        print(f"\n{format_output(results, table, output, sizes)}")
    print(f"\n{format_findings(results, table, sizes, outputs)}")
    if problems:
        print("Left out:", *problems, sep="\n  ")
    draw(results, table, sizes, outputs).savefig(args.out / "center_pixel.png")
    print(f"\nwritten to {args.out}: study.sqlite, report.html, center_pixel.png")


if __name__ == "__main__":
    main()
