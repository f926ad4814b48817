"""Computes a task: attributions, and what metrics say of them."""

from __future__ import annotations

import math
import os
import platform
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from captum_ext.asking import Answer, Request, ask
from captum_ext.forward import Remembered, count_passes
from captum_ext.study.define.cache import MismatchError, StudyCache, check_unchanged
from captum_ext.study.define.entries import MetricEntry
from captum_ext.study.define.images import FileImage
from captum_ext.study.define.models import Aim, StudyModel
from captum_ext.study.define.study import decisive_versions
from captum_ext.study.plan.tasks import PlannedMethod, Task
from captum_ext.study.run.failure import CellFailure, attribution_warnings, held, text_of
from captum_ext.study.run.metric_context import MetricContext, Spared, number_of
from captum_ext.study.run.thumbnails import map_jpeg, picture_jpeg
from captum_ext.study.store.cells import FAILED, OK, CellResult, KeptAttribution


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
    _check_versions(task)
    with held() as failure:
        subject = _subject(task, cache)
        aim = cache.aim(subject, task.fingerprint, task.image, task.digest, task.target)
    if failure.error:
        for asked in task.asked:
            yield from _failures(asked, failure)
        return
    # To remember answers costs more than it spares where no other method asks the same.
    several = len(task.asked) > 1 and aim.seen.device.type == "cpu"
    shared = Remembered(subject.model) if several else None
    for asked in task.asked:
        facts = {
            "target": int(aim.target),
            "label": str(aim.label),
            "worker": f"{platform.node()}:{os.getpid()}",
        }
        with held() as failure, attribution_warnings() as said:
            answer, request = _ask(task, asked, cache, subject, aim, shared)
            # Metrics may ask a copy with other weights, which must remember nothing.
            module, _ = subject.explained(asked.entry.spec, aim, asked.entry.output)
        if failure.error:
            yield from _failures(asked, failure, facts)
            continue
        facts["output"] = answer.output
        if answer.error:
            yield from _failures(asked, CellFailure(answer.error, answer.traceback), facts)
            continue
        facts |= {
            "forward": answer.passes.forward,
            "backward": answer.passes.backward,
            "seconds": answer.seconds,
        }
        if task.gallery or task.keep:
            with held() as failure:
                kept = _kept(task, asked, aim, answer.heat)
            if failure.error:
                said.append(f"nothing is kept of the attribution: {failure.error}")
            else:
                yield kept
        question = MetricContext(
            subject,
            aim,
            asked.entry.spec,
            replace(request, settings=answer.settings, baseline=None),
            module,
            answer.heat,
            task.mask,
            task.seed,
            answer.beside,
        )
        remarks = [*answer.remarks, *said]
        for metric, key, seed in asked.metrics:
            own = replace(question, seed=seed, spared=Spared())
            yield _measured(metric, key, own, remarks, facts)


def _check_versions(task: Task) -> None:
    versions = decisive_versions()
    if versions != task.versions:
        raise MismatchError(f"versions must be {task.versions}; this process has {versions}")


def _subject(task: Task, cache: StudyCache) -> StudyModel:
    """The task's model, known to be the one that the study was planned with."""
    subject = cache.subject(task.model, task.fingerprint)
    if task.mask is not None and task.mask_digest is not None:
        check_unchanged(FileImage(f"mask of {task.image.name}", task.mask), task.mask_digest)
    return subject


def _ask(
    task: Task,
    asked: PlannedMethod,
    cache: StudyCache,
    subject: StudyModel,
    aim: Aim,
    shared: Remembered | None,
) -> tuple[Answer, Request]:
    """What a method answers, and what it was asked.

    Raises:
        MismatchError: this process has other references than the study.
    """
    entry, spec = asked.entry, asked.entry.spec
    request = Request(
        aim.target,
        entry.output,
        aim.outputs,
        baseline=entry.baseline,
        layer=subject.layer(entry.layer),
        passes=entry.passes,
        seed=task.seed,
        resolution=subject.resolution,
    )
    if spec.takes_references:
        references = cache.references(
            subject, task.fingerprint, task.references, task.reference_digests
        )
        request = replace(request, references=references)
    settings: Any = entry.settings
    given = settings(aim, request.references) if callable(settings) else settings
    request = replace(request, settings=given)
    return ask(spec, subject.model, aim.seen, request, shared), request


def _measured(
    metric: MetricEntry,
    key: str,
    question: MetricContext,
    remarks: Sequence[str],
    facts: Mapping[str, Any],
) -> CellResult:
    start = time.perf_counter()
    with (
        held() as failure,
        warnings.catch_warnings(record=True) as warned,
        count_passes(question.subject.counted) as passes,
    ):
        warnings.simplefilter("always")
        value = number_of(question.measure(metric.known, metric.settings))
    if failure.error:
        return CellResult(key, FAILED, error=failure.error, traceback=failure.traceback, **facts)
    said = [text_of(each) for each in warned]
    if not math.isfinite(value):
        said.insert(0, f"{NOT_FINITE}: {value}")
    return CellResult(
        key,
        OK,
        value,
        remark=_joined([*remarks, *said]),
        # What it shares with another metric costs it as much as if it were alone.
        metric_forward=passes.forward + question.spared.forward,
        metric_seconds=time.perf_counter() - start + question.spared.seconds,
        **facts,
    )


def _joined(remarks: Sequence[str]) -> str:
    """Remarks as one text, which is split at the semicolons."""
    unique = dict.fromkeys(filter(None, remarks))
    return "; ".join(remark.replace("; ", ", ") for remark in unique)


def _failures(
    asked: PlannedMethod, failure: CellFailure, facts: Mapping[str, Any] | None = None
) -> Iterator[CellResult]:
    for _, key, _ in asked.metrics:
        yield CellResult(
            key, FAILED, error=failure.error, traceback=failure.traceback, **(facts or {})
        )


def _kept(task: Task, asked: PlannedMethod, aim: Aim, heat: Tensor) -> KeptAttribution:
    return KeptAttribution(
        asked.key,
        picture_jpeg(aim.seen[0]) if task.gallery else None,
        map_jpeg(aim.seen[0], heat[0]) if task.gallery else None,
        heat[0].detach().cpu().float().numpy() if task.keep else None,
    )


#: The remark of a cell with the value that a metric gave.
NOT_FINITE = "the metric gives no finite number"
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
