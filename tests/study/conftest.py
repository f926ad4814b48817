"""Small studies that take a fraction of a second."""

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from captum_ext.study import MethodEntry, MetricEntry, ModelEntry, Study, TensorImage
from captum_ext.study.store.sqlite import FORMAT

ROOT = Path(__file__).parents[2]
#: Seconds to wait for what takes moments on an idle machine.
LONG = 240
#: Columns that differ from run to run.
CHANCE = ["seconds", "metric_seconds"]
FILE = {
    "images": '["pictures.npz"]',
    "methods": '["saliency", "occlusion"]',
    "metrics": '["gini", "relevance_rank"]',
    "models": '[{ exam = "center_pixel", size = 5 }]',
}


def pixels(number, side=16, channels=3):
    generator = torch.Generator().manual_seed(number)
    return torch.rand(channels, side, side, generator=generator)


def pictures(count=2):
    return [TensorImage(f"picture_{number}", pixels(number)) for number in range(count)]


def network():
    """A convolutional network of three classes, always with the same weights."""
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in layers.parameters():
            value.copy_(torch.rand(value.shape, generator=generator) - 0.5)
    return layers.eval()


def classifier(name="tiny"):
    return ModelEntry.classifier(network(), name, size=16)


def exam(size=5, **settings):
    return ModelEntry.exam("center_pixel", size=size, **settings)


def small_study(**changes):
    """An exam model, two pictures, three methods and two metrics: 12 cells."""
    parts = {
        "title": "Small",
        "models": [exam()],
        "images": pictures(),
        "methods": [
            MethodEntry("saliency"),
            MethodEntry("occlusion"),
            MethodEntry("smooth_grad", settings={"nt_samples": 3}),
        ],
        "metrics": [MetricEntry("gini"), MetricEntry("relevance_rank")],
    }
    parts |= changes
    known = any("exam" in model.given for model in parts["models"])
    if "metrics" not in changes and not known and not parts.get("masks"):
        # Nothing says where the object is.
        parts["metrics"] = [MetricEntry("gini"), MetricEntry("mif", settings={"n_steps": 3})]
    return Study(**parts)


def save_pictures(path, count=2, **more):
    images = np.random.default_rng(0).integers(0, 256, (count, 9, 9, 3), dtype=np.uint8)
    np.savez(path, images=images, **more)


def write_study(folder, **changes):
    """A study file with some of its values, which are TOML, changed; None takes one out."""
    values = {key: value for key, value in (FILE | changes).items() if value is not None}
    path = folder / "study.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in values.items()))
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder with pictures for study files; nobody works in it."""
    save_pictures(tmp_path / "pictures.npz")
    return tmp_path


def assert_same_table(one, other):
    """But for what is different from run to run."""
    pd.testing.assert_frame_equal(one.drop(columns=CHANCE), other.drop(columns=CHANCE))


def contents(folder):
    """All files below a folder, byte by byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def damage(path, how):
    whole = path.read_bytes()
    if how == "random bytes":
        path.write_bytes(np.random.default_rng(0).bytes(len(whole)))
    elif how == "random page":
        path.write_bytes(whole[:4096] + np.random.default_rng(0).bytes(8192) + whole[12288:])
    elif how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "a text":
        path.write_text("a text")
    else:
        path.unlink()
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE cells (other TEXT)")
            if how == "of this format":
                other.execute(f"PRAGMA user_version = {FORMAT}")


#: It has imported all and is forked for each script: to start anew takes seconds.
FORKING = """
import json, os, sys, traceback
import pandas
from captum_ext.cli import main
from tests.study.conftest import *

for line in sys.stdin:
    script, arguments, out, err = json.loads(line)
    if (child := os.fork()) == 0:
        code = 1
        try:
            for path, number in ((out, 1), (err, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
            sys.argv = ["script", *arguments]
            exec(compile(script, "script", "exec"), {"__name__": "__main__"})
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def forking():
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", FORKING],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def python(forking, tmp_path_factory):
    """Runs a script in a process of its own; gives what it prints last, as JSON."""

    def run(script, *arguments):
        folder = tmp_path_factory.mktemp("script")
        request = [script, [*map(str, arguments)], *map(str, (folder / "out", folder / "err"))]
        forking.stdin.write(json.dumps(request) + "\n")
        forking.stdin.flush()
        if not select.select([forking.stdout], [], [], LONG)[0]:
            os.killpg(forking.pid, signal.SIGKILL)
            pytest.fail(f"after {LONG} seconds: {(folder / 'err').read_text()}")
        code = forking.stdout.readline().strip()
        assert code == "0", (folder / "err").read_text()
        return json.loads((folder / "out").read_text().splitlines()[-1])

    return run


@pytest.fixture
def open_folder(tmp_path_factory):
    """A folder that everyone may look into."""
    folder = tmp_path_factory.mktemp("open")
    for each in (folder, *list(folder.parents)[:2]):
        each.chmod(0o755)
    return folder
