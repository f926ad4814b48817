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
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.study_arguments import add_arguments, run
from benchmarks.subjects import at_least
from captum_ext.cli.common import chosen_methods
from captum_ext.exam import (
    OUTPUTS,
    KnownModel,
    Score,
    make_model,
    rounding_error,
    score,
    set_center,
)
from captum_ext.exam.center_pixel import WHITE
from captum_ext.image_files import EMBEDDED, read_image
from captum_ext.models.classifier import LUMINANCE
from captum_ext.results import aligned
from captum_ext.study import (
    MethodEntry,
    MetricEntry,
    ModelEntry,
    Question,
    Study,
    StudyImage,
    StudyMetric,
    StudyResults,
    TensorImage,
)
from captum_ext.study.digest import digest_of
from captum_ext.study.subjects import ExamSubject
from captum_ext.visualize.style import FAINT, INK

if TYPE_CHECKING:
    import pandas as pd

#: No crop is smaller, so that none is enlarged to the published size.
SMALLEST_CROP = 227
#: Of this part of the images a method must find the center, to be said to find it.
MOST = 0.5


def crops(n_images: int, seed: int) -> list[StudyImage]:
    """Gray crops of the embedded photographs in turn, with a gray level drawn for the center."""
    random = np.random.default_rng(seed)
    found: list[StudyImage] = []
    for number in range(n_images):
        source = EMBEDDED[number % len(EMBEDDED)]
        weights = torch.tensor(LUMINANCE, dtype=torch.float64).reshape(3, 1, 1)
        gray = (read_image(source) * weights).sum(0, keepdim=True).clamp(0, 1)
        height, width = gray.shape[1:]
        side = int(random.integers(SMALLEST_CROP, min(height, width), endpoint=True))
        top = int(random.integers(0, height - side, endpoint=True))
        left = int(random.integers(0, width - side, endpoint=True))
        level = int(random.integers(0, WHITE, endpoint=True))
        crop = gray[:, top : top + side, left : left + side]
        found.append(TensorImage(f"{source}_{number:03}_level_{level}", set_center(crop, level)))
    return found


