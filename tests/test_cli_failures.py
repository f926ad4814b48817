"""Whatever fails in a command is one line; the others go on; what is finished is kept."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from captum_ext import exam, load_model, pictures
from captum_ext.cli import main
from captum_ext.pictures import PictureInterrupt, explain_picture, save_explanation

PARTS = '''
import torch
from captum.attr import Saliency
from torch import nn


class Own(Exception):
    pass


class Last(BaseException):
    pass


class Colors(nn.Module):
    """It raises for a picture that is mostly blue."""

    error = None

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(10 * torch.eye(3))

    def forward(self, x):
        logits = x.mean((2, 3)) @ self.weight
        if self.error is not None and logits[0, 2] > 5:
            raise self.error
        return logits


def model_of(error):
    model = Colors()
    model.error = error
    return lambda: model


RuntimeErrors = model_of(RuntimeError("bad\\nluck"))
Memory = model_of(MemoryError())
Key = model_of(KeyError("blue"))
Owns = model_of(Own("of its own"))
Exit = model_of(SystemExit(3))
Lasts = model_of(Last("last"))


class Broken(Saliency):
    def attribute(self, inputs, target=None):
        raise KeyError("heat")


class Exits(Saliency):
    def attribute(self, inputs, target=None):
        raise SystemExit(0)


class Interrupted(Saliency):
    def attribute(self, inputs, target=None):
        raise KeyboardInterrupt


def exits():
    exit()


def exits_with_words():
    raise SystemExit("I am\\nleaving")


def raises():
    raise Last("\\x1b[31mred")


def nothing():
    return None


def asserts():
    assert False
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with models and methods, and a picture of each color."""
    (tmp_path / "failureparts.py").write_text(PARTS)
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "pictures").mkdir()
    for name, color in (("blue", (0, 0, 200)), ("green", (0, 200, 0)), ("red", (200, 0, 0))):
        Image.new("RGB", (24, 16), color).save(tmp_path / "pictures" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "failureparts", raising=False)
    return tmp_path


def command(*arguments):
    common = ("--model", "failureparts:Colors", "--size", "16", "--top", "1", "--out", "out")
    return [
        "explain",
        *common,
        *(("--method", "saliency") * ("--method" not in arguments)),
        *arguments,
    ]


def written(folder):
    return sorted(path.name for path in (folder / "out").iterdir())


ERRORS = {
    "RuntimeErrors": "bad luck",
    "Memory": "not enough memory",
    "Key": "KeyError: 'blue'",
    "Owns": "Own: of its own",
    "Exit": "SystemExit: 3",
    "Lasts": "Last: last",
}


@pytest.mark.parametrize("model", ERRORS)
def test_any_error_of_a_model_is_that_pictures_and_the_others_go_on(folder, capsys, model):
    assert main(command("pictures", "--model", f"failureparts:{model}")) == 1
    error = capsys.readouterr().err
    assert written(folder) == ["green", "red"]
    assert "skipped: pictures/blue.png: " in error and ERRORS[model] in error
    assert "1 of 3 pictures were skipped" in error and "Traceback" not in error
    assert main(command("pictures/blue.png", "--model", f"failureparts:{model}")) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1 and lines[0].endswith(ERRORS[model])


@pytest.mark.parametrize("method", ["Broken", "Exits"])
def test_any_error_of_a_method_is_that_methods_and_the_others_go_on(folder, capsys, method):
    assert main(command("pictures", "--method", f"failureparts:{method},saliency")) == 1
    captured = capsys.readouterr()
    assert written(folder) == ["blue", "green", "red"]
    assert (folder / "out" / "red" / "saliency_0.npy").exists()
    assert ("KeyError: 'heat'" if method == "Broken" else "SystemExit: 0") in captured.out
    assert "3 of 6 maps failed" in captured.err
    assert main(command("pictures/red.png", "--method", f"failureparts:{method}")) == 2


@pytest.mark.parametrize(
    ("owner", "name"), [(np, "save"), (Image.Image, "save"), (Figure, "savefig")]
)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("drawing")])
def test_what_cannot_be_saved_is_that_pictures(folder, capsys, monkeypatch, owner, name, error):
    real = getattr(owner, name)

    def save(*args, **settings):
        if any("green" in str(argument) for argument in args):
            raise error
        return real(*args, **settings)

    monkeypatch.setattr(owner, name, save)
    assert main(command("pictures")) == 1
    text = capsys.readouterr().err
    assert "skipped: pictures/green.png: " in text
    assert "No space left on device" in text or "KeyError: 'drawing'" in text
    assert (folder / "out" / "red" / "explanation.json").exists()


