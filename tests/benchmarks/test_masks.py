"""The benchmarks of the genetic search read all kinds of images, and go on where they were."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captum_ext.study import attribution_files, read_results

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch):
    """A module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def arrays(tmp_path):
    """An .npz of three images and their labels."""
    path = tmp_path / "three.npz"
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=[3, 1, 2])
    return path


def test_pictures_come_from_files_folders_and_arrays(load, tmp_path, arrays):
    photographs = load("side_by_side").photographs
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, gray in (("b.png", 200), ("a.JPG", 100), ("notes.txt", None)):
        if gray is None:
            (folder / name).write_text("no image")
        else:
            Image.new("RGB", (20, 10), (gray,) * 3).save(folder / name)
    found = photographs([str(folder)], None)
    assert [picture.name for picture in found] == ["a", "b"]
    assert found[1].read().shape == (3, 10, 20) and found[1].label is None
    assert found[1].read().max() == pytest.approx(200 / 255)
    (single,) = photographs([str(folder / "b.png")], 16)
    assert single.read().shape == (3, 16, 16)
    found = photographs([str(arrays)], None)
    assert [picture.name for picture in found] == ["three_00000", "three_00001", "three_00002"]
    assert [picture.label for picture in found] == [3, 1, 2]
    with np.load(arrays) as content:
        assert torch.equal(
            (found[2].read() * 255).round().byte(),
            torch.from_numpy(content["images"][2]).movedim(-1, 0),
        )


def test_cifar10_is_taken_from_torchvision(load, tmp_path, monkeypatch):
    subjects = load("subjects")
    asked = {}

    class Cifar10:
        data = np.full((2, 32, 32, 3), 51, dtype=np.uint8)
        targets = (7, 2)

        def __init__(self, root, **settings):
            asked.update(settings, root=root)

    monkeypatch.setattr(subjects.torchvision.datasets, "CIFAR10", Cifar10)
    photographs = load("side_by_side").photographs
    found = photographs(["cifar10"], None, tmp_path)
    assert asked == {"root": tmp_path, "train": False, "download": True}
    assert [(picture.name, picture.label) for picture in found] == [
        ("cifar10_00000", 7),
        ("cifar10_00001", 2),
    ]
    assert found[0].read().unique().tolist() == pytest.approx([0.2])
    asked.clear()
    assert len(photographs(["cifar10"], 16, tmp_path)) == 2 and not asked


def test_what_holds_no_images_is_refused(load, tmp_path):
    np.savez(tmp_path / "other.npz", words=np.zeros((1, 4, 4, 3)))
    np.savez(tmp_path / "float.npz", images=np.zeros((1, 4, 4, 3)), labels=[0])
    np.savez(tmp_path / "few.npz", images=np.zeros((2, 4, 4, 3), dtype=np.uint8), labels=[0])
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("other.npz", "must hold an array 'images'"),
        ("float.npz", "uint8"),
        ("few.npz", "a whole number for each of the 2 images"),
        ("torn.npz", "cannot be read"),
        ("empty", "must hold image files"),
    ):
        with pytest.raises(ValueError, match=message):
            load("side_by_side").photographs([str(tmp_path / name)], None)


def test_a_checkpoint_of_a_parallel_model_is_read(load, tmp_path):
    subjects = load("subjects")
    torch.manual_seed(1)
    model = load("resnet20").ResNet20(num_classes=4).eval()
    path = tmp_path / "model.pt"
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 5}, path)
    loaded = subjects.load_model("resnet20_cifar10", str(path))
    x = torch.rand(2, 3, 32, 32)
    assert loaded(x).shape == (2, 4)
    mean, std = (
        torch.tensor(each)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    assert torch.allclose(loaded(x), model((x - mean) / std), atol=1e-5)
    with pytest.raises(ValueError, match="must be a checkpoint; got 'imagenet'"):
        subjects.load_model("resnet20_cifar10", "imagenet")
    for content in ({"epoch": 3}, [1], {}):
        torch.save(content, path)
        with pytest.raises(ValueError, match="must hold a state dict"):
            subjects.load_model("resnet20_cifar10", str(path))


def run(module, monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, command)])
    module.main()
    return capsys.readouterr()


