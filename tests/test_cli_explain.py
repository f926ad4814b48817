import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from captum_ext import pictures
from captum_ext.cli import main

FACTORY = '''
import torch
from torch import nn


def colors(num_classes=3):
    convolution = nn.Conv2d(3, num_classes, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(10 * torch.eye(3)[:num_classes, :, None, None])
    return nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Moody(nn.Module):
    """It gives no number for a picture that is mostly blue."""

    def __init__(self):
        super().__init__()
        self.colors = colors()

    def forward(self, x):
        logits = self.colors(x)
        return torch.where(logits[:, 2:] > 5, torch.nan, logits)


def none():
    return 3
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a model, its class names, and three pictures, one of them corrupt."""
    (tmp_path / "colormodels.py").write_text(FACTORY)
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (60, 40), (0, 200, 0)).save(pictures / "green.png")
    Image.new("RGB", (40, 40), (0, 0, 200)).save(pictures / "blue.jpg")
    (pictures / "corrupt.png").write_bytes(b"\x89PNG no picture")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "colormodels", raising=False)
    return tmp_path


def command(*arguments):
    common = ("--model", "colormodels:colors", "--size", "16", "--class-names", "names.txt")
    return ["explain", *common, "--out", "out", *arguments]


def test_a_picture_gets_maps_of_its_classes(folder, capsys):
    assert main(command("pictures/green.png", "--method", "occlusion,saliency", "--top", "2")) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0] == "pictures/green.png (60 x 40)"
    assert lines[3].split()[:2] == ["1", "green"]
    written = {path.name for path in (folder / "out" / "green").iterdir()}
    assert {"figure.png", "explanation.json", "occlusion_1_green.png"} <= written
    assert len(written) == 2 + 2 * 2 * 2
    assert Image.open(folder / "out" / "green" / "saliency_1_green.png").size == (60, 40)
    assert np.load(folder / "out" / "green" / "saliency_1_green.npy").shape == (3, 16, 16)
    facts = json.loads((folder / "out" / "green" / "explanation.json").read_text())
    assert facts["settings"]["top"] == 2 and facts["settings"]["fit"] == "own"
    assert "map" in output.err


@pytest.mark.parametrize(
    ("kind", "header", "numbers"),
    [
        ("softmax", ["logit", "probability", "(softmax)"], ["0.00", "0.0004"]),
        ("sigmoid", ["logit", "probability", "(sigmoid)"], ["0.00", "0.5000"]),
        ("scores", ["score"], ["0"]),
    ],
)
def test_the_command_is_told_what_the_outputs_are(folder, capsys, kind, header, numbers):
    seen = ("--mean", "0,0,0", "--std", "1,1,1", "--target", "red", "--method", "saliency")
    assert main(command("pictures/green.png", *seen, "--outputs", kind)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["class", "label", *header]
    assert lines[3].split() == ["0", "red", *numbers]
    facts = json.loads((folder / "out" / "green" / "explanation.json").read_text())
    (about,) = facts["classes"]
    assert about["outputs"] == facts["model"]["outputs"] == facts["settings"]["outputs"] == kind
    assert about["score"] == 0 and (about["probability"] is None) == (kind == "scores")


def test_a_folder_goes_on_after_a_corrupt_picture(folder, capsys):
    assert main(command("pictures", "--method", "saliency", "--top", "1")) == 1
    output = capsys.readouterr()
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["blue", "green"]
    assert "skipped: image" in output.err and "corrupt.png" in output.err
    assert "1 of 3 pictures were skipped" in output.err


def test_pictures_of_the_same_name_get_folders_of_their_own(folder, capsys):
    other = folder / "more"
    other.mkdir()
    Image.new("RGB", (16, 16)).save(other / "green.jpg")
    arguments = ("more", "pictures/green.png", "--method", "saliency", "--top", "1")
    assert main(command(*arguments)) == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["green", "green_2"]


def test_a_class_goes_by_its_name_and_settings_reach_the_method(folder, capsys):
    arguments = ("--target", "Blue", "--method", "image_ig", "--baseline", "white")
    assert main(command("coffee", *arguments, "--set", "n_steps=7", "--set", "num_alphas=2")) == 0
    facts = json.loads((folder / "out" / "coffee" / "explanation.json").read_text())
    (answer,) = facts["answers"]
    assert (answer["class"], answer["forward"], answer["backward"]) == (2, 7, 7)


def test_passes_hold_every_method(folder, capsys):
    arguments = ("--target", "blue", "--method", "image_ig,rise,saliency", "--passes", "30")
    assert main(command("coffee", *arguments)) == 0
    facts = json.loads((folder / "out" / "coffee" / "explanation.json").read_text())
    passes = [(answer["forward"], answer["backward"]) for answer in facts["answers"]]
    assert passes == [(15, 15), (30, 0), (1, 1)]


def test_references_come_from_a_folder(folder, capsys):
    (folder / "pictures" / "corrupt.png").unlink()
    arguments = ("--method", "gradient_shap", "--references", "pictures", "--top", "1")
    assert main(command("coffee", *arguments)) == 0
    facts = json.loads((folder / "out" / "coffee" / "explanation.json").read_text())
    assert facts["settings"]["references"] == "pictures"


def test_a_checkpoint_is_taken(folder, capsys):
    state = {"0.weight": torch.flip(10 * torch.eye(3), (0,))[:, :, None, None]}
    torch.save({"state_dict": state}, folder / "model.pt")
    arguments = ("--weights", "model.pt", "--method", "saliency", "--top", "1")
    assert main(command("pictures/blue.jpg", *arguments)) == 0
    assert (folder / "out" / "blue" / "saliency_0_red.png").exists()


def test_all_methods_name_those_that_do_not_work(folder, capsys):
    arguments = ("--method", "all", "--top", "1", "--set", "n_samples=60", "--set", "n_steps=4")
    assert main(command("pictures/green.png", *arguments, "--set", "n_generations=1")) == 1
    captured = capsys.readouterr()
    output = captured.out
    assert "maps failed" in captured.err
    assert "Guided Backprop: guided_backprop does not work on colormodels:colors" in output
    assert (folder / "out" / "green" / "occlusion_1_green.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.png",), "image 'nowhere.png' does not exist"),
        (("pictures/corrupt.png",), "image 'pictures/corrupt.png' cannot be read"),
        (("coffee", "--method", "lmie"), "unknown method 'lmie'; did you mean 'lime'"),
        (("coffee", "--target", "gren"), "unknown target 'gren'; did you mean 'green'"),
        (("coffee", "--target", "3"), "target must be below 3; got 3"),
        (("coffee", "--baseline", "blak"), "unknown baseline 'blak'; did you mean 'black'"),
        (("coffee", "--passes", "0"), "passes must be at least 1; got 0"),
        (("coffee", "--top", "0"), "top must be at least 1; got 0"),
        (("coffee", "--alpha", "7"), "alpha must be at least 0 and at most 1; got 7"),
        (("coffee", "--device", "cud"), "unknown device 'cud'; did you mean 'cuda'"),
        (("coffee", "--set", "steps"), "must be as n_samples=200; got 'steps'"),
        (("coffee", "--set", "n_stepz=2"), "n_stepz is not taken by"),
        (("coffee", "--mean", "a,b"), "must be numbers separated by commas; got 'a,b'"),
        (("coffee", "--mean", "0.5"), "mean and std must have one value per channel each"),
        (("coffee", "--weights", "no.pt"), "weights 'no.pt' must be a file; there is none"),
        (("coffee", "--references", "nowhere"), "'nowhere' does not exist"),
        (("coffee", "--class-names", "no.json"), "class_names 'no.json' cannot be read"),
        (("coffee", "--cmap", "turbot"), "cmap must be a color map of matplotlib; got 'turbot'"),
        (("coffee", "--seed", "-1"), "seed must be from 0"),
        (("coffee", "--set", "target=1"), "arguments must not hold target"),
        (("coffee", "--model", "colormodels:none"), "must give a torch.nn.Module; got int"),
        (("coffee", "--out", "names.txt/below"), "out 'names.txt/below' cannot be written"),
        (("long.png",), "image of 1 x 200000 pixels is too long"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, capsys, arguments, message):
    Image.new("RGB", (200000, 1)).save("long.png")
    try:
        code = main(command(*arguments))
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "error" in line]
    assert code == 2
    assert len(lines) == 1 and message in lines[0]
    assert not captured.out
    assert not (folder / "out").exists()


def test_a_picture_that_the_model_fails_on_is_skipped(folder, capsys):
    arguments = ("--model", "colormodels:Moody", "--method", "saliency", "--top", "1")
    assert main(command("pictures", *arguments)) == 1
    output = capsys.readouterr()
    assert [path.name for path in (folder / "out").iterdir()] == ["green"]
    assert "skipped: pictures/blue.jpg: model must give finite outputs" in output.err


def test_a_class_that_is_named_twice_is_explained_once(folder, capsys):
    arguments = ("--target", "blue", "--target", "2", "--method", "saliency,saliency")
    assert main(command("coffee", *arguments)) == 0
    facts = json.loads((folder / "out" / "coffee" / "explanation.json").read_text())
    assert len(facts["answers"]) == 1


def test_no_map_at_all_is_bad_input(folder, capsys):
    arguments = ("--method", "occlusion", "--set", "sliding_window_shapes=many")
    assert main(command("coffee", *arguments)) == 2


def test_odd_names_stay_within_the_folder(folder, capsys):
    Image.new("RGB", (16, 16)).save(folder / "plain.jpg")
    for name in ("...jpg", b"caf\xe9.jpg".decode("utf-8", "surrogateescape")):
        (folder / name).write_bytes((folder / "plain.jpg").read_bytes())
        assert main(command(name, "--method", "saliency", "--top", "1")) == 0
    assert (folder / "out" / "picture" / "figure.png").exists()
    assert len(list((folder / "out").iterdir())) == 2


def test_all_pictures_are_explained_though_the_reader_leaves(folder):
    script = "import sys; from captum_ext.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = command("pictures", "--method", "saliency", "--top", "1")
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        process.stderr.read()
        assert process.wait() == 1  # corrupt.png
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["blue", "green"]


def test_references_that_are_not_given_are_remarked_upon(folder, capsys):
    assert main(command("coffee", "--method", "gradient_shap,saliency", "--top", "1")) == 0
    output = capsys.readouterr().out
    assert "GradientShap: compared with noise: no references were given" in output


def test_an_interrupted_run_keeps_the_pictures_before(folder, capsys, monkeypatch):
    real, calls = pictures.explain_picture, []

    def second_fails(*args, **kwargs):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(pictures, "explain_picture", second_fails)
    (folder / "pictures" / "corrupt.png").unlink()
    assert main(command("pictures", "--method", "saliency", "--top", "1")) == 130
    assert [path.name for path in (folder / "out").iterdir()] == ["blue"]
    assert "interrupted after 1 of 2 pictures" in capsys.readouterr().err
