"""What a study will cost, found by a rehearsal on cheap stand-ins for its models."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from captum_ext.study.define.cache import StudyCache
from captum_ext.study.define.entries import MethodEntry, MetricEntry, ModelEntry
from captum_ext.study.define.images import StudyImage
from captum_ext.study.define.models import StandIn, StudyClassifier, StudyModel
from captum_ext.study.define.study import Study
from captum_ext.study.plan.tasks import Plan, Task
from captum_ext.study.run.compute import compute
from captum_ext.study.store.cells import FAILED, CellResult


@dataclass
class Estimate:
    """What a study will cost.

    Attributes:
        forward, backward: examples through the models, about.
        problems: what failed in the rehearsal, a line each; as a rule it fails in the study, too.
        refused: those that name one of the settings.
    """

    forward: int = 0
    backward: int = 0
    problems: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


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
    for model in study.models:
        tasks = [task for task in plan.tasks if task.model.name == model.name]
        if tasks:
            _measure(tasks, cache, estimate)
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
        if any(name in error for name in settings):
            estimate.refused.append(problem)
    return estimate


def _measure(tasks: list[Task], cache: StudyCache, estimate: Estimate) -> None:
    stage = _stage(tasks, cache)
    if stage is None:
        return
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
            if result.status == FAILED:
                # Without an output, there was no attribution to be measured.
                what = f"{method}, {metric}" if result.output and result.forward else method
                estimate.problems.append(f"{what}: {result.error}")
    for task in tasks:
        for asked in task.asked:
            forward, backward = attributions.get(asked.entry.name, (0, 0))
            estimate.forward += forward
            estimate.backward += backward
            estimate.forward += sum(
                metrics.get((asked.entry.name, metric.name), 0) for metric, _, _ in asked.metrics
            )


def _stage(tasks: list[Task], cache: StudyCache) -> _Stage | None:
    """A stand-in before the first image that can be read."""
    first = tasks[0]
    subject = cache.subject(first.model, first.fingerprint)
    for image in {task.image.name: task.image for task in tasks}.values():
        try:
            seen = subject.see(image.read())
            with torch.no_grad():
                n_classes = subject.model(seen).shape[1]
        except Exception:
            continue
        # A model of the exam is as cheap as a stand-in.
        classifier = isinstance(subject, StudyClassifier)
        return _Stage(StandIn(subject, seen, n_classes) if classifier else subject, seen, image)
    return None


class _Stage(StudyCache):
    """A cache that has one model and one image."""

    def __init__(self, subject: StudyModel, seen: Tensor, image: StudyImage) -> None:
        super().__init__()
        self._subject, self._seen, self.image = subject, seen, image

    def subject(self, entry: ModelEntry, fingerprint: str) -> StudyModel:
        return self._subject

    def see(self, subject: StudyModel, image: StudyImage, digest: str) -> Tensor:
        return self._seen
