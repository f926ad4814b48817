"""Where the tasks of a study are computed: in this process, or by the workers of a Dask cluster."""

from __future__ import annotations

import logging
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch

from captum_ext.checks import check_int, one_line
from captum_ext.study.define.cache import MismatchError, StudyCache
from captum_ext.study.plan.tasks import Task
from captum_ext.study.run.compute import compute, compute_all
from captum_ext.study.store.cells import FAILED, CellResult, KeptAttribution

Result = CellResult | KeptAttribution
#: Tasks of each thread of a cluster that are on their way, so that no worker has to wait.
AHEAD = 2
#: Seconds to wait for a scheduler, and between two looks at whether there are workers.
PATIENCE = 30
#: Seconds to wait for a worker where there is none: of this machine, they restart at once; of a
#: scheduler that runs already, someone may start them anew.
RESTART, RETURN = 90, 1800
_NO_WORKER = (
    "all workers have died, for want of memory, or of a module that they cannot import, and none "
    "came back within {:g} seconds; the same command goes on"
)
_GONE = "the scheduler is gone; the same command goes on"


logger = logging.getLogger(__name__)


class ClusterError(OSError):
    """There is no cluster any more."""


class Engine(ABC):
    """Computes tasks."""

    @abstractmethod
    def run(self, next_task: Callable[[], Task | None]) -> Iterator[tuple[Task, Result | None]]:
        """The results of tasks as they come, and after a task's last one None.

        Args:
            next_task: gives the next task when there is room for one, or None where there is none
                now.
        """


class InProcess(Engine):
    """One task after the other, in this process.

    Args:
        cache: has the models.
        threads: of torch; None leaves them as they are.
    """

    def __init__(self, cache: StudyCache | None = None, threads: int | None = None) -> None:
        self.cache = cache or StudyCache()
        self.threads = None if threads is None else check_int(threads, "threads", minimum=1)

    def run(self, next_task: Callable[[], Task | None]) -> Iterator[tuple[Task, Result | None]]:
        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            while (task := next_task()) is not None:
                for result in compute(task, self.cache):
                    yield task, result
                yield task, None
        finally:
            torch.set_num_threads(before)


class Cluster(Engine):
    """The workers of a Dask cluster.

    A worker that dies loses nothing but its time: another one gets the task. Where none is left,
    workers that restart are waited for, :data:`RESTART` seconds where the cluster is ``fixed``,
    else :data:`RETURN`. Each worker computes a task at a time, whatever number of threads it has.

    Args:
        client: a ``dask.distributed.Client``.
        threads: of torch in each worker; None leaves them as they are.
        fixed: no worker will join it later but those that restart.
    """

    def __init__(self, client: Any, threads: int | None = None, *, fixed: bool = False) -> None:
        self.client = client
        self.fixed = fixed
        self.threads = None if threads is None else check_int(threads, "threads", minimum=1)

    def run(self, next_task: Callable[[], Task | None]) -> Iterator[tuple[Task, Result | None]]:
        running: dict[Any, Task] = {}
        try:
            while True:
                while len(running) < AHEAD * self._workers():
                    task = next_task()
                    if task is None:
                        break
                    future = self.client.submit(
                        # Of a key of its own: on a shared cluster, others may ask the same.
                        compute_all,
                        task,
                        self.threads,
                        pure=False,
                    )
                    running[future] = task
                if not running:
                    return
                for future in self._first_done(list(running)):
                    task = running.pop(future)
                    yield from ((task, result) for result in self._results(future, task))
                    yield task, None
                    future.release()
        finally:
            self.client.cancel(list(running))

    def _first_done(self, futures: list[Any]) -> set[Any]:
        distributed = _distributed()
        patience = RESTART if self.fixed else RETURN
        alone_since = None
        while True:
            try:
                done: set[Any] = distributed.wait(futures, PATIENCE, "FIRST_COMPLETED").done
            except distributed.TimeoutError:
                if self._count_workers():
                    alone_since = None
                elif alone_since is None:
                    alone_since = time.monotonic()
                    logger.warning(
                        "the cluster has no worker; waiting up to %g seconds for one", patience
                    )
                elif time.monotonic() - alone_since >= patience:
                    raise ClusterError(_NO_WORKER.format(patience)) from None
            except CancelledError as error:
                raise ClusterError(_GONE) from error
            else:
                return done

    def _workers(self) -> int:
        return max(1, self._count_workers())

    def _count_workers(self) -> int:
        try:
            return len(self.client.scheduler_info(n_workers=-1)["workers"])
        except OSError as error:
            raise ClusterError(_GONE) from error

    def _results(self, future: Any, task: Task) -> Iterable[Result]:
        try:
            results: list[Result] = future.result()
        except _distributed().KilledWorker as error:
            # It has taken several workers down, for want of memory as a rule.
            return [CellResult(key, FAILED, error=one_line(error)) for key in task.keys]
        except CancelledError as error:
            raise ClusterError(_GONE) from error
        except MismatchError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {one_line(error)}"
            raise ClusterError(f"a worker failed, {what}; the same command goes on") from error
        return results


