"""Computes a task: attributions, and what metrics say of them."""

from __future__ import annotations

import os
import platform
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_ext.checks import one_line
from captum_ext.coerce import baselines_of
from captum_ext.explanation import explain
from captum_ext.forward import Passes, Remembered, count_passes
from captum_ext.pictures.task import only_runs
from captum_ext.spec import MethodSpec, Need
from captum_ext.study.define.cache import MismatchError, StudyCache, check_unchanged
from captum_ext.study.define.entries import MetricEntry
from captum_ext.study.define.images import FileImage
from captum_ext.study.define.models import Aim, StudyModel
from captum_ext.study.define.study import decisive_versions
from captum_ext.study.plan.tasks import PlannedMethod, Task
from captum_ext.study.run.metric_context import MetricContext, Spared, number_of
from captum_ext.study.run.thumbnails import map_jpeg, picture_jpeg
from captum_ext.study.store.cells import FAILED, OK, CellResult, KeptAttribution


@dataclass
class _Attributed:
    """An attribution ``[1, C, h, w]``, or why there is none, and what it cost."""

    asked: nn.Module
    output: str
    arguments: dict[str, Any]
    references: Tensor | None = None
    heat: Tensor | None = None
    beside: Sequence[Any] = ()
    error: str = ""
    traceback: str = ""
    remark: str = ""
    passes: Passes = field(default_factory=Passes)
    seconds: float = 0.0


def compute(task: Task, cache: StudyCache) -> Iterator[CellResult | KeptAttribution]:
    """The results of a task's cells, each as soon as it is there.

    Before the first cell of an attribution comes what else is kept of it. What fails is a result,
    too.

    Args:
        task: what is to be computed.
        cache: has the models.

    Raises:
        MismatchError: this process would compute something else than the study asks for.
    """
    subject = _checked(task, cache)
    try:
        aim = cache.aim(subject, task.fingerprint, task.image, task.digest, task.target)
    except MismatchError:
        raise
    except Exception as error:
        for asked in task.asked:
            yield from _failures(asked, one_line(error), traceback.format_exc())
        return
    # To remember answers costs more than it spares where no other method asks the same.
    several = len(task.asked) > 1 and aim.seen.device.type == "cpu"
    model = Remembered(subject.model) if several else subject.model
    for asked in task.asked:
        found = _attribute(task, asked, cache, subject, aim, model)
        facts = {
            "target": aim.target,
            "label": aim.label,
            "output": found.output,
            "worker": f"{platform.node()}:{os.getpid()}",
        }
        if found.heat is None:
            yield from _failures(asked, found.error, found.traceback, facts)
            continue
        facts |= {
            "forward": found.passes.forward,
            "backward": found.passes.backward,
            "seconds": found.seconds,
        }
        if task.gallery or task.keep:
            yield _kept(task, asked, aim, found.heat)
        question = MetricContext(
            subject,
            aim,
            asked.entry.spec,
            subject.layer(asked.entry.layer),
            found.arguments,
            found.asked,
            found.heat,
            task.mask,
            task.seed,
            found.references,
            found.beside,
        )
        for metric, key, seed in asked.metrics:
            own = replace(question, seed=seed, spared=Spared())
            yield _measured(metric, key, own, found.remark, facts)


def _checked(task: Task, cache: StudyCache) -> StudyModel:
    """The task's model, known to be the one that the study was planned with."""
    versions = decisive_versions()
    if versions != task.versions:
        raise MismatchError(f"versions must be {task.versions}; this process has {versions}")
    subject = cache.subject(task.model, task.fingerprint)
    if task.mask is not None and task.mask_digest is not None:
        check_unchanged(FileImage(f"mask of {task.image.name}", task.mask), task.mask_digest)
    return subject


