"""Commands whose reader leaves, as ``| head -1`` does."""

import os
import sys

import pytest

from captum_ext.cli import main
from captum_ext.study import read_results
from tests.study.conftest import write_study


@pytest.fixture
def unread(monkeypatch):
    """Makes streams that nobody reads; gives a function that says what still waits in one."""

    def close(*names, buffering=-1):
        for name in names:
            reader, writer = os.pipe()
            os.close(reader)
            stream = os.fdopen(writer, "w", buffering)
            monkeypatch.setattr(sys, name, stream)

    yield close
    for stream in (sys.stdout, sys.stderr):
        # As Python does at its exit, which must be quiet.
        stream.flush()


@pytest.fixture
def path(folder):
    return str(write_study(folder))


@pytest.mark.parametrize("names", [["stdout"], ["stdout", "stderr"]], ids=len)
@pytest.mark.parametrize("buffering", [-1, 1], ids=["buffered", "by the line"])
def test_a_study_that_nobody_reads_is_computed(folder, path, unread, names, buffering):
    unread(*names, buffering=buffering)
    assert main(["study", path, "--out", str(folder / "out")]) == 0
    assert set(read_results(folder / "out").cells["status"]) == {"ok"}


def test_other_commands_of_studies_are_quiet(folder, path, unread):
    out = str(folder / "out")
    assert main(["study", path, "--out", out]) == 0
    unread("stdout", "stderr", buffering=1)
    assert main(["report", out]) == 0
    assert (folder / "out" / "report.html").exists()
    assert main(["study", "--out", out, "--export", "csv"]) == 0
    assert main(["study", path, "--out", out, "--dry-run"]) == 0
    with pytest.raises(SystemExit) as caught:
        main(["study", "--help"])
    assert caught.value.code in (0, None)


def test_an_error_that_nobody_reads_is_an_exit_code(folder, unread):
    unread("stdout", "stderr", buffering=1)
    assert main(["report", str(folder / "none")]) == 2
    assert main(["study", str(folder / "none.toml"), "--out", str(folder / "out")]) == 2
