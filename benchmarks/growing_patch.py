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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from captum.attr import Attribution
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import maximum_filter
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from benchmarks.study_arguments import add_arguments, run
from benchmarks.subjects import PHOTOGRAPHS, at_least, load_model
from captum_ext.cli.common import chosen_methods
from captum_ext.exam import MODELS, KnownModel, make_model, rounding_error
from captum_ext.results import aligned
from captum_ext.spec import MethodSpec
from captum_ext.study import (
    Aim,
    MethodEntry,
    MetricEntry,
    ModelEntry,
    Plan,
    Question,
    Study,
    StudyImage,
    StudyMetric,
    StudyResults,
    Subject,
    plan_of,
    study_images,
)
from captum_ext.study.definition import OTHERS
from captum_ext.study.digest import digest_of, digest_of_tensor
from captum_ext.study.entries import plain
from captum_ext.study.subjects import PREDICTED, ClassifierSubject, ExamSubject
from captum_ext.visualize.style import BAD, FAINT, GOOD, INK, bare

GRAY = 0.5
#: Of SSIM.
WINDOW = 7
#: The brightest values, which hold this part of a map's sum, are white.
OUTLIERS = 0.02
#: Whose heat maps are drawn, where they are steady, before others'.
TYPICAL = ("occlusion", "guided_backprop", "grad_cam")
#: Of white: what is darker is not seen.
VISIBLE = 0.1


class TheImage(Attribution):
    """Shows the image, whatever the model."""

    def attribute(self, inputs: Tensor, target: Any = None) -> Tensor:
        return inputs.clone()


CONTROL = MethodSpec("the_image", "The image itself", "perturbation", "a control", TheImage)


@dataclass(frozen=True)
class PatchedAim(Aim):
    """An image with a patch; the class is that of the image without.

    Attributes:
        original: ``[1, C, h, w]``, without the patch.
    """

    original: Tensor = field(repr=False)


def patched(image: Tensor, area: float, spared: Tensor | None = None) -> Tensor:
    """An image ``[1, C, h, w]`` with a gray patch of so many percent at the upper left corner."""
    part = (area / 100) ** 0.5
    height, width = (round(part * length) for length in image.shape[2:])
    inside = torch.zeros_like(image[:, :1], dtype=torch.bool)
    inside[..., :height, :width] = True
    if spared is not None:
        inside &= ~spared.to(inside.device)
    return torch.where(inside, GRAY, image)


class PatchedSubject(Subject):
    """A model before images of which a part is gray: comes before its kind of subject.

    Attributes:
        area: of the patch, in percent.
        maps: heat maps of images without a patch, kept from one area to the next.
    """

    area: float
    maps: dict[str, np.ndarray]

    @property
    def fingerprint(self) -> str:
        own: str = super().fingerprint  # type: ignore[safe-super]
        return digest_of(own, "patch", self.area)

    def aim(self, seen: Tensor, target: int | str) -> PatchedAim:
        aim = super().aim(seen, target)  # type: ignore[safe-super]
        image = patched(seen, self.area, self.truth())
        return PatchedAim(image, aim.target, aim.label, aim.has_logit, original=seen)


class _PatchedExam(PatchedSubject, ExamSubject):
    pass


class _PatchedClassifier(PatchedSubject, ClassifierSubject):
    pass


@lru_cache(maxsize=1)
def _loaded(model: str, weights: str, size: int) -> tuple[Any, dict[str, np.ndarray]]:
    """A model once for all areas, and its heat maps without patch."""
    if model in MODELS:
        return make_model(model, size=size), {}
    return load_model(model, weights), {}


def patched_subject(model: str, weights: str, size: int, area: float) -> PatchedSubject:
    """A model by its name, before images with a patch."""
    loaded, maps = _loaded(model, weights, size)
    kind: Any = _PatchedExam if model in MODELS else _PatchedClassifier
    subject: PatchedSubject = kind(loaded)
    subject.area, subject.maps = area, maps
    return subject


def model_name(area: float) -> str:
    """What a patch is called in the study."""
    return f"{area:g} %"