@contextmanager
def local_cluster(workers: int, threads: int | None = None) -> Iterator[Cluster]:
    """A cluster of processes on this machine, for as long as the context lasts.

    Args:
        workers: how many.
        threads: of torch in each; None shares the machine's cores out.

    Raises:
        ValueError: Dask is not there; no number of workers.
    """
    check_int(workers, "workers", minimum=1)
    if threads is None:
        threads = max(1, (os.cpu_count() or 1) // workers)
    distributed = _distributed()
    with (
        import_module("dask").config.set(_SETTINGS),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield Cluster(client, threads, fixed=True)


@contextmanager
def joined_cluster(address: str, threads: int | None = None) -> Iterator[Cluster]:
    """The cluster of a scheduler that runs already (``dask scheduler``).

    Its workers must have the same versions, and reach models and images by the same paths. Whether
    a task is to blame for the death of its worker, the scheduler's own configuration says
    (``distributed.scheduler.allowed-failures``, ``worker-saturation``).

    Args:
        address: of the scheduler, as ``tcp://127.0.0.1:8786``.
        threads: of torch in each worker; None leaves them as they are.

    Raises:
        ValueError: Dask is not there, or nobody answers.
    """
    distributed = _distributed()
    with import_module("dask").config.set(_SETTINGS):
        try:
            client = distributed.Client(address, timeout=PATIENCE)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"scheduler {address!r} does not answer: {one_line(error)}") from error
        with client:
            yield Cluster(client, threads)


_SETTINGS = {
    # A task is at fault when it has been alone with several workers that died.
    "distributed.scheduler.allowed-failures": 5,
    # No task waits at a worker: it would be at fault when the worker dies of another one.
    "distributed.scheduler.worker-saturation": 1.0,
    # Torch's memory is not Dask's to count.
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
}


def _distributed() -> Any:
    # Imported here, because it takes a second, and need not be there.
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ValueError(
            "workers and scheduler need Dask: pip install 'captum_ext[cluster]'"
        ) from error


class Waiting:
    """Gives tasks out in order, and those that others work on again later.

    Args:
        tasks: to be done.
        take: whether a task can be had now: the task as it is left, None where it is done, or
            ``False`` where another process has it.
        pause: seconds between two looks at what others have.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        take: Callable[[Task], Task | bool | None],
        pause: float = 0.5,
    ) -> None:
        self._tasks = deque(tasks)
        self._take = take
        self._pause = pause

    def next(self) -> Task | None:
        """A task that is free now; None where there is none."""
        for _ in range(len(self._tasks)):
            task = self._tasks.popleft()
            taken = self._take(task)
            if isinstance(taken, Task):
                return taken
            if taken is False:
                self._tasks.append(task)
        return None

    def wait(self) -> bool:
        """Whether there is something left, after a pause where there is."""
        if self._tasks:
            time.sleep(self._pause)
        return bool(self._tasks)
