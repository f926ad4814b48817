"""Studies that are killed at any moment, and run by several processes at once."""

import os
import signal

import pytest

from captum_ext.study import read_results, run_study
from tests.study.conftest import assert_same_table, pictures, small_study, write_study

FORKED = """
import json, os, random, signal, sys, time
from pathlib import Path
import pandas
from captum_ext.metric_spec import MetricSpec
from captum_ext.study import read_results, run_study
from tests.study.conftest import *

PAUSE = 0.005

def patient(question):
    time.sleep(PAUSE)
    return question.attribution.abs().max()

def study_of(images, metrics):
    known = [MetricSpec(f"patient_{n}", "Patient", "none", "", patient, needs={"context"})
        for n in range(metrics)]
    return small_study(images=pictures(images), metrics=[*map(MetricEntry, known)], seeds=[0, 1],
        keep_attributions=True)

def forked(function):
    if (child := os.fork()) == 0:
        code = 1
        try:
            code = function() or 0
        finally:
            os._exit(code)
    return child

def code_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

folder = Path(sys.argv[1])
"""
KILLED = (
    FORKED
    + """
kills, images, metrics, seed = map(int, sys.argv[2:])
study = study_of(images, metrics)
run_study(study, folder / "whole")
n_computed = len(set(read_results(folder / "whole").cells["key"]))
chance = random.Random(seed)
codes, stored = [], []
for _ in range(kills):
    told, tells = os.pipe()
    child = forked(lambda: run_study(study, folder / "killed",
        on_cell=lambda result: os.write(tells, b"1")) and 0)
    os.close(tells)
    # After a part of what is left to do, and then at any moment.
    for _ in range(chance.randrange(1 + n_computed // (2 * kills))):
        os.read(told, 1)
    time.sleep(2 * PAUSE * chance.random())
    os.kill(child, signal.SIGKILL)
    codes.append(code_of(child))
    os.close(told)
    if (folder / "killed" / "study.sqlite").exists():
        try:
            cells = read_results(folder / "killed").cells
            stored.append(int((cells["status"] == "ok").sum()))
        except OSError as error:
            assert "is empty" in str(error), error
codes.append(code_of(forked(lambda: run_study(study, folder / "killed") and 0)))
print(json.dumps([codes, stored, study.n_cells]))
"""
)


def check_killed(python, tmp_path, kills, images, metrics, seed):
    codes, stored, n_cells = python(KILLED, tmp_path, kills, images, metrics, seed)
    # On a busy machine one may be done before it is killed.
    assert set(codes[:-1]) <= {-signal.SIGKILL, 0} and codes[-1] == 0
    assert codes.count(-signal.SIGKILL) > kills / 2
    # No cell that was stored is lost, and there was something to lose.
    assert stored == sorted(stored) and any(0 < count < n_cells for count in stored)
    whole, killed = (read_results(tmp_path / name) for name in ("whole", "killed"))
    assert set(killed.cells["status"]) == {"ok"} and len(killed.cells) == n_cells
    assert_same_table(killed.cells, whole.cells)
    assert (killed.pictures, killed.maps) == (whole.pictures, whole.maps)
    names = [sorted(os.listdir(tmp_path / name / "attributions")) for name in ("whole", "killed")]
    assert names[0] == [name for name in names[1] if name.endswith(".npz")]


