"""Numbers, names and checkpoints that nothing could be made of are refused in one line."""

import json
import sys

import pytest
import torch
from PIL import Image

from captum_ext.cli import main
from captum_ext.cli.picture_report import PictureFolders, safe_name

COLORS = """
import torch
from torch import nn


class Colors(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(10 * torch.eye(3))

    def forward(self, x):
        return x.mean((2, 3)) @ self.weight
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a model and a picture."""
    (tmp_path / "limitparts.py").write_text(COLORS)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (24, 16), (200, 0, 0)).save(tmp_path / "pictures" / "red.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "limitparts", raising=False)
    return tmp_path


def command(*arguments):
    common = ("--model", "limitparts:Colors", "--size", "16", "--top", "1", "--out", "out")
    return [
        "explain",
        *common,
        *(("--method", "saliency") * ("--method" not in arguments)),
        *arguments,
    ]


def code_of(arguments):
    try:
        return main(arguments)
    except SystemExit as error:
        return error.code


HUGE = str(10**19)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "100000"], "size must be at most 4096; got 100000"),
        (["--size", HUGE], f"size must be at most 4096; got {HUGE}"),
        (["--size", "-1"], "size must be at least 1; got -1"),
        (["--top", HUGE], f"top must be at most 1000000000; got {HUGE}"),
        (["--passes", HUGE], f"passes must be at most 1000000000; got {HUGE}"),
        (["--seed", HUGE], "seed must be from 0"),
        (["--alpha", HUGE], "alpha must be at least 0 and at most 1"),
        (["--outliers", HUGE], "outlier_perc must be at least 0 and at most 100"),
        (["--mean", f"{HUGE},0,0"], "mean must be at least -1e+09 and at most 1e+09"),
        (["--std", "1e400,1,1"], "std must be at least -1e+09 and at most 1e+09; got inf"),
        (["--target", HUGE], f"target must be from 0 to 2; got {HUGE}"),
        (["--set", f"n_steps={HUGE}"], f"n_steps must be at most 4294967296; got {HUGE}"),
        (["--set", f"strides=(3, {HUGE}, 2)"], "strides must be at most 4294967296"),
        (["--device", f"cuda:{HUGE}"], f"device 'cuda:{HUGE}' is not there"),
    ],
)
def test_numbers_out_of_any_range_are_refused_by_name(folder, capsys, arguments, message):
    top = ["explain", "coffee", "--model", "limitparts:Colors"]
    method = ["--method", "integrated_gradients"]
    assert code_of([*top, *method, *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1 and message in errors[0]


@pytest.mark.parametrize("name", ["size", "images", "alpha", "seed", "target", "center-value"])
def test_an_exam_refuses_numbers_out_of_any_range_by_name(folder, capsys, name):
    assert code_of(["exam", f"--{name}", HUGE, "--out", "out"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"error: {name.replace('-', '_')} must be " in line
    assert not (folder / "out").exists()


@pytest.mark.parametrize("text", ["(" * 5000, "9" * 5000, "{[]: 1}", "\\"])
def test_a_setting_that_is_no_literal_is_a_text(folder, capsys, text):
    assert main(command("coffee", "--method", "occlusion", "--set", f"strides={text}")) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("two\nlines", "two_lines"),
        ("\x1b[31mred\x07", "_[31mred_"),
        ("right\u202eleft", "right_left"),
        ("a:b*c|d\\e", "a_b_c_d_e"),
        ("x" * 200, "x" * 60),
        (" .. ", "picture"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf_"),
    ],
)
def test_odd_names_are_shown_escaped_and_their_files_have_plain_ones(folder, capsys, name, safe):
    assert safe_name(name) == safe
    Image.new("RGB", (16, 16)).save(folder / "plain.png")
    (folder / f"{name}.png").write_bytes((folder / "plain.png").read_bytes())
    (folder / "pictures" / f"broken{name}.png").touch()
    assert main(command(f"{name}.png", "pictures")) == 1
    captured = capsys.readouterr()
    assert (folder / "out" / safe / "figure.png").exists()
    for sign in "\x1b\x07\u202e\udce9":
        assert sign not in captured.out + captured.err
    assert captured.out.splitlines()[0].endswith(".png (16 x 16)")


def test_folders_of_names_that_became_equal_are_two(tmp_path):
    folders = PictureFolders(tmp_path)
    names = ["a\n.png", "a\t.png", "A_.png", "y" * 99 + ".png", "y" * 98 + ".png"]
    assert len({folders.of(name).name.lower() for name in names}) == len(names)


@pytest.mark.parametrize("label", ["$x_{$", "\x1b[31m", "two\nlines", "$\\frac$", "\udce9"])
def test_labels_of_any_signs_are_printed_and_drawn(folder, capsys, label):
    (folder / "names.json").write_text(json.dumps([label, "b", "c"]))
    arguments = ("pictures/red.png", "--class-names", "names.json")
    assert main(command(*arguments)) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert (folder / "out" / "red" / "figure.png").exists()


CHECKPOINTS = {
    "empty": lambda path: path.touch(),
    "folder": lambda path: path.mkdir(),
    "torn": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)),
    "nan": lambda path: torch.save({"weight": torch.full((3, 3), torch.nan)}, path),
    "meta": lambda path: torch.save({"weight": torch.empty(3, 3, device="meta")}, path),
    "sparse": lambda path: torch.save({"weight": torch.eye(3).to_sparse()}, path),
    "averages": lambda path: torch.save(
        {n: {"weight": torch.eye(3)} for n in ("model", "ema")}, path
    ),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_checkpoint_that_cannot_be_used_is_one_line(folder, capsys, kind):
    CHECKPOINTS[kind](folder / "model.pt")
    assert main(command("coffee", "--weights", "model.pt")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("captum-ext explain: error: weights 'model.pt' ")


def test_a_set_of_weights_is_chosen_on_the_command_line(folder, capsys):
    flipped = torch.flip(10 * torch.eye(3), (0,))
    torch.save({"model": {"weight": torch.eye(3)}, "ema": {"weight": flipped}}, "model.pt")
    assert main(command("pictures/red.png", "--weights", "model.pt#ema")) == 0
    assert (folder / "out" / "red" / "saliency_2.npy").exists()
