"""The study of :mod:`benchmarks.growing_patch`: its models, methods and metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, cast

import numpy as np
import torch
from captum.attr import Attribution
from torch import Tensor, nn

from benchmarks.growing_patch.heat import Likeness, heat_of, likeness
from benchmarks.study_arguments import without_problems
from benchmarks.subjects import load_model
from captum_ext.exam import KnownModel, make_model, rounding_error
from captum_ext.metric_spec import MetricSpec
from captum_ext.registry import exam_models
from captum_ext.results import Direction
from captum_ext.spec import MethodSpec
from captum_ext.study import (
    Aim,
    MethodEntry,
    MetricContext,
    MetricEntry,
    ModelEntry,
    Study,
    StudyImage,
    StudyModel,
)
from captum_ext.study.define.models import StudyClassifier, StudyExamModel
from captum_ext.study.define.study import OTHERS
from captum_ext.study.plan.digest import digest_of, digest_of_tensor

GRAY = 0.5
#: Names that stand for a model of the exam.
EXAM_MODELS = [spec.name for spec in exam_models()]


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

    def heat(self, attribution: Tensor, asked: nn.Module) -> np.ndarray:
        """A map about a model's output, without rounding errors, where these are known."""
        if not isinstance(asked, KnownModel):
            return heat_of(attribution)
        return heat_of(attribution, rounding_error(asked, self.original, self.target))


def patched(image: Tensor, area: float, spared: Tensor | None = None) -> Tensor:
    """An image ``[1, C, h, w]`` with a gray patch of so many percent at the upper left corner."""
    part = (area / 100) ** 0.5
    height, width = (round(part * length) for length in image.shape[2:])
    inside = torch.zeros_like(image[:, :1], dtype=torch.bool)
    inside[..., :height, :width] = True
    if spared is not None:
        inside &= ~spared.to(inside.device)
    return torch.where(inside, GRAY, image)


class PatchedModel(StudyModel):
    """A model before images of which a part is gray: comes before its kind of subject.

    Attributes:
        area: of the patch, in percent.
        maps: heat maps of images without a patch, kept from one area to the next.
    """

    area: float
    maps: dict[tuple[str, int, str], np.ndarray]

    @property
    def fingerprint(self) -> str:
        own: str = super().fingerprint  # type: ignore[safe-super]
        return digest_of(own, "patch", self.area)

    def aim(self, seen: Tensor, target: int | str) -> PatchedAim:
        aim = super().aim(seen, target)  # type: ignore[safe-super]
        image = patched(seen, self.area, self.truth())
        return PatchedAim(image, aim.target, aim.label, aim.outputs, original=seen)


class _PatchedExam(PatchedModel, StudyExamModel):
    pass


class _PatchedClassifier(PatchedModel, StudyClassifier):
    pass


@lru_cache(maxsize=1)
def _loaded(model: str, weights: str, size: int) -> tuple[Any, dict[Any, np.ndarray]]:
    """A model once for all areas, and its heat maps without patch."""
    return make_model(model, size=size) if model in EXAM_MODELS else load_model(model, weights), {}


def patched_subject(model: str, weights: str, size: int, area: float) -> PatchedModel:
    """A model by its name, before images with a patch."""
    loaded, maps = _loaded(model, weights, size)
    subject = (_PatchedExam if model in EXAM_MODELS else _PatchedClassifier)(loaded)
    subject.area, subject.maps = area, maps
    return subject


def applicable(subject: StudyModel, names: str) -> tuple[list[MethodEntry], list[str]]:
    """Methods that explain what the patch leaves alone, with the control; and who is left out.

    Raises:
        ValueError: an unknown name, or none that does.
    """

    def problem_with(spec: MethodSpec) -> str | None:
        model = subject.fitting(spec)
        problem = spec.problem_with(model, subject.facts(spec))
        if problem is None and isinstance(model, KnownModel) and not model.only_relevant_matter:
            return f"it explains the {model.output}, which every pixel moves"
        return problem

    entries, problems = without_problems(names, problem_with)
    return [*entries, MethodEntry(CONTROL)], problems


def measure(question: MetricContext, *, what: str) -> float:
    """How alike the map is to that of the image without patch, as :class:`Likeness` has it."""
    if "likeness" not in question.memory:
        question.memory["likeness"] = _likeness(question)
    return float(getattr(question.memory["likeness"], what))


def _likeness(question: MetricContext) -> Likeness:
    """To the map of the image without patch, which is computed once."""
    subject, aim = cast(PatchedModel, question.subject), cast(PatchedAim, question.aim)
    key = (question.spec.name, question.seed, digest_of_tensor(aim.original))
    if key not in subject.maps:
        original = question.attribution
        if subject.area:
            original = question.explain(question.asked, aim.original, aim.target)
        subject.maps[key] = aim.heat(original, question.asked)
    return likeness(aim.heat(question.attribution, question.asked), subject.maps[key])


@torch.no_grad()
def score_moved(question: MetricContext) -> float:
    aim = cast(PatchedAim, question.aim)
    model = question.subject.scored(aim, "probability")
    before, after = (float(model(image)[0, aim.target]) for image in (aim.original, aim.seen))
    return abs(after - before)


def _metric(
    name: str,
    title: str,
    direction: Direction,
    about: str,
    function: Callable[..., float] | None = None,
) -> MetricEntry:
    function = function or partial(measure, what=name)
    return MetricEntry(MetricSpec(name, title, direction, about, function, needs={"context"}))


METRICS = (
    _metric(
        "ssim", "SSIM", "higher", "likeness to the map without patch, where either shows something"
    ),
    _metric("ssim_all", "SSIM, all windows", "higher", "likeness"),
    _metric("spearman", "Spearman", "higher", "rank correlation"),
    _metric("visible", "Visible", "none", "part of the windows with something"),
    _metric("score_moved", "Score moved", "none", "change of the class's probability", score_moved),
)


def model_name(area: float) -> str:
    """What a patch is called in the study."""
    return f"{area:g} %"


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
    others = OTHERS if model not in EXAM_MODELS and len(images) > 1 else None
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