def heat_of(attribution: Tensor, floor: float = 0.0) -> np.ndarray:
    """A map ``[h, w]`` as it is looked at: magnitudes from 0 to 1.

    Args:
        attribution: ``[1, C, h, w]``.
        floor: what is less counts as zero.
    """
    values = attribution.detach().double().abs()
    magnitude = torch.where(values < floor, 0, values)[0].sum(0).cpu().numpy()
    ascending = np.sort(magnitude, axis=None)
    sums = ascending.cumsum()
    white = ascending[np.searchsorted(sums, (1 - OUTLIERS) * sums[-1])]
    return magnitude.clip(max=white) / white if white > 0 else magnitude


def floor_of(asked: nn.Module, seen: Tensor, target: int) -> float:
    """Rounding error, where it is known."""
    return rounding_error(asked, seen, target) if isinstance(asked, KnownModel) else 0.0


class Likeness(NamedTuple):
    """How alike two maps are.

    Attributes:
        ssim: mean over the windows in which something is to be seen; 1 where there are none.
        ssim_all: mean over all.
        spearman: rank correlation of the pixels; of maps that are even, 1 if both are, else 0.
        visible: the part of the windows in which something is to be seen.
    """

    ssim: float
    ssim_all: float
    spearman: float
    visible: float


def likeness(first: np.ndarray, second: np.ndarray) -> Likeness:
    """Compares maps ``[h, w]`` of :func:`heat_of`."""
    mean, local = structural_similarity(first, second, win_size=WINDOW, data_range=1.0, full=True)
    seen = maximum_filter(np.maximum(first, second), WINDOW) >= VISIBLE
    # Windows that reach beyond the edge are left out, as scikit-image's mean leaves them out.
    inner = (slice(WINDOW // 2, -(WINDOW // 2)),) * 2
    seen, local = seen[inner], local[inner]
    even = [bool((each == each.flat[0]).all()) for each in (first, second)]
    ranks = float(all(even)) if any(even) else float(spearmanr(first, second, axis=None)[0])
    return Likeness(
        float(local[seen].mean()) if seen.any() else 1.0, float(mean), ranks, float(seen.mean())
    )


def _likeness(question: Question) -> Likeness:
    """To the map of the image without patch, which is asked for once."""
    if "likeness" not in question.memory:
        subject, aim = question.subject, question.aim
        if not isinstance(subject, PatchedSubject) or not isinstance(aim, PatchedAim):
            raise TypeError(f"the model must be one with a patch; got {type(subject).__name__}")
        key = digest_of(
            *(question.spec.name, plain(question.arguments), question.seed),
            *(digest_of_tensor(aim.original), aim.target),
        )
        floor = floor_of(question.asked, aim.original, aim.target)
        if key not in subject.maps:
            original = question.attribution
            if subject.area:
                original = question.explain(question.asked, aim.original, aim.target)
            subject.maps[key] = heat_of(original, floor)
        heat = heat_of(question.attribution, floor)
        question.memory["likeness"] = likeness(heat, subject.maps[key])
    found: Likeness = question.memory["likeness"]
    return found


def ssim(question: Question, _: Mapping[str, Any]) -> float:
    return _likeness(question).ssim


def ssim_all(question: Question, _: Mapping[str, Any]) -> float:
    return _likeness(question).ssim_all


def spearman(question: Question, _: Mapping[str, Any]) -> float:
    return _likeness(question).spearman


def visible(question: Question, _: Mapping[str, Any]) -> float:
    return _likeness(question).visible


@torch.no_grad()
def score_moved(question: Question, _: Mapping[str, Any]) -> float:
    aim = question.aim
    if not isinstance(aim, PatchedAim):
        raise TypeError(f"the image must be one with a patch; got {type(aim).__name__}")
    model = question.subject.scored(aim, "probability")
    before, after = (float(model(image)[0, aim.target]) for image in (aim.original, aim.seen))
    return abs(after - before)


METRICS = (
    MetricEntry(
        StudyMetric(
            "ssim",
            "SSIM",
            "higher",
            "likeness to the map without patch, where either shows something",
            ssim,
        )
    ),
    MetricEntry(StudyMetric("ssim_all", "SSIM, all windows", "higher", "likeness", ssim_all)),
    MetricEntry(StudyMetric("spearman", "Spearman", "higher", "rank correlation", spearman)),
    MetricEntry(
        StudyMetric("visible", "Visible", "none", "part of the windows with something", visible)
    ),
    MetricEntry(
        StudyMetric(
            "score_moved", "Score moved", "none", "change of the class's probability", score_moved
        )
    ),
)


def make_study(
    methods: Sequence[MethodEntry],
    images: Sequence[StudyImage],
    areas: Sequence[float],
    *,
    model: str = "center_pixel",
    weights: str = "imagenet",
    size: int = 31,
    seed: int = 0,
) -> Study:
    """The study: the patches, from none on, are its models."""
    models = [
        ModelEntry(
            model_name(area),
            partial(patched_subject, model, weights, size, area),
            {"model": model, "patch": model_name(area)},
        )
        for area in (0, *areas)
    ]
    # What the exam's images are compared with is noise, as in the exam.
    others = OTHERS if model not in MODELS and len(images) > 1 else None
    return Study(
        f"Which heat maps of {model} change while the score stays?",
        models,
        images,
        methods,
        METRICS,
        seeds=[seed],
        gallery=2,
        references=others,
        keep_attributions=True,
    )


class Found(NamedTuple):
    """What came out for a method and a patch, over the images whose score stays.

    Attributes:
        n: images with a map, or two empty ones; 0: none.
        n_seen: those of them on which either map shows something.
        ssim: mean over these.
        error: why there is none.
    """

    n: int
    n_seen: int = 0
    ssim: float = np.nan
    error: str = ""


class Findings(NamedTuple):
    """What came out.

    Attributes:
        cells: by method and area.
        moved: the largest change of the score over images, by area.
        stays: on how many images the score stays, by area.
    """

    cells: dict[tuple[str, float], Found]
    moved: dict[float, float]
    stays: dict[float, int]

    def mean(self, method: str) -> float:
        """SSIM over areas; NaN where nothing is to be seen."""
        values = [found.ssim for (name, _), found in self.cells.items() if name == method]
        return float(np.nanmean(values)) if not np.isnan(values).all() else np.nan

    def empty(self, method: str) -> bool:
        """Whether the method shows nothing, with any patch."""
        own = [each for (name, _), each in self.cells.items() if name == method]
        return any(each.n for each in own) and not any(each.n_seen for each in own)


def findings_of(results: StudyResults, areas: Sequence[float], tolerance: float) -> Findings:
    """The cells of a study, over images."""
    findings = Findings({}, {}, {})
    for area in areas:
        cells = results.cells[results.cells["model"] == model_name(area)]
        values = cells.pivot(index="image", columns=["method", "metric"], values="value")
        moved = values.xs("score_moved", axis=1, level="metric").max(axis=1)
        stays = moved.index[moved < tolerance]
        findings.moved[area], findings.stays[area] = float(moved.max()), len(stays)
        for method in results.methods:
            own = values.loc[stays, method].dropna()
            failed = cells[(cells["method"] == method) & (cells["status"] == "failed")]
            error = "" if failed.empty else str(failed["error"].iloc[0])
            seen = own[own["visible"] > 0]
            mean = float(seen["ssim"].mean()) if len(seen) else np.nan
            findings.cells[method, area] = Found(len(own), len(seen), mean, error)
    return findings


def ordered(results: StudyResults, findings: Findings) -> list[str]:
    """Methods, the steadiest first; those that show nothing, then those without values, last."""

    def badness(method: str) -> tuple[bool, bool, float]:
        mean = findings.mean(method)
        # What differs by rounding is as steady.
        return bool(np.isnan(mean)), not findings.empty(method), -round(mean, 3)

    return sorted(results.methods, key=badness)


def format_findings(
    results: StudyResults, findings: Findings, areas: Sequence[float], fooled_below: float
) -> str:
    """SSIM by method and patch."""
    rows: list[list[str]] = []
    errors: dict[str, None] = {}
    for method in ordered(results, findings):
        title, own = results.methods[method], [findings.cells[method, area] for area in areas]
        errors |= dict.fromkeys(f"{title}: {each.error}" for each in own if each.error)
        n_seen = max(each.n_seen for each in own)
        rows.append([title, f"{n_seen}", *(_cell(each, fooled_below) for each in own)])
    rows.append(["score moved, at most", "", *(f"{findings.moved[area]:.2g} " for area in areas)])
    rows.append(["images whose score stays", "", *(f"{findings.stays[area]} " for area in areas)])
    lines = aligned(["SSIM", "images", *(f"{area:g} % " for area in areas)], rows)
    lines.insert(-2, "")
    fooled = [name for name in results.methods if _is_fooled(name, findings, areas, fooled_below)]
    lines += [
        "",
        f"* fooled: below {fooled_below:g} while the score stays ({len(fooled)} of "
        f"{len(results.methods)})",
        "images: on which there is something to be seen; on others maps are empty",
    ]
    return "\n".join([*lines, *errors])


def _cell(found: Found, fooled_below: float) -> str:
    if not found.n:
        return "- "
    if not found.n_seen:
        return "empty "
    return f"{found.ssim:.2f}{'*' if found.ssim < fooled_below else ' '}"


def _is_fooled(
    method: str, findings: Findings, areas: Sequence[float], fooled_below: float
) -> bool:
    return any(findings.cells[method, area].ssim < fooled_below for area in areas)


def shown_by_default(results: StudyResults, findings: Findings) -> list[str]:
    """Two steady methods, and the two that change most."""
    seen = [
        name
        for name in ordered(results, findings)
        if not np.isnan(findings.mean(name)) and name != CONTROL.name
    ]
    steady = sorted(seen[:-2], key=lambda name: name not in TYPICAL)[:2]
    return [*steady, *seen[-2:]]


def most_telling(results: StudyResults, methods: Sequence[str], tolerance: float) -> int:
    """The number of the image to draw.

    Its score stays with most patches; of such, most methods show something; of such, most change.
    """
    cells = results.cells[results.cells["method"].isin(methods)]
    values = cells.pivot(index=["image", "model", "method"], columns="metric", values="value")
    seen = values["visible"] > 0
    changes = (1 - values["ssim"]).where(seen).groupby("image", observed=True).mean()
    stays = (values["score_moved"] < tolerance).groupby("image", observed=True).sum()
    shown = seen.groupby("image", observed=True).sum()
    telling = len(seen) * stays + shown + changes.fillna(0)
    return results.images.index(str(telling.idxmax()))


class Shown(NamedTuple):
    """A row of heat maps.

    Attributes:
        title: of the method.
        maps: ``[h, w]`` from 0 to 1, without patch and with each.
        ssim: with each, of this image; NaN where nothing is to be seen.
    """

    title: str
    maps: list[np.ndarray]
    ssim: list[float]


def shown_of(
    results: StudyResults,
    plan: Plan,
    subjects: Sequence[PatchedSubject],
    image: StudyImage,
    methods: Sequence[MethodEntry],
    folder: Path,
) -> tuple[list[tuple[Tensor, float]], list[Shown]]:
    """An image's pictures ``[C, h, w]`` with how far the score moved, and what the study kept."""
    keys = {
        (task.model.name, asked.entry.name): asked.key
        for task in plan.tasks
        for asked in task.asked
        if task.image.name == image.name
    }
    cells = results.cells[results.cells["image"] == image.name]
    values = cells.pivot(index=["model", "method"], columns="metric", values="value")
    aims = [subject.aim(subject.see(image.read()), PREDICTED) for subject in subjects]
    rows = []
    for entry in methods:
        maps, likeness_to_first = [], []
        for subject, aim in zip(subjects, aims, strict=True):
            name = model_name(subject.area)
            with np.load(folder / "attributions" / f"{keys[name, entry.name]}.npz") as file:
                attribution = torch.from_numpy(file["attribution"])[None]
            asked, _ = subject.asked(entry.spec, aim, entry.output, subject.model)
            maps.append(heat_of(attribution, floor_of(asked, aim.original, aim.target)))
            own = values.loc[(name, entry.name)]
            likeness_to_first.append(float(own["ssim"]) if own["visible"] else np.nan)
        rows.append(Shown(entry.title, maps, likeness_to_first))
    moved = values["score_moved"].groupby("model", observed=True).max()
    pictures = [
        (aim.seen[0], float(moved[model_name(subject.area)]))
        for subject, aim in zip(subjects, aims, strict=True)
    ]
    return pictures, rows


# Inches: a picture, the methods' names, the chart's height, the title, captions, the legend.
_PICTURE, _NAMES, _CHART, _HEAD, _CAPTION, _LEGEND = 1.15, 1.35, 2.6, 0.6, 0.2, 1.9
_LEAST_CHART = 2.5
_MOST_LINES = 12


def draw(
    pictures: Sequence[tuple[Tensor, float]],
    rows: Sequence[Shown],
    results: StudyResults,
    findings: Findings,
    areas: Sequence[float],
    fooled_below: float,
) -> Figure:
    """Pictures, heat maps of some methods below them, and SSIM against the patch of all."""
    columns = len(pictures)
    wide = columns * _PICTURE
    chart = max(wide - _LEGEND, _LEAST_CHART)
    width = _NAMES + max(wide, chart + _LEGEND)
    above = _HEAD + (1 + len(rows)) * (_PICTURE + _CAPTION)
    height = above + _CHART + 0.75
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    for row in range(1 + len(rows)):
        top = height - _HEAD - row * (_PICTURE + _CAPTION)
        for column in range(columns):
            left, bottom = _NAMES + column * _PICTURE, top - _PICTURE
            side = 0.95 * _PICTURE
            axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
            bare(axes)
            if row == 0:
                picture, moved = pictures[column]
                _draw_picture(axes, picture)
                if column:
                    text = f"score moved {moved:.2f}"
                    axes.set_xlabel(text, fontsize=7, color=INK, labelpad=2)
                title = f"{areas[column - 1]:g} % gray" if column else "original"
                axes.set_title(title, fontsize=8, color=INK, pad=3)
                continue
            shown = rows[row - 1]
            axes.imshow(shown.maps[column], cmap="inferno", vmin=0, vmax=1)
            if column:
                value = shown.ssim[column]
                text, color = f"SSIM {value:.2f}", BAD if value < fooled_below else GOOD
                if np.isnan(value):
                    text, color = "nothing", INK
                axes.set_xlabel(text, fontsize=7, color=color, labelpad=2)
        name = rows[row - 1].title if row else "what the model sees"
        figure.text(
            (_NAMES - 0.1) / width,
            (top - 0.52 * _PICTURE) / height,
            name.replace(" ", "\n") if len(name) > 18 else name,
            fontsize=8,
            color=INK,
            ha="right",
            va="center",
        )
    axes = figure.add_axes((_NAMES / width, 0.5 / height, chart / width, _CHART / height))
    _draw_chart(axes, results, findings, areas, fooled_below)
    figure.text(
        0.1 / width,
        1 - 0.12 / height,
        "A gray patch grows, the score stays: which heat maps change?",
        fontsize=10.5,
        color=INK,
        va="top",
    )
    return figure


def _draw_picture(axes: Axes, picture: Tensor) -> None:
    pixels = picture.detach().cpu().double().movedim(0, -1).numpy()
    axes.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=1)


def _draw_chart(
    axes: Axes,
    results: StudyResults,
    findings: Findings,
    areas: Sequence[float],
    fooled_below: float,
) -> None:
    names = [
        name for name in reversed(ordered(results, findings)) if not np.isnan(findings.mean(name))
    ]
    fooled = [name for name in names if _is_fooled(name, findings, areas, fooled_below)]
    named = [name for name in fooled if name != CONTROL.name][:_MOST_LINES]
    colors = iter(_COLORS * 2)
    others = 0
    for name in names:
        line = [1.0, *(findings.cells[name, area].ssim for area in areas)]
        style: dict[str, Any] = {"color": FAINT, "linewidth": 1.0, "zorder": 1}
        if name == CONTROL.name:
            style = {"color": INK, "linestyle": "--", "label": results.methods[name]}
        elif name in named:
            marker = "o" if named.index(name) < len(_COLORS) else "s"
            style = {
                "color": next(colors),
                "marker": marker,
                "markersize": 3,
                "label": results.methods[name],
            }
        else:
            others += 1
        axes.plot([0, *areas], line, **{"linewidth": 1.4, "zorder": 2} | style)
    if others:
        axes.plot([], [], color=FAINT, label=f"{others} others")
    axes.axhline(fooled_below, color=FAINT, linestyle=":", linewidth=0.9, zorder=0)
    axes.set_xlabel("patch, percent of the image", fontsize=8, color=INK)
    axes.set_ylabel(
        f"SSIM to the original's map,\nmean of up to {max(findings.stays.values())} images",
        fontsize=8,
        color=INK,
    )
    axes.tick_params(labelsize=7.5, color=FAINT, labelcolor=INK)
    axes.set_xticks([0, *areas])
    axes.set_xlim(0, max(areas) * 1.02)
    axes.set_ylim(top=1.03)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_edgecolor(FAINT)
    axes.legend(
        fontsize=7,
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        title="those that change most first",
        title_fontsize=7,
        alignment="left",
    )


# Told apart also by those who are color-blind (Okabe and Ito, without yellow and black).
_COLORS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]


