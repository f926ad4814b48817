"""Studies on the workers of Dask clusters, some of which die."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from captum_ext.cli import main
from captum_ext.study import (
    Cluster,
    MethodEntry,
    MetricEntry,
    MismatchError,
    joined_cluster,
    local_cluster,
    plan_of,
    read_results,
    run_study,
)
from captum_ext.study.run import engines
from captum_ext.study.store.cells import CellResult
from tests.study.conftest import (
    LONG,
    ROOT,
    assert_same_table,
    classifier,
    exam,
    pictures,
    small_study,
    write_study,
)

distributed = pytest.importorskip("distributed")


def study_of(**changes):
    """Among others with a method that draws nothing and a metric that does, and shared passes."""
    parts = {
        "models": [classifier(), exam()],
        "methods": [
            MethodEntry("saliency"),
            MethodEntry("smooth_grad", settings={"nt_samples": 3}),
            MethodEntry("rise", "rise_logit", output="logit", settings={"n_samples": 9}),
            MethodEntry("rise", "rise_probability", settings={"n_samples": 9}),
            MethodEntry("occlusion", "broken", settings=torch.zeros),
        ],
        "metrics": [MetricEntry("gini"), MetricEntry("max_sensitivity")],
        "seeds": [0, 1],
    }
    return small_study(**parts | changes)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run_study(study_of(), tmp_path_factory.mktemp("alone")).cells


@pytest.fixture
def threads():
    """Clusters of one scheduler, whose worker is a thread of this process."""
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as one,
        distributed.Client(cluster) as other,
    ):
        yield Cluster(one), Cluster(other)


def without_traceback(cells):
    """Which knows how deep the stack was."""
    return cells.drop(columns="traceback")


def test_local_workers_give_the_same_table(tmp_path, alone):
    computed = []
    with local_cluster(2, threads=1) as cluster:
        results = run_study(study_of(), tmp_path, engine=cluster, on_cell=computed.append)
    assert_same_table(without_traceback(results.cells), without_traceback(alone))
    # What fails within a cell is a failed cell there, too.
    assert set(results.cells[results.cells["method"] == "broken"]["status"]) == {"failed"}
    assert sorted(result.key for result in computed) == sorted(set(alone["key"]))
    assert str(os.getpid()) not in {result.worker.split(":")[-1] for result in computed}


def test_a_thread_gives_the_same_table(tmp_path, threads, alone):
    cells = run_study(study_of(), tmp_path, engine=threads[0]).cells
    assert_same_table(without_traceback(cells), without_traceback(alone))


def test_studies_on_one_cluster_do_not_get_each_others_results(threads):
    """The same attributions, measured by other metrics."""
    plans = [
        plan_of(small_study(metrics=[MetricEntry(metric)])) for metric in ("gini", "relevance_rank")
    ]
    runs = []
    for cluster, plan in zip(threads, plans, strict=True):
        tasks = iter(plan.tasks)
        runs.append(cluster.run(lambda tasks=tasks: next(tasks, None)))
    # The first one's tasks are on the cluster while the second one runs.
    found = [[next(runs[0])], [*runs[1]]]
    found[0] += runs[0]
    for plan, results in zip(plans, found, strict=True):
        keys = [result.key for _, result in results if isinstance(result, CellResult)]
        assert sorted(keys) == sorted({cell.key for cell in plan.cells})


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://nowhere.invalid:1", "nonsense:x"])
def test_a_scheduler_that_does_not_answer_is_one_line(folder, monkeypatch, capsys, address):
    monkeypatch.setattr(engines, "PATIENCE", 0.5)
    path = write_study(folder)
    assert main(["study", str(path), "--out", str(folder / "out"), "--scheduler", address]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith(f"captum-ext study: error: scheduler {address!r} does not answer")


def mismatched(study, cache=None):
    plan = plan_of(study, cache)
    return replace(plan, tasks=[replace(task, versions={"torch": "99"}) for task in plan.tasks])


def test_a_worker_with_other_versions_is_refused(tmp_path, threads):
    study = small_study()
    with pytest.raises(MismatchError, match=r"versions must be \{'torch': '99'\}; this process"):
        run_study(study, tmp_path, engine=threads[0], plan=mismatched(study))
    assert set(read_results(tmp_path).cells["status"]) == {"missing"}


def test_a_mismatch_is_one_line_of_the_command(folder, monkeypatch, capsys):
    monkeypatch.setattr("captum_ext.study.plan_of", mismatched)
    assert main(["study", str(write_study(folder)), "--out", str(folder / "out")]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("captum-ext study: error: versions must be {'torch': '99'}")


class Processes:
    """A scheduler and workers, as one starts them by hand."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []
        self.scheduler = self.start(
            *("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--scheduler-file", str(folder / "scheduler.json")),
        )
        self.wait_for((folder / "scheduler.json").exists)
        time.sleep(0.2)
        self.address = json.loads((folder / "scheduler.json").read_text())["address"]

    def start(self, *arguments):
        with open(self.folder / f"log_{len(self.started)}", "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )
        self.started.append(process)
        return process

    def worker(self):
        return self.start(
            *("worker", self.address, "--nworkers", "1", "--nthreads", "1", "--no-nanny"),
            *("--no-dashboard", "--local-directory", str(self.folder)),
        )

    def wait_for(self, condition):
        end = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)


