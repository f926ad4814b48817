import os
import sqlite3
from contextlib import closing
from dataclasses import replace

import pandas as pd
import pytest
import torch
from captum.attr import Attribution
from pandas.api.types import is_numeric_dtype

from captum_ext.cli import main
from captum_ext.study import (
    COLUMNS,
    MethodEntry,
    MetricEntry,
    ModelEntry,
    StoreError,
    TensorImage,
    export,
    plan_of,
    read_results,
    run_study,
)
from captum_ext.study.plan import planner
from captum_ext.study.store import store
from tests.study.conftest import (
    assert_same_table,
    contents,
    damage,
    exam,
    pictures,
    pixels,
    small_study,
    write_study,
)

OTHER = {
    "methods": ({"methods": [MethodEntry("saliency")]}, "methods (it also has 'occlusion', 'smo"),
    "more images": ({"images": pictures(3)}, "images (it lacks 'picture_2')"),
    "order": ({"images": pictures(2)[::-1]}, "images (in another order)"),
    "image": (
        {"images": [TensorImage("picture_0", pixels(9)), *pictures(2)[1:]]},
        "images 'picture_0'.digest (",
    ),
    "settings": (
        {"metrics": [MetricEntry("gini"), MetricEntry("srg", "relevance_rank")]},
        'metrics \'relevance_rank\'.metric ("relevance_rank" there, "srg" here)',
    ),
    "weights": ({"models": [exam(seed=1)]}, "models 'center_pixel'.fingerprint ("),
    "model": ({"models": [ModelEntry.exam("additive", size=5)]}, "models (it lacks 'additive')"),
    "seeds": ({"seeds": [0, 1]}, "seeds ([0] there, [0, 1] here)"),
    "target": ({"target": 3}, 'target ("predicted" there, 3 here)'),
    "references": ({"references": "others"}, 'references ([] there, "others" here)'),
    "gallery": ({"gallery": 3}, "gallery (24 there, 3 here)"),
    "kept": ({"keep_attributions": True}, "keep_attributions (false there, true here)"),
}


