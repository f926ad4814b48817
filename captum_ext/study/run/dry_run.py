"""What a study will cost, found by a rehearsal on cheap stand-ins for its models."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import torch
from torch import Tensor

from captum_ext.study.define.cache import StudyCache
from captum_ext.study.define.entries import MethodEntry, MetricEntry, ModelEntry
from captum_ext.study.define.images import StudyImage
from captum_ext.study.define.models import PREDICTED, StandIn, StudyClassifier, StudyModel
from captum_ext.study.define.study import Study
from captum_ext.study.plan.tasks import Plan, Task
from captum_ext.study.run.compute import compute
from captum_ext.study.run.failure import cause_of
from captum_ext.study.store.cells import FAILED, CellResult

#: Images that a model is tried on, before it counts as one that takes none.
MOST_TRIED = 3


@dataclass
class Estimate:
    """What a study will cost.

    Attributes:
        forward, backward: examples through the models, about.
        problems: what failed in the rehearsal, a line each; as a rule it fails in the study, too.
        refused: those that name one of the settings, and models that take none of their images.
        failed: those of methods that failed on every model on which they were rehearsed.
    """

    forward: int = 0
    backward: int = 0
    problems: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def dry_run(study: Study, plan: Plan, cache: StudyCache) -> Estimate:
    """Every method and metric once for each model, on its first image that can be read.

    Args:
        study, plan, cache: of :func:`captum_ext.study.plan_of`.

    Example:
        >>> from captum_ext.study import EmbeddedImage, MethodEntry, MetricEntry, plan_of
        >>> study = Study(
        ...     "Edges",
        ...     [ModelEntry.exam("center_pixel", size=9)],
        ...     [EmbeddedImage("coffee"), EmbeddedImage("rocket")],
        ...     [MethodEntry("saliency")],
        ...     [MetricEntry("mif", settings={"n_steps": 5})],
        ... )
        >>> cache = StudyCache()
        >>> estimate = dry_run(study, plan_of(study, cache), cache)
        >>> estimate.forward, estimate.backward
        (18, 2)
    """
    estimate = Estimate()
    works: dict[str, bool] = {}
    for model in study.models:
        tasks = [task for task in plan.tasks if task.model.name == model.name]
        if tasks:
            for name, worked in _measure(tasks, cache, estimate).items():
                works[name] = works.get(name, False) or worked
    # What the plan says already.
    estimate.problems = [
        problem
        for problem in dict.fromkeys(estimate.problems)
        if not any(problem.partition(": ")[2] in note for note in plan.notes)
    ]
    entries: list[MethodEntry | MetricEntry] = [*study.methods, *study.metrics]
    given = {each.name: each.settings for each in entries if not callable(each.settings)}
    for problem in estimate.problems:
        names, _, error = problem.partition(": ")
        settings = [name for each in names.split(", ") for name in given.get(each, ())]
        if any(_is_named(name, error) for name in settings):
            estimate.refused.append(problem)
        if works.get(names) is False:
            estimate.failed.append(problem)
    return estimate


def _is_named(setting: str, error: str) -> bool:
    """Whether an error names a setting: Captum's call ``strides`` "Stride for input index 0"."""
    words = re.escape(setting.rstrip("s").replace("_", " ")).replace(r"\ ", "[_ ]")
    return re.search(rf"\b{words}s?\b", error, re.IGNORECASE) is not None


def _measure(tasks: list[Task], cache: StudyCache, estimate: Estimate) -> dict[str, bool]:
    """Adds what a model's tasks cost; returns which of the methods work."""
    stage = _stage(tasks, cache, estimate)
    if stage is None:
        return {}
    works = {}
    image = stage.image
    attributions: dict[str, tuple[int, int]] = {}
    metrics: dict[tuple[str, str], int] = {}
    for task in tasks:
        fresh = any(asked.entry.name not in attributions for asked in task.asked)
        if task.image is not image or not fresh:
            continue
        names = {
            key: (asked.entry.name, metric.name)
            for asked in task.asked
            for metric, key, _ in asked.metrics
        }
        for result in compute(task, stage):
            if not isinstance(result, CellResult):
                continue
            method, metric = names[result.key]
            attributions[method] = result.forward or 0, result.backward or 0
            metrics[method, metric] = result.metric_forward or 0
            # Without an output, there was no attribution to be measured.
            works[method] = result.status != FAILED or bool(result.output and result.forward)
            if result.status == FAILED:
                what = f"{method}, {metric}" if works[method] else method
                estimate.problems.append(f"{what}: {result.error}")
    for task in tasks:
        for asked in task.asked:
            forward, backward = attributions.get(asked.entry.name, (0, 0))
            estimate.forward += forward
            estimate.backward += backward
            estimate.forward += sum(
                metrics.get((asked.entry.name, metric.name), 0) for metric, _, _ in asked.metrics
            )
    return works


def _stage(tasks: list[Task], cache: StudyCache, estimate: Estimate) -> _Stage | None:
    """A stand-in before the first image that the model takes."""
    first = tasks[0]
    subject = cache.subject(first.model, first.fingerprint)
    errors = []
    for image in {task.image.name: task.image for task in tasks}.values():
        try:
            seen = subject.see(image.read())
        except Exception:  # unreadable_images() tells it.
            continue
        try:
            n_classes = _count_classes(subject, seen)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # Also a SystemExit of a model's own code.
            name = f"model {first.model.name!r}"
            errors.append(f"{name} fails on an image of {_size(seen)}: {cause_of(error)}")
            if len(errors) < MOST_TRIED:
                continue
            break
        if n_classes is None:
            return None
        # A model of the exam is as cheap as a stand-in.
        if not isinstance(subject, StudyClassifier):
            return _Stage(subject, seen, image)
        return _Stage(StandIn(subject, seen, n_classes), seen, image)
    if errors:
        estimate.refused.append(errors[0])
    return None


def _count_classes(subject: StudyModel, seen: Tensor) -> int | None:
    """How many classes a model gives scores for; None where no stand-in gives such scores."""
    with torch.no_grad():
        scores = subject.model(seen)
    if not isinstance(scores, Tensor) or scores.ndim < 2:
        subject.aim(seen, PREDICTED)  # It says what is wrong with the scores, if anything is.
        return None
    return scores.shape[1]


def _size(seen: Tensor) -> str:
    return " x ".join(map(str, seen.shape[1:]))


class _Stage(StudyCache):
    """A cache that has one model and one image."""

    def __init__(self, subject: StudyModel, seen: Tensor, image: StudyImage) -> None:
        super().__init__()
        self._subject, self._seen, self.image = subject, seen, image

    def subject(self, entry: ModelEntry, fingerprint: str) -> StudyModel:
        return self._subject

    def see(self, subject: StudyModel, image: StudyImage, digest: str) -> Tensor:
        return self._seen
