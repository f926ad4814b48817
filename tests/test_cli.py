import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from captum_ext import exam, methods
from captum_ext.cli import main
from captum_ext.registry import metrics
from captum_ext.study import read_results
from tests.study.conftest import write_study

SMALL = ["exam", "--size", "7", "--images", "2", "--methods", "saliency,occlusion,grad_cam"]


def test_the_exam_writes_a_table_a_picture_and_both_data_files(tmp_path, capsys):
    assert main([*SMALL, "--out", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[2].startswith("Occlusion")
    assert "2/2" in output
    rows = list(csv.DictReader((tmp_path / "exam.csv").open()))
    assert [row["method"] for row in rows] == ["saliency", "occlusion", "grad_cam"] * 2
    content = json.loads((tmp_path / "exam.json").read_text())
    settings = content["settings"]
    assert [settings[name] for name in ("size", "alpha", "output")] == [7, 10, "probability"]
    assert content["versions"]["captum_ext"]
    assert content["grades"][0]["method"] == "occlusion"
    assert len(content["answers"]) == 6
    assert Image.open(tmp_path / "exam.png").width > 300


@pytest.mark.parametrize("output", ["probability", "log-probability", "logit"])
def test_every_output_can_be_examined(tmp_path, output):
    assert main([*SMALL, "--out", str(tmp_path), "--output", output]) == 0
    content = json.loads((tmp_path / "exam.json").read_text())
    assert {answer["output"] for answer in content["answers"]} == {output.replace("-", "_")}


@pytest.mark.parametrize("model", ["additive", "and_or", "saturation"])
def test_every_model_can_be_examined(tmp_path, capsys, model):
    assert main([*SMALL, "--out", str(tmp_path), "--model", model]) == 0
    assert "agreement" in capsys.readouterr().out.splitlines()[0]
    content = json.loads((tmp_path / "exam.json").read_text())
    assert content["settings"]["model"] == model
    assert content["settings"]["output"] == content["grades"][0]["output"] == "logit"
    assert content["settings"]["alpha"] is None
    assert -1 <= content["grades"][0]["agreement"] <= 1.000001
    assert Image.open(tmp_path / "exam.png").width > 300


def test_target_and_center_value_are_used(tmp_path):
    main([*SMALL, "--out", str(tmp_path), "--target", "3", "--center-value", "250"])
    rows = list(csv.DictReader((tmp_path / "exam.csv").open()))
    assert {row["target"] for row in rows} == {"3"}


def test_the_same_seed_gives_the_same_answers(tmp_path):
    settings = ["exam", "--size", "5", "--images", "2", "--methods", "lime,gradient_shap"]
    tables = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        main([*settings, "--seed", "4", "--out", str(folder)])
        rows = list(csv.DictReader((folder / "exam.csv").open()))
        tables.append([(row["method"], row["share"]) for row in rows])
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "salency"], "unknown method 'salency'; did you mean 'saliency'?"),
        (["--methods", ","], "methods must name at least one method"),
        (["--image", "missing.png"], "image 'missing.png' does not exist"),
        (["--target", "256"], "target must be from 0 to 255; got 256"),
        (["--target", "-1"], "target must be from 0 to 255; got -1"),
        (["--center-value", "300"], "center_value must be below 256; got 300"),
        (["--size", "2"], "size must be at least 3; got 2"),
        (["--images", "0"], "images must be at least 1; got 0"),
        (["--size", "1000000"], "size must be at most 1024"),
        (["--alpha", "-1"], "alpha must be from 1e-06 to 1e+06; got -1"),
        (["--alpha", "nan"], "alpha must be from 1e-06 to 1e+06; got nan"),
        (["--seed", "-1"], "seed must be from 0"),
        (["--model", "aditive"], "unknown model 'aditive'; did you mean 'additive'?"),
        (["--model", "additive", "--alpha", "3"], "additive takes no alpha; it takes n_relevant"),
        (["--model", "and_or", "--center-value", "3"], "center_value is for center_pixel only"),
        (["--model", "saturation", "--target", "2"], "target must be from 0 to 1; got 2"),
        (["--output", "logits"], "invalid choice: 'logits'"),
        (["--size", "big"], "invalid int value: 'big'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, arguments, message):
    try:
        code = main(["exam", "--size", "5", "--out", str(tmp_path), *arguments])
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    assert code == 2
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not captured.out
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_image_is_one_line(tmp_path, capsys):
    path = tmp_path / "notes.txt"
    path.write_text("words")
    assert main(["exam", "--image", str(path), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_unwritable_folder_is_one_line(tmp_path, capsys):
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert main([*SMALL, "--out", str(blocker / "exam")]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.strip().splitlines()) == 1
    assert str(blocker) in captured.err


def test_an_interrupted_exam_leaves_what_it_has_finished(tmp_path, capsys, monkeypatch):
    def two_answers(*args):
        answers = real(*args)
        yield next(answers)
        yield next(answers)
        raise KeyboardInterrupt

    real = exam.examine
    monkeypatch.setattr(exam, "examine", two_answers)
    assert main([*SMALL, "--out", str(tmp_path)]) == 130
    rows = list(csv.DictReader((tmp_path / "exam.csv").open()))
    assert [row["method"] for row in rows] == ["saliency", "occlusion"]
    assert len(json.loads((tmp_path / "exam.json").read_text())["answers"]) == 2
    assert (tmp_path / "exam.png").exists()
    assert "interrupted after 2 answers" in capsys.readouterr().err


def test_methods_lists_the_registry(capsys):
    assert main(["methods"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [spec.name for spec in methods()]
    assert main(["methods", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == listed


def test_methods_says_which_work_on_a_model(capsys):
    model = "examples.color_model:color_model"
    assert main(["methods", "--model", model, "--passes", "60", "--size", "32"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["rise"].split()[1] == "works"
    assert "breaks its promise" in lines["lime"] and "zero everywhere" in lines["lime"]


def test_metrics_lists_the_registry(capsys):
    assert main(["metrics"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [spec.name for spec in metrics()]
    assert main(["metrics", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == listed


@pytest.mark.parametrize("spec", methods(), ids=lambda spec: spec.name)
def test_a_method_shows_what_it_takes(spec, capsys):
    assert main(["methods", spec.name]) == 0
    text = capsys.readouterr().out
    assert spec.paper in text and spec.title in text
    assert main(["methods", spec.title, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == spec.name
    accepted, _ = spec.accepted()
    names = {argument["name"] for argument in facts["arguments"]}
    assert names | {"inputs"} == accepted
    lines = text.splitlines()
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in names)


@pytest.mark.parametrize("spec", metrics(), ids=lambda spec: spec.name)
def test_a_metric_shows_what_it_takes(spec, capsys):
    assert main(["metrics", spec.name]) == 0
    text = capsys.readouterr().out
    assert spec.source in text and spec.about in text
    assert main(["metrics", spec.name, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {argument["name"] for argument in facts["arguments"]} == spec.settings


def test_arguments_have_defaults_types_and_one_line(capsys):
    main(["metrics", "top_k_intersection", "--json"])
    (k,) = json.loads(capsys.readouterr().out)["arguments"]
    assert (k["name"], k["type"], k["default"]) == ("k", "int | float", "0.05")
    assert k["about"].startswith("how many pixels, as a whole number")
    main(["methods", "occlusion", "--json"])
    taken = {each["name"]: each for each in json.loads(capsys.readouterr().out)["arguments"]}
    assert taken["sliding_window_shapes"]["default"] == "by the image"
    assert taken["show_progress"]["about"] == "Displays the progress of computation"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["methods", "salency"], "unknown method 'salency'; did you mean 'saliency'?"),
        (["metrics", "ginni"], "unknown metric 'ginni'; did you mean 'gini'?"),
        (["methods", "captum.attr:NoiseTunnels"], "'captum.attr:NoiseTunnels' cannot be imported"),
        (["metrics", "math:pi"], "metric must be a name or a MetricSpec; got 3.14"),
        (["exam", "--methods", "math:pi"], "method must be a name, a MethodSpec or a subclass"),
    ],
)
def test_what_is_not_there_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


OWN = """
from captum.attr import PerturbationAttribution, Saliency
from torch import nn

from captum_ext.registry import MethodSpec, MetricSpec


def own_metric(context, part=1):
    return part * context.attribution.abs().max()


def network():
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3))


SPEC = MethodSpec("own", "Own", "gradient", "-", Saliency)
METRIC = MetricSpec("own_metric", "Own metric", "none", "largest", own_metric, needs={"context"})
"""


def test_a_method_is_named_by_where_it_is_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert main(["methods", "own_parts:SPEC"]) == 0
    assert main(["metrics", "own_parts:METRIC"]) == 0
    names = "own_parts:SPEC,captum.attr:Saliency"
    assert main(["exam", "--size", "5", "--images", "1", "--methods", names]) == 0
    rows = list(csv.DictReader((tmp_path / "exam" / "exam.csv").open()))
    assert [row["method"] for row in rows] == ["own", "saliency"]
    model = ["--model", "own_parts:network", "--size", "16", "--device", "cpu", "--top", "1"]
    assert main(["explain", "coffee", *model, "--method", "own_parts:SPEC"]) == 0
    assert "Own" in capsys.readouterr().out
    write_study(
        tmp_path,
        images='["coffee"]',
        methods='["own_parts:SPEC"]',
        metrics='["own_parts:METRIC", { metric = "own_parts:METRIC", name = "twice", '
        "settings = { part = 2 } }]",
    )
    assert main(["study", "study.toml", "--out", "out"]) == 0
    values = read_results("out").cells.set_index("metric")["value"]
    assert values["twice"] == 2 * values["own_metric"] > 0


def test_the_installed_command_runs():
    result = subprocess.run(
        [Path(sys.executable).with_name("captum-ext"), "methods"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "saliency" in result.stdout