@pytest.fixture
def out(tmp_path):
    """A folder with a finished study."""
    run_study(small_study(), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize(("changes", "message"), OTHER.values(), ids=OTHER)
def test_another_study_is_refused_and_nothing_is_changed(out, changes, message):
    before = contents(out)
    with pytest.raises(ValueError) as caught:
        run_study(replace(small_study(), **changes), out)
    assert "holds another study, which differs in " in str(caught.value)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert contents(out) == before


def test_other_versions_are_another_study(out, monkeypatch):
    versions = planner.decisive_versions() | {"torch": "99"}
    monkeypatch.setattr(planner, "decisive_versions", lambda: versions)
    with pytest.raises(ValueError, match=r"versions\.torch \(.* there, \"99\" here\)"):
        run_study(small_study(), out)


def test_an_edited_captum_ext_is_another_study(out, monkeypatch):
    versions = planner.decisive_versions() | {"captum_ext": "0.1.0+0123456789ab"}
    monkeypatch.setattr(planner, "decisive_versions", lambda: versions)
    with pytest.raises(ValueError, match=r"versions\.captum_ext \(its code has changed\)"):
        run_study(small_study(), out)


def test_an_edited_method_is_computed_again_and_nothing_else(tmp_path, caplog):
    """Until it is as it was: what was computed with it is there still."""
    values = []
    for power, n_computed in (("1", 4), ("8", 2), ("1", 0)):
        scope = {"__name__": "__main__", "Attribution": Attribution}
        exec(f"class Mine(Attribution):\n attribute = lambda self, x, target: x ** {power}", scope)
        study = small_study(
            methods=[MethodEntry(scope["Mine"]), MethodEntry("saliency")],
            metrics=[MetricEntry("gini")],
        )
        computed = []
        results = run_study(study, tmp_path, on_cell=computed.append)
        assert len(computed) == n_computed
        values.append(results.cells.set_index(["method", "image"])["value"].to_dict())
    assert [record.getMessage() for record in caplog.records] == [
        f"out '{tmp_path}': computed again is methods 'mine'.class (its code has changed)"
    ] * 2
    assert values[0] == values[2]
    same = {name for name, value in values[0].items() if values[1][name] == value}
    assert {method for method, _ in same} == {"saliency"}


def test_another_study_is_one_line_of_the_command(folder, capsys):
    arguments = ["--out", str(folder / "out")]
    assert main(["study", str(write_study(folder)), *arguments]) == 0
    before = contents(folder / "out")
    capsys.readouterr()
    assert main(["study", str(write_study(folder, seeds="[1]")), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("captum-ext study: error: out ") and "seeds ([0] there, [1]" in line
    assert contents(folder / "out") == before


@pytest.mark.parametrize(
    "how", ["random bytes", "random page", "truncated", "a text", "of others", "of this format"]
)
def test_a_damaged_file_is_refused_and_left_as_it_is(out, how, capsys):
    damage(out / store.FILE, how)
    before = contents(out)
    for use in (lambda: run_study(small_study(), out), lambda: read_results(out)):
        with pytest.raises(StoreError, match=r"study\.sqlite") as caught:
            use()
        assert "\n" not in str(caught.value)
        assert contents(out) == before
    assert main(["report", str(out)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_format_of_another_version_is_refused(out):
    with closing(sqlite3.connect(out / store.FILE)) as database:
        database.execute("PRAGMA user_version = 7")
    for use in (lambda: run_study(small_study(), out), lambda: read_results(out)):
        with pytest.raises(StoreError, match="has format 7; this version of captum_ext reads 1"):
            use()


def test_a_folder_without_a_study_is_one_line(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreError, match="holds no study: there is no study"):
            read_results(folder)
        assert main(["report", str(folder)]) == 2
        assert main(["study", "--export", "csv", "--out", str(folder)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 4
    (tmp_path / store.FILE).write_bytes(b"")
    with pytest.raises(StoreError, match="sqlite is empty"):
        read_results(tmp_path)
    assert not (tmp_path / "none").exists()


def test_a_folder_below_a_file_cannot_be_written(folder, capsys):
    (folder / "file").write_text("")
    for below in ("file", "file/below", "file/below/it"):
        with pytest.raises(StoreError, match="cannot be written"):
            run_study(small_study(), folder / below)
        assert main(["study", str(write_study(folder)), "--out", str(folder / below)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "cannot be written" in line


def limited(monkeypatch, pages):
    """A disk with room for a few pages."""
    connect = store.connect

    def connected(*args):
        database = connect(*args)
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    monkeypatch.setattr(store, "connect", connected)


def test_a_full_disk_keeps_what_is_stored(folder, monkeypatch, capsys):
    command = [
        "study",
        str(write_study(folder, seeds="[0, 1, 2, 3, 4, 5]", methods='["smooth_grad"]')),
    ]
    assert main([*command, "--out", str(folder / "whole")]) == 0
    with monkeypatch.context() as patch:
        limited(patch, 14)
        capsys.readouterr()
        assert main([*command, "--out", str(folder / "out")]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert "cannot be used: database or disk is full" in line and "What is stored stays" in line
    status = [*read_results(folder / "out").cells["status"]]
    assert "ok" in status and "missing" in status
    assert main([*command, "--out", str(folder / "out")]) == 0
    whole = read_results(folder / "whole").cells
    assert_same_table(read_results(folder / "out").cells, whole)


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from captum_ext.study import StoreError, read_results, run_study
from tests.study.conftest import *

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

found = []
for size, count, gallery in ((16, 9, 24), (128, 1, 0)):
    out = Path(sys.argv[1], str(size))
    study = small_study(models=[ModelEntry.classifier(network(), "tiny", size=size)],
        images=pictures(count), gallery=gallery,
        metrics=[MetricEntry("gini")], keep_attributions=True)
    limit(90_000)
    try:
        run_study(study, out)
    except StoreError as error:
        said = str(error)
    limit(resource.RLIM_INFINITY)
    before = [*read_results(out).cells["status"]]
    half = [path.name for path in out.rglob("*.part")]
    after = [*run_study(study, out).cells["status"]]
    found.append([said, before, half, after])
print(json.dumps(found))
"""


def test_a_full_disk_keeps_what_is_stored_and_no_half_attribution(tmp_path, python):
    database, attribution = python(FULL_DISK, tmp_path)
    for said, before, half, after in (database, attribution):
        assert "cannot be" in said and "What is stored stays" in said and "\n" not in said
        assert "missing" in before and set(after) == {"ok"}
        assert half == []
    assert "ok" in database[1]
    assert "study.sqlite" in database[0] and "study.sqlite" not in attribution[0]


DROPPED = """
import json, os, signal, sys
from pathlib import Path
import numpy, pandas, torch
from captum_ext.cli import main
from captum_ext.study import StoreError, read_results, run_study
from tests.study.conftest import *

study, folder = small_study(), Path(sys.argv[1])
run_study(study, folder / "whole")
if (child := os.fork()) == 0:
    done = []
    def die(result):
        done.append(result)
        if len(done) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    run_study(study, folder / "killed", on_cell=die)
os.waitpid(child, 0)
assert (folder / "killed" / "study.sqlite-wal").stat().st_size
(folder / "lost").mkdir()
for name in ("study.sqlite", "study.sqlite-wal"):
    (folder / "lost" / name).write_bytes((folder / "killed" / name).read_bytes())
for path in sorted(folder.rglob("*"), reverse=True):
    path.chmod(0o555 if path.is_dir() else 0o444)
folder.chmod(0o555)
os.setuid(65534)
found = [[*read_results(folder / name).cells["status"]] for name in ("whole", "killed")]
for out in ("whole", "killed", "new"):
    try:
        run_study(study, folder / out)
    except StoreError as error:
        found.append(str(error))
try:
    found.append([*read_results(folder / "lost").cells["status"]])
except StoreError as error:
    found.append(str(error))
print(json.dumps(found))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_what_cannot_be_written_can_be_read(open_folder, python):
    whole, killed, *said, lost = python(DROPPED, open_folder)
    assert set(whole) == {"ok"} and len(whole) == small_study().n_cells
    assert killed == ["ok"] * 5 + ["missing"] * 7
    assert len(said) == 3
    for name, line in zip(("whole", "killed", "new"), said, strict=True):
        assert "cannot be" in line and "What is stored stays" in line and name in line
    # Either all that was stored, or an error, but never a part of it.
    assert lost == killed or "cannot be" in lost


def test_it_can_be_read_while_it_is_written(tmp_path):
    counts = []

    def look(result):
        cells = read_results(tmp_path).cells
        counts.append(int((cells["status"] != "missing").sum()))
        assert list(cells["key"]) == [cell.key for cell in plan_of(small_study()).cells]

    run_study(small_study(), tmp_path, on_cell=look)
    assert counts == list(range(1, small_study().n_cells + 1))


NOW = []


def only_now(aim, references):
    if not NOW:
        raise RuntimeError("not now")
    return {}


def test_failed_cells_are_tried_again_when_asked_for(tmp_path):
    def tried(now, **how):
        NOW[:] = [1] * now
        computed = []
        methods = [MethodEntry("saliency", settings=only_now), MethodEntry("occlusion")]
        study = small_study(methods=methods)
        cells = run_study(study, tmp_path, on_cell=computed.append, **how).cells
        return len(computed), int((cells["status"] == "failed").sum())

    assert tried(False) == (8, 4)
    assert tried(False) == (0, 4)
    assert tried(False, retry_failed=True) == (4, 4)
    assert tried(True) == (0, 4)
    assert tried(True, retry_failed=True) == (4, 0)
    assert tried(True, retry_failed=True) == (0, 0)


def test_results_are_a_table_of_the_study(out):
    results, study = read_results(out), small_study(seeds=[0])
    cells = results.cells
    assert list(cells.columns) == list(COLUMNS) and len(cells) == study.n_cells
    assert results.images == ["picture_0", "picture_1"] and results.models == ["center_pixel"]
    assert list(cells["method"].cat.categories) == [entry.name for entry in study.methods]
    assert results.methods["smooth_grad"] == "SmoothGrad" and results.title == "Small"
    assert results.metrics["relevance_rank"].direction == "higher"
    assert str(cells["value"].dtype) == "float64" and str(cells["forward"].dtype) == "Int64"
    assert set(results.pictures) == {("center_pixel", name) for name in results.images}
    assert len(results.maps) == 2 * 3 and all(m[:2] == b"\xff\xd8" for m in results.maps.values())
    assert set(cells["key"]) == {cell.key for cell in plan_of(study).cells}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_exported_tables_are_read_by_pandas(tmp_path, kind):
    study = small_study(
        methods=[MethodEntry("saliency", settings=torch.zeros), MethodEntry("lime")]
    )
    results = run_study(study, tmp_path)
    assert {"ok", "failed"} == set(results.cells["status"])
    path = tmp_path / f"results.{kind}"
    export(results, path, kind)
    if kind == "csv":
        numbers = [name for name, column in results.cells.items() if is_numeric_dtype(column)]
        found = pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in numbers})
    else:
        found = pd.read_parquet(path)
    assert list(found.columns) == list(COLUMNS)
    for name, column in results.cells.items():
        expected = column.astype(str) if column.dtype == "category" else column
        pd.testing.assert_series_equal(
            found[name].astype(expected.dtype), expected, check_exact=True, check_names=False
        )
    assert set(found[found["status"] == "failed"]["traceback"].str[:9]) == {"Traceback"}


def test_the_command_exports_what_is_there(folder, capsys):
    out = str(folder / "out")
    assert main(["study", str(write_study(folder)), "--out", out, "--export", "csv"]) == 0
    assert "results.csv, 8 rows" in capsys.readouterr().out
    (folder / "out" / "results.csv").unlink()
    assert main(["study", "--out", out, "--export", "csv"]) == 0
    assert len(pd.read_csv(folder / "out" / "results.csv")) == 8
    (folder / "out" / "results.csv").unlink()
    (folder / "out" / "results.csv").mkdir()
    capsys.readouterr()
    assert main(["study", "--out", out, "--export", "csv"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