@contextmanager
def processes(folder):
    running = Processes(folder)
    try:
        yield running
    finally:
        for process in running.started:
            process.kill()
            process.wait()


class Restarting:
    """A client of a cluster whose workers are away for some looks, then back or not."""

    def __init__(self, away):
        self.away = away

    def scheduler_info(self, n_workers):
        self.away -= 1
        return {"workers": {} if self.away >= 0 else {"one": {}}}


class Slow:
    """Dask, whose tasks are done once there is a worker again."""

    TimeoutError = TimeoutError

    def __init__(self, client):
        self.client = client

    def wait(self, futures, timeout, when):
        if self.client.away >= 0:
            raise TimeoutError
        return SimpleNamespace(done=set(futures))


@pytest.mark.parametrize(("fixed", "limit"), [(True, "RESTART"), (False, "RETURN")])
def test_workers_that_restart_are_waited_for(monkeypatch, caplog, fixed, limit):
    client = Restarting(away=3)
    monkeypatch.setattr(engines, "_distributed", lambda: Slow(client))
    assert Cluster(client, fixed=fixed)._first_done(["task"]) == {"task"}
    (record,) = caplog.records
    seconds = getattr(engines, limit)
    told = f"the cluster has no worker; waiting up to {seconds} seconds for one"
    assert record.getMessage() == told


@pytest.mark.parametrize(("fixed", "limit"), [(True, "RESTART"), (False, "RETURN")])
def test_workers_that_do_not_come_back_are_told_in_one_line(monkeypatch, caplog, fixed, limit):
    client = Restarting(away=10**6)
    monkeypatch.setattr(engines, "_distributed", lambda: Slow(client))
    monkeypatch.setattr(engines, limit, 0.01)
    with pytest.raises(
        engines.ClusterError, match=r"none came back within 0\.01 seconds"
    ) as caught:
        Cluster(client, fixed=fixed)._first_done(["task"])
    assert "\n" not in str(caught.value) and len(caplog.records) == 1


def test_a_scheduler_that_does_not_say_its_workers_is_gone():
    client = SimpleNamespace(scheduler_info=lambda n_workers: raise_(OSError("closed")))
    with pytest.raises(engines.ClusterError, match="the scheduler is gone"):
        Cluster(client)._workers()


def raise_(error):
    raise error


@pytest.mark.slow
def test_the_command_joins_a_cluster(folder, capsys):
    path = write_study(folder)
    assert main(["study", str(path), "--out", str(folder / "alone")]) == 0
    with processes(folder) as running:
        running.worker()
        arguments = ["--scheduler", running.address, "--threads", "1"]
        assert main(["study", str(path), "--out", str(folder / "out"), *arguments]) == 0
    joined, alone = (read_results(folder / name).cells for name in ("out", "alone"))
    assert set(joined["status"]) == {"ok"}
    assert_same_table(joined, alone)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [1, 0], ids=["another works on", "none is left"])
def test_a_worker_that_is_killed_loses_nothing(tmp_path, alone, kept):
    with processes(tmp_path) as running:
        victims = [running.worker()]
        others = [running.worker() for _ in range(kept)]
        computed = []

        def on_cell(result):
            computed.append(result)
            if len(computed) in (2, 20, 40):
                victims.pop().send_signal(signal.SIGKILL)
                victims.append(running.worker())

        with joined_cluster(running.address, threads=1) as cluster:
            cluster.client.wait_for_workers(1 + kept, timeout=LONG)
            cells = run_study(study_of(), tmp_path / "out", engine=cluster, on_cell=on_cell).cells
        assert len(running.started) == 1 + 1 + len(others) + 3
    assert_same_table(without_traceback(cells), without_traceback(alone))
    assert len(computed) == len(set(alone["key"]))


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_one_line_and_the_study_goes_on(folder, capsys):
    path = write_study(folder, seeds="[0, 1, 2, 3]", methods='["smooth_grad", "lime"]')
    arguments = ["study", str(path), "--out", str(folder / "out")]
    with processes(folder) as running:
        running.worker()

        def killing(*args, on_cell, **more):
            def told(result):
                on_cell(result)
                running.scheduler.kill()

            return run_study(*args, on_cell=told, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("captum_ext.study.run_study", killing)
            assert main([*arguments, "--scheduler", running.address]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert line.startswith("captum-ext study: error: the scheduler is gone")
    assert {"ok", "missing"} == set(read_results(folder / "out").cells["status"])
    assert main(arguments) == 0
    assert set(read_results(folder / "out").cells["status"]) == {"ok"}


def dies(aim, references):
    # Dask takes a worker that dies at once for one that never came up, and starts no other.
    time.sleep(1)
    os._exit(1)


@pytest.mark.slow
def test_a_task_that_takes_workers_down_is_a_failed_cell(tmp_path, monkeypatch):
    # Workers import what kills them, and have the path of this process.
    monkeypatch.syspath_prepend(ROOT)
    methods = [MethodEntry("saliency", "deadly", settings=dies), MethodEntry("occlusion")]
    study = small_study(methods=methods, images=pictures(1), metrics=[MetricEntry("gini")])
    with local_cluster(1, threads=1) as cluster:
        cells = run_study(study, tmp_path, engine=cluster).cells.set_index("method")
    assert cells.loc["occlusion", "status"] == "ok"
    assert cells.loc["deadly", "status"] == "failed"
    assert "worker" in cells.loc["deadly", "error"]
