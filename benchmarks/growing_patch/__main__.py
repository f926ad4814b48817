"""A gray patch grows over pixels that do not matter; the score stays. Which heat maps change?

    python -m benchmarks.growing_patch [--model center_pixel] [--size 21]
        [--images PHOTO ...] [--areas 2 5 10 20 40] [--methods all] [--show METHOD ...]
        [--tolerance 0.05] [--fooled-below 0.9] [--workers N] [--seed 0] [--out growing_patch]
    python -m benchmarks.growing_patch --model squeezenet1_0 --weights FILE --methods A,B ...

The patch grows from the upper left corner to so many percent of the image. On a model of the exam
(``center_pixel``, ``additive``, ``and_or``, ``saturation``) it spares the pixels that matter, and
the score cannot move. On a classifier it may: how far it does stands beside, and only images count
whose probability of the class moves by less than the tolerance. The explained class is that of the
whole image. A method that explains an output that the patch does move is left out.

Heat maps are compared as one sees them: magnitudes, summed over the channels, scaled as Captum
draws them (the brightest values, which hold 2 % of the sum, are white) and cut off there. SSIM is
scikit-image's, of windows of 7 x 7 pixels, but its mean is over those windows only in which either
map has something to be seen (a tenth of white): where the right map is a single pixel, two maps of
anything sparse agree about nearly all windows that they are black, and the mean over all is hardly
below 0.9. Images on which neither map shows anything do not count. That mean (``ssim_all``) and
Spearman's correlation of all pixels are in the report. A method whose SSIM falls below 0.9 while
the score stays is fooled; to be steady is not to be right. ``The image itself``, as a heat
map, shows how far a method falls that shows the image and not the model.

Written to the output folder: ``study.sqlite``, with which an interrupted run goes on;
``attributions/``; ``report.html``, the study's report; ``growing_patch.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import study_arguments, subjects
from benchmarks.growing_patch.cases import EXAM_MODELS, applicable, make_study, patched_subject
from benchmarks.growing_patch.figure import draw
from benchmarks.growing_patch.figure_columns import columns_of, most_telling, shown_by_default
from benchmarks.growing_patch.heat import WINDOW
from benchmarks.growing_patch.report import findings_of, format_findings
from captum_ext.study import study_images


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None,
        epilog=f"--model takes those of the exam, too: {', '.join(EXAM_MODELS)}",
    )
    subjects.add_arguments(parser)
    parser.set_defaults(model="center_pixel")
    parser.add_argument(
        "--size", type=subjects.at_least(WINDOW), default=21, help="pixels, of the exam"
    )
    parser.add_argument(
        "--areas",
        type=_percent,
        nargs="+",
        default=[2, 5, 10, 20, 40],
        help="of the patch, in percent of the image",
    )
    parser.add_argument("--tolerance", type=float, default=0.05, help="up to which a score stays")
    parser.add_argument("--fooled-below", type=float, default=0.9, metavar="SSIM")
    parser.add_argument(
        "--show", nargs="+", default=[], metavar="METHOD", help="whose heat maps to draw"
    )
    study_arguments.add_arguments(parser, out="growing_patch")
    args = parser.parse_args()
    asked = {"model": args.model, "weights": args.weights, "size": args.size}
    areas = sorted(set(args.areas))
    try:
        entries, problems = applicable(patched_subject(**asked, area=0), args.methods)
        by_name = {entry.name: entry for entry in entries}
        for name in args.show:
            if name not in by_name:
                raise ValueError(f"--show must be one of {', '.join(by_name)}; got {name!r}")
        images = study_images(args.images, Path())
        study = make_study(entries, images, areas, **asked, seed=args.seed)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        parser.error(str(error))
    results = study_arguments.run(parser, args, study)
    findings = findings_of(results, areas, args.tolerance)
    print(f"{args.model}, {len(images)} images\n")
    print(format_findings(findings, args.fooled_below))
    if problems:
        print("Left out:", *problems, sep="\n  ")
    shown = [by_name[name] for name in args.show or shown_by_default(findings)]
    image = images[most_telling(results, shown, args.tolerance)]
    columns = columns_of(results, study, args.out, image, shown)
    titles = [entry.title for entry in shown]
    draw(columns, titles, findings, args.fooled_below).savefig(args.out / "growing_patch.png")
    print(f"\nwritten to {args.out}: study.sqlite, attributions, report.html, growing_patch.png")


def _percent(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 100; got {text}")
    return value


if __name__ == "__main__":
    main()
