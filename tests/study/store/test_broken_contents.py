"""Databases of studies whose contents are broken, or that go away while a study runs."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from captum_ext.cli import main
from captum_ext.metric_spec import MetricSpec
from captum_ext.study import MethodEntry, MetricEntry, StoreError, read_results, run_study
from captum_ext.study.store.sqlite import FILE
from tests.study.conftest import small_study, write_study

BROKEN = {
    "no JSON": "UPDATE study SET identity = '{'",
    "nested JSON": f"UPDATE study SET identity = '{'[' * 50_000}'",
    "JSON of another kind": "UPDATE study SET identity = '[1]'",
    "an identity without methods": "UPDATE study SET identity = json_remove(identity, '$.methods')",
    "an image without a name": "UPDATE study SET identity = json_set(identity, '$.images[0]', 3)",
    "a name that is no text": "UPDATE study SET identity = json_set(identity, '$.models[0]', '3')",
    "an identity of bytes": "UPDATE study SET identity = x'ff00'",
    "an identity that is no UTF-8": "UPDATE study SET identity = CAST(x'ff22' AS TEXT)",
    "no study": "DELETE FROM study",
    "no table": "DROP TABLE cells",
    "another table": "DROP TABLE kept; CREATE TABLE kept (key TEXT)",
    "a column that is gone": "ALTER TABLE plan RENAME COLUMN seed TO sead",
}
BROKEN_FOR_READERS = {
    "no JSON about it": "UPDATE study SET about = 'x'",
    "no title": "UPDATE study SET about = json_remove(about, '$.title')",
    "a list of titles": "UPDATE study SET about = json_set(about, '$.methods', json('[]'))",
    "a metric's direction": "UPDATE study SET about = replace(about, 'higher', 'up')",
    "a metric's other fact": "UPDATE study SET about = json_set(about, '$.metrics[0].x', 1)",
    "a version that is no text": "UPDATE study SET about = json_set(about, '$.versions.torch', 2)",
    "a value that is a text": "UPDATE cells SET value = 'high'",
    "a value of bytes": "UPDATE cells SET value = x'00'",
    "passes that are a text": "UPDATE cells SET forward = 'many'",
    "half a pass": "UPDATE cells SET backward = 0.5",
    "an unknown status": "UPDATE cells SET status = 'fine'",
    "an error of bytes": "UPDATE cells SET error = x'ff'",
    "a label that is no UTF-8": "UPDATE cells SET label = CAST(x'ff' AS TEXT)",
    "another image": "UPDATE plan SET image = 'other'",
    "no method": "UPDATE plan SET method = NULL",
    "a seed that is a text": "UPDATE plan SET seed = 'first'",
    "a picture that is a text": "UPDATE kept SET drawn = 'picture'",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_study(small_study(), folder)
    return folder


def broken(whole, folder, script):
    if folder != whole:
        shutil.copytree(whole, folder, dirs_exist_ok=True)
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.executescript(script)


def check_told(use):
    with pytest.raises(StoreError, match=r"study\.sqlite' is damaged or no study's: ") as caught:
        use()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
def test_what_is_no_study_is_told_by_readers_and_writers(whole, tmp_path, script):
    broken(whole, tmp_path, script)
    check_told(lambda: read_results(tmp_path))
    for extend in (False, True):
        check_told(lambda extend=extend: run_study(small_study(), tmp_path, extend=extend))


@pytest.mark.parametrize("script", BROKEN_FOR_READERS.values(), ids=BROKEN_FOR_READERS)
def test_broken_contents_are_told_by_readers(whole, tmp_path, script):
    broken(whole, tmp_path, script)
    check_told(lambda: read_results(tmp_path))


def test_a_broken_study_is_one_line_of_each_command(folder, capsys):
    path, out = str(write_study(folder)), str(folder / "out")
    assert main(["study", path, "--out", out]) == 0
    broken(folder / "out", folder / "out", "UPDATE study SET identity = '{}'")
    capsys.readouterr()
    for arguments in (["report", out], ["study", path, "--out", out, "--extend"]):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "is damaged or no study's" in line


def test_a_folder_in_place_of_the_file_is_one_line(folder, capsys):
    (folder / "out" / FILE).mkdir(parents=True)
    path, out = str(write_study(folder)), str(folder / "out")
    for arguments in (["report", out], ["study", path, "--out", out]):
        assert main(arguments) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert len(lines) == 1 and FILE in lines[0]


def deleted(folder):
    (folder / FILE).unlink()


def replaced(folder):
    shutil.copy(folder / FILE, folder / "other")
    os.replace(folder / "other", folder / FILE)


def cut_off(folder):
    os.truncate(folder / FILE, 0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (deleted, "was deleted while the study ran"),
        (replaced, "was replaced by another file while the study ran"),
        (cut_off, "was cut off while the study ran"),
        (shutil.rmtree, "was deleted while the study ran"),
    ],
    ids=["deleted", "replaced", "cut off", "with its folder"],
)
@pytest.mark.parametrize("keep", [False, True], ids=["cells", "attributions"])
def test_a_file_that_goes_away_stops_the_study_at_once(tmp_path, change, what, keep):
    out, n_measured = tmp_path / "out", []

    def measure(context):
        n_measured.append(1)
        if len(n_measured) == 3:
            change(out)
        return 1.0

    metric = MetricEntry(MetricSpec("own", "Own", "none", "", measure, needs={"context"}))
    study = small_study(metrics=[metric], keep_attributions=keep)
    with pytest.raises(StoreError, match=what) as caught:
        run_study(study, out)
    assert "\n" not in str(caught.value) and len(n_measured) == 3


def test_a_study_starts_anew_after_its_file_was_deleted(tmp_path):
    study = small_study(methods=[MethodEntry("saliency")])
    with pytest.raises(StoreError, match="deleted"):
        run_study(study, tmp_path, on_cell=lambda result: deleted(tmp_path))
    assert set(run_study(study, tmp_path).cells["status"]) == {"ok"}
