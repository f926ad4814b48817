"""Runs a study into a folder: what is there already is not computed again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from captum_ext.analysis.results import StudyResults
from captum_ext.results import versions
from captum_ext.study.define.cache import StudyCache
from captum_ext.study.define.study import Study
from captum_ext.study.plan.canonical import plain
from captum_ext.study.plan.planner import plan_of
from captum_ext.study.plan.tasks import Plan, Task
from captum_ext.study.run.engines import Engine, InProcess, Waiting
from captum_ext.study.store.cells import CellResult
from captum_ext.study.store.read import read_results
from captum_ext.study.store.store import Store


def run_study(
    study: Study,
    folder: str | Path,
    *,
    engine: Engine | AbstractContextManager[Engine] | None = None,
    retry_failed: bool = False,
    extend: bool = False,
    plan: Plan | None = None,
    on_start: Callable[[int], None] | None = None,
    on_cell: Callable[[CellResult], None] | None = None,
) -> StudyResults:
    """Computes the cells of a study that are not in its folder yet.

    Each cell is stored as soon as it is known; the same call goes on after any interruption.
    Several processes may run the same study into the same folder at once.

    Args:
        study: what is to be computed.
        folder: for its results; made where it is not there.
        engine: where; None computes in this process. Others are
            :func:`captum_ext.study.local_cluster` and :func:`captum_ext.study.joined_cluster`.
        retry_failed: try failed cells again.
        extend: the folder may hold another study, as one of fewer images. It becomes this one's;
            what both have in common is not computed again.
        plan: of :func:`captum_ext.study.plan_of`, where there is one already.
        on_start: called with the number of cells that are there already.
        on_cell: called with each cell that is computed here.

    Returns:
        The whole table.

    Raises:
        TypeError, ValueError: a study that cannot be, or a folder of another one; before anything
            runs.
        captum_ext.study.StoreError: a folder that cannot be written, a damaged file.
        captum_ext.study.MismatchError: a worker with other versions, models or images.

    Example:
        >>> import tempfile
        >>> from captum_ext.study import EmbeddedImage, MethodEntry, MetricEntry, ModelEntry
        >>> study = Study(
        ...     "Who finds the center?",
        ...     [ModelEntry.exam("center_pixel", size=9)],
        ...     [EmbeddedImage("coffee")],
        ...     [MethodEntry("occlusion"), MethodEntry("guided_backprop")],
        ...     [MetricEntry("relevance_rank")],
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = run_study(study, folder)
        >>> results.cells[["method", "value"]].values.tolist()
        [['occlusion', 1.0], ['guided_backprop', 0.0]]
    """
    cache = StudyCache()
    plan = plan or plan_of(study, cache)
    with ExitStack() as stack:
        store = stack.enter_context(Store(Path(folder), plan, _about(study), extend=extend))
        if retry_failed:
            store.forget_failures()
        there = store.all_known()
        if on_start is not None:
            on_start(sum(cell.key in there for cell in plan.cells))
        left = [task for task in plan.tasks if not there.issuperset(task.keys)]
        if left:
            _run(left, store, _opened(engine, cache, stack), on_cell)
    return read_results(folder)


def _run(
    tasks: list[Task],
    store: Store,
    engine: Engine,
    on_cell: Callable[[CellResult], None] | None,
) -> None:
    def take(task: Task) -> Task | bool | None:
        if not store.claim(task):
            return False
        # PlannedMethod after the claim: until then another process may have been at it.
        known = store.known(task.keys)
        if not known.issuperset(task.keys):
            return task.without(known)
        store.release(task)
        return None

    waiting = Waiting(tasks, take)
    while True:
        for task, result in engine.run(waiting.next):
            if result is None:
                store.release(task)
                continue
            store.add(result)
            if on_cell is not None and isinstance(result, CellResult):
                on_cell(result)
        if not waiting.wait():
            return


def _opened(
    engine: Engine | AbstractContextManager[Engine] | None,
    cache: StudyCache,
    stack: ExitStack,
) -> Engine:
    if engine is None:
        return InProcess(cache)
    return engine if isinstance(engine, Engine) else stack.enter_context(engine)


def _about(study: Study) -> dict[str, Any]:
    """What a reader of the results must know."""
    return {
        "title": study.title,
        "methods": {entry.name: entry.title for entry in study.methods},
        "metrics": [vars(entry.facts) for entry in study.metrics],
        "settings": plain(study.settings),
        "models": {entry.name: plain(entry.given) for entry in study.models},
        "versions": versions(),
    }
