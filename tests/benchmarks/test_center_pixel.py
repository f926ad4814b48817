"""An image has the same center at every size, and who finds it there is told by output."""

import importlib
import sys
from pathlib import Path

import pytest

from captum_ext.exam.center_pixel import WHITE
from captum_ext.study import run_study

ROOT = Path(__file__).parents[2]
SIZES, OUTPUTS = [5, 9], ["probability", "logit"]


@pytest.fixture(scope="module")
def benchmark():
    """Its modules by their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield lambda name: importlib.import_module(f"benchmarks.center_pixel.{name}")


@pytest.fixture(scope="module")
def cases(benchmark):
    return benchmark("cases")


@pytest.fixture(scope="module")
def report(benchmark):
    return benchmark("report")


@pytest.fixture(scope="module")
def main(benchmark):
    return benchmark("__main__").main


@pytest.fixture(scope="module")
def results(cases, tmp_path_factory):
    entries, _ = cases.applicable("occlusion,guided_backprop,pda")
    study = cases.make_study(entries, 2, SIZES, OUTPUTS)
    return run_study(study, tmp_path_factory.mktemp("study"))


def test_an_image_is_the_same_picture_with_the_same_center_at_every_size(cases):
    for image in cases.crops(2, seed=3):
        level = int(image.name.rsplit("_", 1)[1])
        for size in (5, 8, 15):
            subject = cases.center_pixel(size, "probability")
            seen = subject.see(image.read())
            assert seen.shape == (1, 1, size, size)
            assert round(float(seen[0, 0, size // 2, size // 2]) * WHITE) == level
            assert subject.aim(seen, "predicted").target == level


def test_crops_differ_and_follow_the_seed(cases):
    first, again, other = ([image.digest() for image in cases.crops(5, seed)] for seed in (0, 0, 1))
    assert first == again
    assert len({*first, *other}) == 10


def test_occlusion_finds_the_center_of_the_probability_at_every_size(report, results):
    table = report.table_of(results, SIZES, OUTPUTS)
    for size in SIZES:
        found = table["occlusion", "probability", size]
        assert (found.hits, found.n) == (2, 2)
        assert found.share == pytest.approx(1, abs=1e-3)
        assert found.passes == size**2 + 1
        assert table["occlusion", "logit", size].hits == 0
    assert table["guided_backprop", "probability", 9].hits == 0


def test_a_method_stands_under_the_output_that_it_explains(report, results):
    table = report.table_of(results, SIZES, OUTPUTS)
    assert ("pda", "probability", 5) in table
    assert ("pda", "logit", 5) not in table
    text = report.format_findings(results, table, SIZES, OUTPUTS)
    assert "probability: Occlusion, Prediction Difference" in text


def test_what_does_not_scale_is_told_and_the_rest_goes_on(main, tmp_path, monkeypatch, capsys):
    command = ["center_pixel", "--methods", "kernel_shap,saliency", "--images", "1"]
    command += ["--sizes", "5", "33", "--outputs", "probability", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    main()
    printed = capsys.readouterr().out
    assert "- kernel_shap does not scale to 1089 features (at most 1024)" in printed
    assert {file.name for file in tmp_path.iterdir()} >= {"center_pixel.png", "report.html"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", "lyme"], "unknown method 'lyme'"),
        (["--methods", "grad_cam"], "no convolution to choose"),
        (["--sizes", "2"], "must be at least 3"),
        (["--out", __file__], "cannot be written"),
    ],
)
def test_bad_arguments_end_in_one_line(main, arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["center_pixel", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