def test_a_study_goes_on_after_kills_at_any_moment(tmp_path, python):
    check_killed(python, tmp_path, kills=6, images=3, metrics=3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_study_of_200_cells_goes_on_after_twenty_kills(tmp_path, python, seed):
    check_killed(python, tmp_path, kills=20, images=7, metrics=5, seed=seed)


TOGETHER = (
    FORKED
    + """
study = study_of(2, 3)
run_study(study, folder / "alone", on_cell=lambda result: None)

def count(name):
    def run():
        computed = []
        run_study(study, folder / "out", on_cell=lambda result: computed.append(result.key))
        (folder / name).write_text(json.dumps(computed))
    return run

children = [forked(count(str(number))) for number in range(3)]
codes = [code_of(child) for child in children]
computed = [json.loads((folder / str(number)).read_text()) for number in range(3)]
print(json.dumps([codes, computed, len(set(read_results(folder / "out").cells["key"]))]))
"""
)


def test_processes_share_a_study(tmp_path, python):
    codes, computed, n_keys = python(TOGETHER, tmp_path)
    assert codes == [0, 0, 0]
    keys = [key for each in computed for key in each]
    # None is lost, and none is computed twice.
    assert len(keys) == len(set(keys)) == n_keys
    assert sum(map(bool, computed)) > 1
    alone, together = (read_results(tmp_path / name).cells for name in ("alone", "out"))
    assert_same_table(together, alone)
    assert not list((tmp_path / "out").glob("running*"))


RIVAL = (
    FORKED
    + """
from captum_ext.study.plan.planner import plan_of
from captum_ext.study.store.store import Store

study = study_of(2, 3)
run_study(study, folder / "alone")
tasks = plan_of(study).tasks
first = set(tasks[0].keys)
(ready, is_ready), (told, tells) = os.pipe(), os.pipe()

def dies():
    def stay(result):
        os.write(is_ready, b"1")
        time.sleep(600)
    run_study(study, folder / "out", on_cell=stay)

def lives():
    def tell(result):
        os.write(tells, b"1")
    run_study(study, folder / "out", on_cell=tell)

rival = forked(dies)
os.read(ready, 1)
with Store(folder / "out", plan_of(study), {}) as store:
    taken = [store.claim(task) for task in tasks[:2]]
other = forked(lives)
n_others = len({key for task in tasks[1:] for key in task.keys})
for _ in range(n_others):
    os.read(told, 1)
# All is done but for what the rival holds.
time.sleep(0.2)
waiting = os.waitpid(other, os.WNOHANG) == (0, 0)
known = {key for key, status in read_results(folder / "out").cells[["key", "status"]].values
    if status == "ok"}
os.kill(rival, signal.SIGKILL)
print(json.dumps([taken, waiting, len(known & first), len(known - first) == n_others,
    code_of(rival), code_of(other)]))
"""
)


def test_a_claim_lasts_until_its_owner_is_dead(tmp_path, python):
    taken, waiting, held, others, *codes = python(RIVAL, tmp_path)
    assert taken == [False, True]
    assert waiting and held == 1 and others
    assert codes == [-signal.SIGKILL, 0]
    alone, together = (read_results(tmp_path / name).cells for name in ("alone", "out"))
    assert_same_table(together, alone)


PARTLY = (
    FORKED
    + """
from captum_ext.study.plan.planner import plan_of
from captum_ext.study.store.store import Store

# Of two methods that are one task, the first one's cell is there already.
rises = [MethodEntry("rise", output, output=output, settings={"n_samples": 9})
    for output in ("logit", "probability")]
study = small_study(models=[classifier()], images=pictures(1), methods=rises,
    metrics=[MetricEntry("gini")])
plan = plan_of(study)
(task,) = plan.tasks

def dies():
    run_study(study, folder / "out", on_cell=lambda result: os.kill(os.getpid(), signal.SIGKILL))

code = code_of(forked(dies))
found = []
with Store(folder / "out", plan, {}) as one, Store(folder / "out", plan, {}) as other:
    known = one.known(task.keys)
    found += [one.claim(task), other.claim(task)]
    one.release(task.without(known))
    found += [other.claim(task)]
print(json.dumps([code, len(known), found]))
"""
)


def test_a_task_that_is_done_in_part_is_claimed_and_released_as_a_whole(tmp_path, python):
    code, n_known, claims = python(PARTLY, tmp_path)
    assert (code, n_known) == (-signal.SIGKILL, 1)
    assert claims == [True, False, True]


def test_an_extended_study_keeps_what_is_there(tmp_path):
    before = run_study(small_study(), tmp_path / "out").cells
    wider, computed = small_study(images=pictures(3), seeds=[0, 1]), []
    extended = run_study(wider, tmp_path / "out", extend=True, on_cell=computed.append)
    new = run_study(wider, tmp_path / "new")
    assert_same_table(extended.cells, new.cells)
    assert (extended.maps, extended.images) == (new.maps, new.images)
    keys = {result.key for result in computed}
    assert keys == set(new.cells["key"]) - set(before["key"]) and len(keys) == len(computed)


INTERRUPTED = (
    FORKED
    + """
from contextlib import redirect_stderr
from captum_ext import study
from captum_ext.cli import main

run = study.run_study

def interrupting(*args, on_cell, **more):
    cells = []
    def told(result):
        on_cell(result)
        cells.append(result)
        if len(cells) == 3:
            os.kill(os.getpid(), signal.SIGINT)
    return run(*args, on_cell=told, **more)

def command():
    study.run_study = interrupting
    with open(folder / "said", "a") as said, redirect_stderr(said):
        return main(["study", str(folder / "study.toml"), "--out", str(folder / "out")])

print(json.dumps([code_of(forked(command)) for _ in range(3)]))
"""
)


def test_an_interrupted_command_goes_on(folder, python):
    write_study(folder)
    # Three cells of eight, six, eight.
    assert python(INTERRUPTED, folder) == [130, 130, 0]
    said = (folder / "said").read_text()
    assert said.count("interrupted; the same command goes on") == 2 and "Traceback" not in said
    assert set(read_results(folder / "out").cells["status"]) == {"ok"}


EARLY = (
    FORKED
    + """
from contextlib import redirect_stderr
from captum_ext import study
from captum_ext.cli import main

plan_of = study.plan_of

def interrupting(*args):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(9)

def command():
    study.plan_of = interrupting
    with open(folder / "said", "a") as said, redirect_stderr(said):
        return main(["study", str(folder / "study.toml"), "--out", str(folder / "out")])

print(json.dumps(code_of(forked(command))))
"""
)


def test_a_command_that_is_interrupted_early_goes_on(folder, python):
    write_study(folder)
    assert python(EARLY, folder) == 130
    assert (folder / "said").read_text() == "interrupted; the same command goes on\n"