def test_genetic_masks_writes_figures_and_rows_and_goes_on(
    load, tmp_path, arrays, monkeypatch, capsys
):
    benchmark, out = load("genetic_masks"), tmp_path / "out"
    command = ["--images", arrays, "--model", "resnet20_cifar10", "--weights", "random"]
    command += ["--constants", "black", "norm_mean", "--generations", 2, "--population", 4]
    command += ["--parents", 2, "--device", "cpu", "--out", out]
    first = run(benchmark, monkeypatch, capsys, [*command, "--limit", 1])
    (figure,) = (out / "figures").glob("three_00000_pixels_black_*.png")
    assert figure.stat().st_size > 1000
    cells = read_results(out).cells.set_index(["image", "method", "metric"])
    black = cells.loc["three_00000", "pixels black"]
    assert set(black["target"]) == {3} and set(black["forward"]) == {15}
    values = black["value"]
    assert values["generations"] == 2
    apart = abs(values["original"] - values["important"])
    assert values["important_impact"] == pytest.approx(apart)
    with np.load(out / "attributions" / next(iter(attribution_files(out).values()))) as file:
        masks = file["attribution"]
    assert masks[0].mean() == pytest.approx(values["kept"]) and set(np.unique(masks[1])) == {-1, 0}
    # More images: only they are searched.
    searches = []
    monkeypatch.setattr(benchmark, "constant_like", counting(benchmark.constant_like, searches))
    run(benchmark, monkeypatch, capsys, [*command, "--limit", 2])
    assert len(searches) == 4  # two searches, and two figures
    content = (out / "genetic_masks.csv").read_text()
    second = run(benchmark, monkeypatch, capsys, [*command, "--limit", 2])
    assert len(searches) == 4 and second.out != first.out
    assert (out / "genetic_masks.csv").read_text() == content
    # Other settings are other cells.
    run(benchmark, monkeypatch, capsys, [*command, "--limit", 1, "--sparsity", 0.5])
    assert len(searches) == 8
    assert len(list((out / "figures").glob("three_00000_pixels_black_*.png"))) == 2


def counting(function, calls):
    """The same function, whose calls are listed."""

    def counted(*args):
        calls.append(args)
        return function(*args)

    return counted


def test_images_with_and_without_labels_may_be_mixed(load, arrays):
    benchmark, shared = load("genetic_masks"), load("side_by_side")
    images = [*shared.photographs([str(arrays)], 32), *shared.photographs(["rocket"], 32)]
    labeled = benchmark.with_labels(images, shared.model_entry("resnet20_cifar10", "random"))
    assert [image.label for image in labeled[:3]] == [3, 1, 2]
    assert labeled[3].label in range(10)
    assert benchmark.with_labels(images[3:], None)[0].label is None


@pytest.mark.filterwarnings("ignore:attributions of examples")
def test_mask_attributions_goes_on(load, tmp_path, arrays, monkeypatch, capsys):
    benchmark = load("mask_attributions")
    command = ["--images", arrays, "--model", "resnet20_cifar10", "--weights", "random"]
    command += ["--every", 2, "--evaluations", 100, "--out", tmp_path / "out"]
    first = run(benchmark, monkeypatch, capsys, command)
    cells = read_results(tmp_path / "out").cells
    assert set(cells["image"]) == {"three_00000", "three_00002"}
    assert set(cells["status"]) == {"ok"}
    assert (cells["forward"] <= 100).all()
    monkeypatch.setattr("captum_ext.study.run.engines.compute", None)
    second = run(benchmark, monkeypatch, capsys, command)
    assert second.out == first.out
    for line in ("pixels effect", "grid mask", "slic frequency", "RISE", "Occlusion"):
        assert line in first.out


def test_the_attributions_of_a_search_share_its_questions(load):
    entries = {entry.name: entry for entry in load("mask_attributions").methods()}
    model = torch.nn.Flatten()
    questions = {name: entry.questions(model) for name, entry in entries.items()}
    assert questions["grid mask"] == questions["grid effect"] != questions["slic effect"]
    assert None not in (questions["grid mask"], questions["slic mask"])