def applicable(subject: Subject, names: str) -> tuple[list[MethodEntry], list[str]]:
    """Methods that explain what the patch leaves alone, with the control; and who is left out.

    Raises:
        ValueError: an unknown name, or none that does.
    """
    entries, problems = [], []
    for spec in chosen_methods(names):
        model = subject.fitting(spec)
        problem = spec.problem_with(model)
        if problem is None and isinstance(model, KnownModel) and not model.only_relevant_matter:
            problem = f"it explains the {model.output}, which every pixel moves"
        if problem is None:
            entries.append(MethodEntry(spec))
        else:
            problems.append(f"{spec.title}: {problem}")
    if not entries:
        raise ValueError(f"methods must hold one that works here: {'; '.join(problems)}")
    return [*entries, MethodEntry(CONTROL)], problems


def _percent(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 100; got {text}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    exams = ", ".join(MODELS)
    parser.add_argument(
        "--model",
        default="center_pixel",
        help=f"of the exam ({exams}), or a classifier of torchvision, or resnet20_cifar10",
    )
    parser.add_argument(
        "--weights", default="imagenet", help="of a classifier: imagenet, random, or a checkpoint"
    )
    parser.add_argument(
        "--size", type=at_least(WINDOW), default=21, help="of a model of the exam, in pixels"
    )
    parser.add_argument(
        "--images",
        nargs="+",
        default=PHOTOGRAPHS,
        help="files, folders, or scikit-image's " + "/".join(PHOTOGRAPHS),
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
    add_arguments(parser, out="growing_patch")
    args = parser.parse_args()
    areas = sorted(set(args.areas))
    try:
        subjects = [
            patched_subject(args.model, args.weights, args.size, area) for area in (0, *areas)
        ]
        entries, problems = applicable(subjects[0], args.methods)
        by_name = {entry.name: entry for entry in entries}
        for name in args.show:
            if name not in by_name:
                raise ValueError(f"--show must be one of {', '.join(by_name)}; got {name!r}")
        study = make_study(
            entries,
            study_images(args.images, Path()),
            areas,
            model=args.model,
            weights=args.weights,
            size=args.size,
            seed=args.seed,
        )
        plan = plan_of(study)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        parser.error(str(error))
    results = run(parser, args, study, plan)
    findings = findings_of(results, areas, args.tolerance)
    print(f"{args.model}, {len(study.images)} images\n")
    print(format_findings(results, findings, areas, args.fooled_below))
    if problems:
        print("Left out:", *problems, sep="\n  ")
    shown = args.show or [*shown_by_default(results, findings), CONTROL.name]
    pictures, rows = shown_of(
        results,
        plan,
        subjects,
        study.images[most_telling(results, shown, args.tolerance)],
        [by_name[name] for name in shown],
        args.out,
    )
    figure = draw(pictures, rows, results, findings, areas, args.fooled_below)
    figure.savefig(args.out / "growing_patch.png")
    print(f"\nwritten to {args.out}: study.sqlite, attributions, report.html, growing_patch.png")


if __name__ == "__main__":
    # By its name, so that other processes find what the study refers to.
    import_module("benchmarks.growing_patch").main()