def _attribute(
    task: Task,
    asked: PlannedMethod,
    cache: StudyCache,
    subject: StudyModel,
    aim: Aim,
    model: nn.Module,
) -> _Attributed:
    entry, spec = asked.entry, asked.entry.spec
    # Metrics may ask a copy with other weights, which must remember nothing.
    asked_by_metrics, output = subject.asked(spec, aim, entry.output, subject.model)
    module = asked_by_metrics
    if only_runs(spec):
        module, _ = subject.asked(spec, aim, entry.output, model)
    found = _Attributed(asked_by_metrics, output, {})
    spared = model.spared if isinstance(model, Remembered) else 0.0
    start = time.perf_counter()
    try:
        _check_scale(spec, subject, aim)
        if spec.takes_references:
            found.references = cache.references(
                subject, task.fingerprint, task.references, task.reference_digests
            )
            if found.references is None and spec.needs & {Need.REFERENCES, Need.BACKGROUND}:
                found.remark = "compared with noise, in want of references"
        # To read them is no part of the method.
        start = time.perf_counter()
        settings: Any = entry.settings
        given = settings(aim, found.references) if callable(settings) else settings
        found.arguments = {name: _tuples(value) for name, value in given.items()}
        if entry.baseline is not None:
            made = baselines_of(entry.baseline, spec, subject.model, (aim.seen,), task.seed)
            found.arguments["baselines"] = made[0]
        with count_passes(module) as found.passes:
            result = explain(
                module,
                aim.seen,
                aim.target,
                spec,
                layer=subject.layer(entry.layer),
                references=found.references,
                resolution=subject.resolution,
                generator=task.seed,
                arguments=found.arguments,
            )
    except MismatchError:
        raise
    except Exception as error:
        found.error, found.traceback = one_line(error), traceback.format_exc()
    else:
        heat, *found.beside = result if isinstance(result, tuple) else (result,)
        if not bool(torch.isfinite(heat).all()):
            found.error = "the attribution is not finite"
        else:
            found.heat = heat
            found.remark = found.remark or ("" if bool(heat.any()) else "zero everywhere")
    found.seconds = time.perf_counter() - start
    if isinstance(model, Remembered):
        # What it would have taken alone.
        found.seconds += model.spared - spared
    return found


def _check_scale(spec: MethodSpec, subject: StudyModel, aim: Aim) -> None:
    """Refuses what would not come to an end.

    Raises:
        ValueError: more features than the method can take, one for each pixel.
    """
    n_features = aim.seen[0].numel()
    most = spec.max_features
    if subject.resolution == "pixel" and most is not None and n_features > most:
        raise ValueError(f"{spec.name} does not scale to {n_features} features (at most {most})")


def _measured(
    metric: MetricEntry, key: str, question: MetricContext, remark: str, facts: Mapping[str, Any]
) -> CellResult:
    start = time.perf_counter()
    try:
        with (
            warnings.catch_warnings(record=True) as warned,
            count_passes(question.subject.counted) as passes,
        ):
            warnings.simplefilter("always")
            value = number_of(question.measure(metric.known, metric.settings))
    except Exception as error:
        return CellResult(
            key, FAILED, error=one_line(error), traceback=traceback.format_exc(), **facts
        )
    said = [" ".join(str(each.message).split()) for each in warned]
    # What it shares with another metric costs it as much as if it were alone.
    cost: dict[str, Any] = {
        "metric_forward": passes.forward + question.spared.forward,
        "metric_seconds": time.perf_counter() - start + question.spared.seconds,
    }
    if not np.isfinite(value):
        why = "; ".join(["the metric gives no finite number", *said])
        return CellResult(key, FAILED, error=why, **facts, **cost)
    notes = "; ".join(dict.fromkeys(filter(None, [remark, *said])))
    return CellResult(key, OK, value, remark=notes, **facts, **cost)


def _failures(
    asked: PlannedMethod, error: str, trace: str, facts: Mapping[str, Any] | None = None
) -> Iterator[CellResult]:
    for _, key, _ in asked.metrics:
        yield CellResult(key, FAILED, error=error, traceback=trace, **(facts or {}))


def _kept(task: Task, asked: PlannedMethod, aim: Aim, heat: Tensor) -> KeptAttribution:
    return KeptAttribution(
        asked.key,
        picture_jpeg(aim.seen[0]) if task.gallery else None,
        map_jpeg(aim.seen[0], heat[0]) if task.gallery else None,
        heat[0].detach().cpu().float().numpy() if task.keep else None,
    )


def _tuples(value: Any) -> Any:
    """Lists as the tuples that methods want; a study file has lists only."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


_AT_HAND = StudyCache()
_ONE_AT_A_TIME = threading.Lock()


def compute_all(task: Task, threads: int | None = None) -> list[CellResult | KeptAttribution]:
    """All results of a task, for another process.

    Args:
        task: what is to be computed.
        threads: of torch; None leaves them as they are.

    Raises:
        MismatchError: as :func:`compute`.
    """
    # Methods set hooks and the global random state: two at once would disturb each other.
    with _ONE_AT_A_TIME:
        if threads is not None:
            torch.set_num_threads(threads)
        return list(compute(task, _AT_HAND))