class SameCenter(ExamSubject):
    """A center-pixel model that sees pictures resized, but for their center's gray level."""

    @property
    def fingerprint(self) -> str:
        return digest_of(super().fingerprint, "same center")

    def see(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        level = round(float(image[0, height // 2, width // 2]) * WHITE)
        return set_center(super().see(image), level)


def center_pixel(size: int, output: str) -> SameCenter:
    """The exam's model."""
    return SameCenter(make_model("center_pixel", size=size, output=output))


def model_name(size: int, output: str) -> str:
    """What a model is called in the study."""
    return f"{size} x {size}, {output}"


def _score(question: Question) -> Score:
    if "score" not in question.memory:
        asked, seen = question.asked, question.aim.seen
        if not isinstance(asked, KnownModel):
            raise TypeError(f"the model must be one of the exam; got {type(asked).__name__}")
        floor = rounding_error(asked, seen, question.aim.target)
        question.memory["score"] = score(question.attribution, asked.ground_truth(), floor)
    found: Score = question.memory["score"]
    return found


def share(question: Question, _: Mapping[str, Any]) -> float:
    return _score(question).share


def rank(question: Question, _: Mapping[str, Any]) -> float:
    return _score(question).rank


def hit(question: Question, _: Mapping[str, Any]) -> float:
    return float(_score(question).hit)


METRICS = (
    MetricEntry(
        StudyMetric("hit", "Hit", "higher", "more at the center than at all other pixels", hit)
    ),
    MetricEntry(
        StudyMetric("share", "Center's share", "higher", "of the sum of |attribution|", share)
    ),
    MetricEntry(
        StudyMetric("rank", "Center's rank", "lower", "among the pixels' |attribution|", rank)
    ),
    MetricEntry("shapley_agreement"),
)


def make_study(
    methods: Sequence[MethodEntry],
    n_images: int,
    sizes: Sequence[int],
    outputs: Sequence[str] = OUTPUTS,
    seed: int = 0,
) -> Study:
    """The study: sizes and outputs are its models."""
    models = [
        ModelEntry(
            model_name(size, output),
            partial(center_pixel, size, output),
            {"exam": "center_pixel", "size": size, "output": output},
        )
        for output, size in product(outputs, sizes)
    ]
    return Study(
        "Who finds the one pixel that decides, as images grow?",
        models,
        crops(n_images, seed),
        methods,
        METRICS,
        seeds=[seed],
        gallery=2,
    )


class Found(NamedTuple):
    """What came out for a method, an output and a size.

    Attributes:
        n: images that it explained; 0: none.
        hits: of these.
        share: the center's, on average.
        passes: forward and backward, on average.
        agreement: with the exact Shapley values, on average; NaN where these are not known.
        error: why it explained none.
    """

    n: int
    hits: int
    share: float
    passes: float
    agreement: float
    error: str


#: By method, output and size. What a method explains another output for is not among them.
Table = dict[tuple[str, str, int], Found]


def table_of(results: StudyResults, sizes: Sequence[int], outputs: Sequence[str]) -> Table:
    """The cells of a study, over images."""
    table: Table = {}
    groups = results.cells.groupby(["model", "method"], observed=True)
    for output, size, method in product(outputs, sizes, results.methods):
        cells = groups.get_group((model_name(size, output), method))
        if set(cells["output"]) <= {output, ""}:
            table[method, output, size] = _found(cells)
    return table


def _found(cells: pd.DataFrame) -> Found:
    good = cells[cells["status"] == "ok"]
    hits, shares, agreements = (
        good[good["metric"] == name] for name in ("hit", "share", "shapley_agreement")
    )
    if hits.empty:
        return Found(0, 0, np.nan, np.nan, np.nan, str(cells["error"].iloc[0]))
    passes = float((hits["forward"] + hits["backward"]).mean())
    means = (float(each["value"].mean()) for each in (shares, agreements))
    share_of_center, agreement = means
    return Found(len(hits), int(hits["value"].sum()), share_of_center, passes, agreement, "")


def ordered(methods: Sequence[str], table: Table) -> list[str]:
    """Methods, those that find the center most often first."""

    def badness(method: str) -> tuple[bool, float, float]:
        own = [found for (name, *_), found in table.items() if name == method and found.n]
        rates = [found.hits / found.n for found in own]
        shares = [found.share for found in own]
        return not own, -sum(rates) / max(1, len(own)), -sum(shares) / max(1, len(own))

    return sorted(methods, key=badness)


def format_output(results: StudyResults, table: Table, output: str, sizes: Sequence[int]) -> str:
    """Hits, passes and agreement with Shapley of all methods that explain an output."""
    own = {key: found for key, found in table.items() if key[1] == output}
    names = ordered([name for name in results.methods if (name, output, sizes[0]) in own], own)
    rows: list[list[str]] = []
    errors: dict[str, None] = {}
    for name in names:
        row = [results.methods[name]]
        for size in sizes:
            found = own[name, output, size]
            row += [f"{found.hits}/{found.n}", f"{found.passes:,.0f}"] if found.n else ["-", "-"]
            if found.error:
                errors[found.error] = None
        known = [found.agreement for size in sizes if (found := own[name, output, size]).n]
        known = [agreement for agreement in known if not np.isnan(agreement)]
        rows.append([*row, f"{np.mean(known):.2f}" if known else "-"])
    header = [output.replace("_", "-")]
    for size in sizes:
        header += [f"{size} x {size}", "passes"]
    header.append("Shapley")
    return "\n".join([*aligned(header, rows), *(f"- {error}" for error in errors)])


def format_findings(
    results: StudyResults, table: Table, sizes: Sequence[int], outputs: Sequence[str]
) -> str:
    """For which outputs methods find the center: on most images, at every size they can take."""
    groups: dict[tuple[str, ...], list[str]] = {}
    fading: list[str] = []
    silent: list[str] = []
    for name, title in results.methods.items():
        finds = {
            output: {
                size: found.hits / found.n > MOST
                for size in sizes
                if (found := table.get((name, output, size))) and found.n
            }
            for output in outputs
        }
        right = tuple(output for output, at in finds.items() if at and all(at.values()))
        if any(finds.values()):
            groups.setdefault(right, []).append(title)
        else:
            silent.append(title)
        for output, at in finds.items():
            if any(at.values()) and not all(at.values()):
                found_at = ", ".join(f"{size}" for size, is_found in at.items() if is_found)
                fading.append(f"{title} ({output.replace('_', '-')}: at {found_at})")
    lines = ["Found on most images at every size, by what is explained:"]
    for right in sorted(groups, key=len, reverse=True):
        what = ", ".join(each.replace("_", "-") for each in right) or "none of these"
        lines.append(f"  {what}: {', '.join(groups[right])}")
    if fading:
        lines.append(f"Found at some sizes only: {', '.join(fading)}")
    if silent:
        lines.append(f"No answer about any of these outputs: {', '.join(silent)}")
    return "\n".join(lines)


# Inches: a row and a column of the heat table, the names, the passes, head and foot.
_ROW, _COLUMN, _NAMES, _PASSES, _HEAD, _FOOT, _GAP = 0.21, 0.52, 1.75, 0.75, 0.8, 0.62, 0.14


def draw(
    results: StudyResults, table: Table, sizes: Sequence[int], outputs: Sequence[str]
) -> Figure:
    """The center's share by method, output and size: a panel for each output."""
    names = ordered(list(results.methods), table)
    panel = _COLUMN * len(sizes)
    width = _NAMES + len(outputs) * (panel + _GAP) + _PASSES
    height = _HEAD + _ROW * len(names) + _FOOT
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    n_images = len(results.images)
    figure.text(
        0.1 / width,
        1 - 0.1 / height,
        "Only the center pixel decides. How much of the attribution does it get?",
        fontsize=9.5,
        color=INK,
        va="top",
    )
    for number, output in enumerate(outputs):
        place = (
            (_NAMES + number * (panel + _GAP)) / width,
            _FOOT / height,
            panel / width,
            _ROW * len(names) / height,
        )
        axes = figure.add_axes(place)
        _draw_panel(axes, [[table.get((name, output, size)) for size in sizes] for name in names])
        axes.set_xticks(
            np.arange(len(sizes)) + 0.5, [f"{size}" for size in sizes], fontsize=7, color=INK
        )
        axes.set_title(output.replace("_", "-"), fontsize=8.5, color=INK, pad=17)
        titles = [results.methods[name] for name in names] if number == 0 else []
        axes.set_yticks(np.arange(len(titles)) + 0.5, titles, fontsize=7, color=INK)
    right = _NAMES + len(outputs) * (panel + _GAP)
    _write_passes(figure, right / width, height, names, table, sizes)
    _draw_scale(figure, width, height, n_images)
    return figure


def _draw_panel(axes: Axes, rows: Sequence[Sequence[Found | None]]) -> None:
    values = [[found.share if found and found.n else np.nan for found in row] for row in rows]
    axes.pcolormesh(
        np.ma.masked_invalid(values), cmap="YlGn", vmin=0, vmax=1, edgecolors="white", linewidth=1.2
    )
    for y, row in enumerate(rows):
        for x, found in enumerate(row):
            text, color = "·", FAINT
            if found is not None:
                text, color = "×", INK
                if found.n:
                    text = f"{found.hits}/{found.n}"
                    color = "white" if found.share > 0.6 else INK if found.hits else "#8a8a8a"
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=6, color=color)
    axes.set_ylim(len(rows), 0)
    axes.tick_params(length=0, labelbottom=False, labeltop=True, pad=2)
    axes.spines[:].set_visible(False)


def _write_passes(
    figure: Figure,
    left: float,
    height: float,
    names: Sequence[str],
    table: Table,
    sizes: Sequence[int],
) -> None:
    """At the largest size that a method can take."""
    top = (height - _HEAD) / height
    figure.text(left, top + 0.05 / height, "passes", fontsize=7, color=INK, va="bottom", ha="left")
    for row, name in enumerate(names):
        own = [
            found
            for size in sizes
            for (method, _, at), found in table.items()
            if method == name and at == size and found.n
        ]
        text = f"{own[-1].passes:,.0f}" if own else "-"
        y = top - (row + 0.53) * _ROW / height
        figure.text(left, y, text, fontsize=6.5, color=INK, va="center", ha="left")


def _draw_scale(figure: Figure, width: float, height: float, n_images: int) -> None:
    axes = figure.add_axes((0.1 / width, 0.3 / height, 1.2 / width, 0.1 / height))
    axes.imshow([np.linspace(0, 1, 100)], cmap="YlGn", aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"], fontsize=6.5, color=INK)
    axes.set_yticks([])
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_edgecolor(FAINT)
    figure.text(
        1.5 / width,
        0.4 / height,
        f"color: the center's share of |attribution|, mean of {n_images} images; figures: hits "
        "(a share above one half)\n"
        "columns: pixels of a side; × cannot; · explains another output; passes: at the largest "
        "size\nthe logit depends on all pixels: a low share is no error there",
        fontsize=6.5,
        color=INK,
        va="center",
        linespacing=1.35,
    )


def applicable(names: str) -> tuple[list[MethodEntry], list[str]]:
    """Methods that work on the model, and a line on each that does not.

    Raises:
        ValueError: an unknown name, or none that works.
    """
    subject = center_pixel(3, OUTPUTS[0])
    entries, problems = [], []
    for spec in chosen_methods(names):
        problem = spec.problem_with(subject.fitting(spec))
        if problem is None:
            entries.append(MethodEntry(spec))
        else:
            problems.append(f"{spec.title}: {problem}")
    if not entries:
        raise ValueError(f"methods must hold one that works on the model: {'; '.join(problems)}")
    return entries, problems


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
    # By its name, so that other processes find what the study refers to.
    import_module("benchmarks.center_pixel").main()