def test_pictures_that_vanish_and_links_to_nothing_are_skipped(folder, capsys, monkeypatch):
    (folder / "pictures" / "circle.png").symlink_to("circle.png")
    (folder / "pictures" / "nowhere.png").symlink_to("missing")
    os.mkfifo(folder / "pictures" / "pipe.png")
    real = pictures.explain_picture

    def explain_and_remove(*args, **settings):
        (folder / "pictures" / "red.png").unlink(missing_ok=True)
        return real(*args, **settings)

    monkeypatch.setattr(pictures, "explain_picture", explain_and_remove)
    assert main(command("pictures")) == 1
    error = capsys.readouterr().err
    assert written(folder) == ["blue", "green"]
    for name in ("circle", "nowhere", "pipe", "red"):
        assert f"skipped: image 'pictures/{name}.png'" in error


def test_an_interruption_keeps_the_maps_of_the_picture(folder, capsys):
    methods = "saliency,failureparts:Interrupted,occlusion"
    assert main(command("pictures", "--method", methods)) == 130
    captured = capsys.readouterr()
    assert written(folder) == ["blue"]
    assert (folder / "out" / "blue" / "saliency_2.npy").exists()
    facts = json.loads((folder / "out" / "blue" / "explanation.json").read_text())
    assert [answer["remark"] for answer in facts["answers"]] == [None, *["interrupted"] * 2]
    assert "interrupted after 0 of 3 pictures, with 1 maps of the next" in captured.err
    assert main(command("pictures", "--method", "failureparts:Interrupted")) == 130
    assert "interrupted after 0 of 3 pictures\n" in capsys.readouterr().err


def test_an_interruption_holds_the_picture(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    model = load_model("failureparts:Colors", size=16)
    image = torch.rand(3, 16, 16)
    with pytest.raises(PictureInterrupt) as caught:
        explain_picture(model, image, ["saliency", "failureparts:Interrupted"], top=2)
    explained = caught.value.explained
    assert isinstance(caught.value, KeyboardInterrupt)
    assert (explained.n_maps, explained.n_failed, len(explained.answers)) == (1, 0, 4)
    assert save_explanation(explained, folder / "kept")


@pytest.mark.parametrize("arguments", [["methods"], ["exam", "--size", "5"]])
def test_an_interruption_elsewhere_is_one_line(folder, capsys, monkeypatch, arguments):
    def interrupt(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("captum_ext.cli.facts.methods", interrupt)
    monkeypatch.setattr(exam, "exam_images", interrupt)
    assert main(arguments) == 130
    assert capsys.readouterr().err == f"captum-ext {arguments[0]}: interrupted\n"


def test_an_exam_that_is_interrupted_at_once_is_whole(folder, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(exam, "examine", interrupt)
    assert main(["exam", "--size", "5", "--methods", "saliency", "--out", "out"]) == 130
    assert "interrupted after 0 answers" in capsys.readouterr().err
    assert json.loads((folder / "out" / "exam.json").read_text())["answers"] == []


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("failureparts:exits", "cannot be made: SystemExit: None"),
        ("failureparts:exits_with_words", "cannot be made: SystemExit: I am leaving"),
        ("failureparts:raises", r"cannot be made: Last: \x1b[31mred"),
        ("failureparts:asserts", "cannot be made: AssertionError"),
        ("failureparts:nothing", "must give a torch.nn.Module; got NoneType"),
        ("leaves:factory", "'leaves:factory' cannot be imported: SystemExit: 0"),
    ],
)
@pytest.mark.parametrize("name", ["explain", "methods"])
def test_a_factory_that_gives_no_model_is_one_line(folder, capsys, factory, message, name):
    own = command("coffee") if name == "explain" else ["methods"]
    assert main([*own, "--model", factory]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"captum-ext {name}: error: model ") and message in line


def test_any_other_error_is_one_line_with_its_class(capsys, monkeypatch):
    def fail(*args):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("captum_ext.cli.facts.methods", fail)
    assert main(["methods"]) == 2
    assert capsys.readouterr().err == "captum-ext methods: error: ZeroDivisionError: two lines\n"


def test_a_reader_that_leaves_ends_the_command_without_an_error(capsys, monkeypatch):
    for reader in range(2):
        ends = os.pipe()
        os.close(ends[0])
        with os.fdopen(ends[1], "w", buffering=1 + reader * 10**5) as pipe:
            monkeypatch.setattr(sys, "stdout", pipe)
            assert main(["metrics", "--json"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("closed", ["| true", ">&- 2>&-"])
def test_output_that_is_closed_is_no_error(closed):
    run = "import sys; from captum_ext.cli import main; sys.exit(main())"
    script = f'"{sys.executable}" -c "{run}" --help {closed}; exit ${{PIPESTATUS[0]}}'
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_output_that_cannot_be_written_is_one_line(capsys, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["metrics"]) == 2
    assert capsys.readouterr().err == (
        "captum-ext metrics: error: [Errno 28] No space left on device\n"
    )
