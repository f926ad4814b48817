"""A patch that moves no score changes the maps of those that show the image, and of no others."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from captum_ext import load_model
from captum_ext.study import EmbeddedImage, run_study

ROOT = Path(__file__).parents[2]
AREAS = [10, 50]
PIXEL = np.zeros((15, 15))
PIXEL[7, 7] = 1


@pytest.fixture(scope="module")
def benchmark():
    """Its modules by their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield lambda name: importlib.import_module(f"benchmarks.growing_patch.{name}")


@pytest.fixture(scope="module")
def cases(benchmark):
    return benchmark("cases")


@pytest.fixture(scope="module")
def heat(benchmark):
    return benchmark("heat")


@pytest.fixture(scope="module")
def report(benchmark):
    return benchmark("report")


@pytest.fixture(scope="module")
def main(benchmark):
    return benchmark("__main__").main


@pytest.fixture(scope="module")
def findings(cases, report, tmp_path_factory):
    subject = cases.patched_subject("center_pixel", "imagenet", 15, 0)
    entries, _ = cases.applicable(subject, "occlusion,saliency")
    study = cases.make_study(entries, [EmbeddedImage("coffee")], AREAS, size=15)
    return report.findings_of(
        run_study(study, tmp_path_factory.mktemp("study")), AREAS, tolerance=0.05
    )


def test_who_shows_the_image_is_fooled_and_occlusion_is_not(cases, findings):
    copies = [findings.cells[cases.CONTROL.name, area].ssim for area in AREAS]
    assert copies[1] < copies[0] < 1
    assert copies[1] < 0.9
    for area in AREAS:
        assert findings.cells["occlusion", area].ssim == pytest.approx(1, abs=1e-6)
        assert findings.moved[area] < 1e-6
        assert findings.stays[area] == 1


def test_a_map_of_rounding_errors_is_empty_not_steady(findings):
    assert findings.empty("saliency")
    assert not findings.empty("occlusion")


def test_a_score_that_moves_does_not_count(cases, report, tmp_path, monkeypatch):
    class Corner(nn.Module):
        """Class 1 if the corner is brighter than the normalized mean."""

        def forward(self, images):
            corner = 100 * images[:, :, 0, 0].mean(1)
            return torch.stack([-corner, corner], 1)

    model = load_model(nn.Sequential(Corner()), size=16)
    monkeypatch.setattr(cases, "_loaded", lambda *_: (model, {}))
    entries, _ = cases.applicable(cases.patched_subject("corner", "", 0, 0), "saliency")
    study = cases.make_study(entries, [EmbeddedImage("coffee")], AREAS, model="corner")
    found = report.findings_of(run_study(study, tmp_path), AREAS, tolerance=0.05)
    assert found.moved[10] > 0.9
    assert found.stays[10] == found.cells["saliency", 10].n == 0


def test_the_patch_covers_its_area_and_spares_what_matters(cases):
    image, spared = torch.zeros(1, 3, 20, 20), torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    spared[..., 1, 2] = True
    gray = cases.patched(image, 25, spared)
    assert int((gray != image).sum()) == 3 * 99
    assert not gray[..., 1, 2].any()
    assert torch.equal(cases.patched(image, 0), image)


def test_the_class_is_that_of_the_image_without_patch(cases):
    subject = cases.patched_subject("saturation", "imagenet", 9, 50)
    seen = subject.see(EmbeddedImage("coffee").read())
    aim = subject.aim(seen, "predicted")
    assert aim.target == int(subject.model(seen).argmax())
    assert torch.equal(subject.model(aim.seen), subject.model(seen))
    assert not torch.equal(aim.seen, seen)


def test_likeness_looks_where_something_is_to_be_seen(heat):
    moved = np.roll(PIXEL, 7)
    assert heat.likeness(PIXEL, PIXEL)[:3] == (1, 1, 1)
    different = heat.likeness(PIXEL, moved)
    assert different.ssim < 0.3 < different.ssim_all
    assert heat.likeness(PIXEL * 0, PIXEL * 0) == (1, 1, 1, 0)
    assert heat.likeness(PIXEL, PIXEL * 0).ssim < 0.3


def test_heat_is_scaled_so_that_one_pixel_is_white_and_rounding_black(heat):
    values = torch.full((1, 1, 5, 5), 1e-9)
    values[0, 0, 2, 2] = -3
    shown = heat.heat_of(values, floor=1e-8)
    assert shown[2, 2] == 1
    assert shown.sum() == 1
    assert not heat.heat_of(values, floor=5).any()


def test_the_whole_benchmark_goes_on_where_it_stopped(main, tmp_path, monkeypatch, capsys):
    command = ["growing_patch", "--methods", "occlusion,lrp_z", "--size", "9", "--images", "rocket"]
    monkeypatch.setattr(sys, "argv", [*command, "--areas", "20", "--out", str(tmp_path)])
    printed = []
    for _ in range(2):
        main()
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "LRP-z: it explains the logit, which every pixel moves" in printed[0]
    assert (tmp_path / "growing_patch.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--areas", "100"], "must be above 0 and below 100"),
        (["--model", "center_pixels"], "center_pixels"),
        (["--images", "nothing.png"], "nothing.png"),
        (["--show", "lime", "--methods", "occlusion"], "--show must be one of"),
    ],
)
def test_bad_arguments_end_in_one_line(main, arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["growing_patch", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
