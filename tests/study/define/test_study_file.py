import numpy as np
import pytest
import torch

from captum_ext.cli import main
from captum_ext.study import plan_of, read_study
from tests.study.conftest import save_pictures, write_study

BAD = {
    "unknown key": ({"metods": '["ig"]'}, "study.toml: unknown key 'metods'; did you mean 'met"),
    "unknown key of a method": (
        {"methods": '["saliency", { method = "rise", sets = {} }]'},
        "study.toml: methods[2]: unknown key 'sets'; did you mean 'settings'",
    ),
    "unknown key of a metric": (
        {"metrics": '[{ metric = "srg", nane = "x" }]'},
        "study.toml: metrics[1]: unknown key 'nane'; did you mean 'name'",
    ),
    "unknown key of a model": (
        {"models": '[{ model = "squeezenet1_0", weight = "none" }]'},
        "study.toml: models[1]: unknown key 'weight'; did you mean 'weights'",
    ),
    "unknown outputs": (
        {"models": '[{ model = "squeezenet1_0", outputs = "logits" }]'},
        "models[1]: unknown outputs 'logits'",
    ),
    "unknown method": ({"methods": '["salency"]'}, "methods[1]: unknown method 'salency'; did you"),
    "unknown metric": ({"metrics": '["gini", "srgg"]'}, "metrics[2]: unknown metric 'srgg'; did y"),
    "unknown exam": (
        {"models": '[{ exam = "center_pixle" }]'},
        "models[1]: unknown exam 'center_pixle'; did you mean 'center_pixel'",
    ),
    "unknown setting of a metric": (
        {"metrics": '[{ metric = "srg", settings = { n_step = 5 } }]'},
        "metrics[1]: unknown setting of srg 'n_step'; did you mean 'n_steps'",
    ),
    "unknown output": (
        {"methods": '[{ method = "rise", output = "logits" }]'},
        "methods[1]: unknown output 'logits'; did you mean 'logit'",
    ),
    "images of a wrong kind": ({"images": "3"}, "images must be a list or a text; got 3"),
    "a source of a wrong kind": ({"images": "[3]"}, "images: a source must be a text; got 3"),
    "seeds of a wrong kind": ({"seeds": "3"}, "study.toml: seeds must be a list; got 3"),
    "a seed of a wrong kind": ({"seeds": '["a"]'}, "study.toml: seeds must be"),
    "a seed that is true": ({"seeds": "[true]"}, "study.toml: seeds must be"),
    "gallery of a wrong kind": ({"gallery": "true"}, "gallery must be a whole number; got True"),
    "keeping of a wrong kind": ({"keep_attributions": "1"}, "keep_attributions must be true or f"),
    "a method of a wrong kind": ({"methods": "[1]"}, "methods[1]: a method must be a table; got 1"),
    "settings of a wrong kind": (
        {"methods": '[{ method = "rise", settings = 5 }]'},
        "methods[1]: settings must be a table; got 5",
    ),
    "passes of a wrong kind": ({"passes": '"200"'}, "passes must be a whole number; got '200'"),
    "no passes": ({"passes": "0"}, "study.toml: passes must be at least 1; got 0"),
    "no method": ({"methods": "[]"}, "study.toml: methods must hold at least one; got none"),
    "no image": ({"images": "[]"}, "study.toml: images: images must hold at least one; got none"),
    "no metric": ({"metrics": None}, "study.toml: there must be 'metrics'"),
    "no seed": ({"seeds": "[]"}, "study.toml: seeds must be different numbers, at least one"),
    "two seeds": ({"seeds": "[1, 1]"}, "seeds must be different numbers"),
    "two methods of a name": (
        {"methods": '["rise", { method = "rise", output = "logit" }]'},
        "methods must have names of their own; got 'rise' 2 times",
    ),
    "a missing image": ({"images": '["none.png"]'}, "study.toml: images: image "),
    "a folder without images": ({"images": '["empty"]'}, "must hold image files"),
    "a missing reference": ({"references": '["none.png"]'}, "study.toml: references: image "),
    "others of one": (
        {"references": '"others"', "images": '["coffee"]'},
        "references can be the other images where there are two",
    ),
    "masks that are no folder": ({"masks": '"none"'}, "study.toml: masks must be a folder"),
    "masks of nothing": ({"masks": '"empty"'}, "holds no image that is called as one of images"),
    "labels that are not there": ({"target": '"label"'}, "'label' asks for images with labels"),
    "an npz of something else": ({"images": '["words.npz"]'}, "words.npz' cannot be read: it must"),
    "an npz of other numbers": ({"images": '["floats.npz"]'}, "uint8; got (2, 4, 4) of float64"),
    "labels of other images": ({"images": '["labels.npz"]'}, "number for each of the 2 images"),
    "a text called npz": ({"images": '["text.npz"]'}, "text.npz' cannot be read"),
    "nothing called npz": ({"images": '["nothing.npz"]'}, "nothing.npz' cannot be read"),
    "an array called npz": ({"images": '["array.npz"]'}, "array.npz' cannot be read"),
    "half an npz": ({"images": '["half.npz"]'}, "half.npz' cannot be read"),
    "no crop": (
        {"images": '["crops:0"]'},
        "'crops:0' must be crops:N with a whole number N from 1",
    ),
    "crops of no number": ({"images": '["crops:many"]'}, "'crops:many' must be crops:N"),
    "crops below none": ({"references": '["crops:-3"]'}, "references: 'crops:-3' must be crops:N"),
    "more crops than there are": (
        {"images": f'["crops:{10**19}"]'},
        "N from 1 to 10,000, as crops:16: different squares of 4 photographs",
    ),
    "crops of endless digits": ({"images": f'["crops:{"9" * 5000}"]'}, "must be crops:N"),
    "nested lists": ({"title": "[" * 5000 + "]" * 5000}, "must be nested at most 20 levels deep"),
    "nested tables": ({"a": "{a=" * 3000 + "1" + "}" * 3000}, "nested at most 20 levels deep"),
    "settings that are nested": (
        {"methods": '[{ method = "rise", settings = { a = ' + "[" * 60 + "]" * 60 + " } }]"},
        "nested at most 20 levels deep; 'methods[1].settings.a[1]",
    ),
    "a huge gallery": ({"gallery": "9" * 30}, "gallery must be a whole number of at most 64 bits"),
    "huge settings": (
        {"metrics": f'[{{ metric = "mif", settings = {{ n_steps = -{"9" * 30} }} }}]'},
        "metrics[1].settings.n_steps must be a whole number of at most 64 bits",
    ),
    "endless digits": ({"passes": "9" * 5000}, "a whole number has more than 64 bits"),
    "a huge exam": (
        {"models": '[{ exam = "center_pixel", size = 5000000 }]'},
        "models[1]: size must be at most 1024; got 5000000",
    ),
    "an exam of a wrong kind": ({"models": '[{ exam = ["a"] }]'}, "exam must be a text; got ['a']"),
    "an exam's name of a wrong kind": (
        {"models": '[{ exam = "center_pixel", name = 3 }]'},
        "models[1]: name must be a text; got 3",
    ),
    "an exam's setting of a wrong kind": (
        {"models": '[{ exam = "center_pixel", size = [5] }]'},
        "models[1]: size must be a whole number or a number or a text; got [5]",
    ),
    "a key twice": ({"title": '"a"\ntitle = "b"'}, "cannot be read: Cannot overwrite a value"),
    "a table twice": ({"a": "1\n[b]\n[b]"}, "cannot be read: Cannot declare ('b',) twice"),
    "a title that rings": ({"title": '"a\\u0007"'}, "title must be on one line, without control"),
    "a title that colors": (
        {"methods": '[{ method = "saliency", title = "a\\u001b[31m" }]'},
        "title of method 'saliency' must be on one line",
    ),
    "a name of two lines": (
        {"metrics": '[{ metric = "gini", name = "a\\nb" }]'},
        "metrics must have names of letters on one line; got 'a\\nb'",
    ),
    "a long list": ({"title": "[" + "1," * 9999 + "]"}, "title must be a text; got [1, 1, 1,"),
    "no TOML": ({"title": '"Small'}, "study.toml' cannot be read: Illegal character"),
}
#: What is found when the models are there.
BAD_FOR_A_MODEL = {
    "unknown setting of a method": (
        {"methods": '[{ method = "occlusion", settings = { stride = 3 } }]'},
        "unknown setting of occlusion 'stride'; did you mean 'strides'",
    ),
    "a setting that no study sets": (
        {"methods": '[{ method = "saliency", settings = { target = 3 } }]'},
        "unknown setting of saliency 'target'",
    ),
    "no such baseline": (
        {"methods": '[{ method = "saliency", baseline = "blur" }]'},
        "saliency takes no baseline",
    ),
    "no such layer": (
        {"methods": '[{ method = "grad_cam", layer = "linaer" }]'},
        "unknown layer 'linaer'; did you mean 'linear'",
    ),
    "a method that does not work": ({"methods": '["guided_ig", "grad_cam"]'}, "grad_cam"),
    "a setting of an exam": (
        {"models": '[{ exam = "center_pixel", sizes = 5 }]'},
        "the model center_pixel takes no sizes",
    ),
    "no such model": ({"models": '["squeezenet1"]'}, "unknown model 'squeezenet1'"),
    "a class that there is not": ({"target": "17000"}, "target must be"),
    "a class of no name": ({"target": '"tabby"'}, "target must be"),
    "a class below all": ({"target": "-1"}, "target must be"),
}
ALL_BAD = BAD | BAD_FOR_A_MODEL


@pytest.fixture
def crowded(folder):
    """A folder with all kinds of files that are no pictures."""
    (folder / "empty").mkdir()
    np.savez(folder / "words.npz", words=np.array(["a"]))
    np.savez(folder / "floats.npz", images=np.zeros((2, 4, 4)))
    save_pictures(folder / "labels.npz", labels=np.arange(3))
    (folder / "text.npz").write_text("no pictures")
    (folder / "nothing.npz").write_bytes(b"")
    np.save(folder / "array.npy", np.zeros(3))
    (folder / "array.npy").rename(folder / "array.npz")
    whole = (folder / "pictures.npz").read_bytes()
    (folder / "half.npz").write_bytes(whole[: len(whole) // 2])
    return folder


def problem_of(arguments, capsys):
    """The one line that a command has to say, whose exit code is 2."""
    assert main([*map(str, arguments)]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_input_says_where_and_what(crowded, changes, message):
    path = write_study(crowded, **changes)
    with pytest.raises(ValueError) as caught:
        read_study(path)
    text = " ".join(str(caught.value).split())
    assert message in text and "study.toml" in text


@pytest.mark.parametrize(("changes", "message"), ALL_BAD.values(), ids=ALL_BAD)
def test_bad_input_is_one_line_of_the_command(crowded, changes, message, capsys):
    path = write_study(crowded, **changes)
    line = problem_of(["study", path, "--out", crowded / "out"], capsys)
    assert line.startswith("captum-ext study: error: ") and message in line
    assert not (crowded / "out").exists()


@pytest.mark.parametrize(("changes", "message"), BAD_FOR_A_MODEL.values(), ids=BAD_FOR_A_MODEL)
def test_models_are_asked_before_anything_runs(folder, changes, message):
    study = read_study(write_study(folder, **changes))
    with pytest.raises((TypeError, ValueError)) as caught:
        plan_of(study)
    assert message in " ".join(str(caught.value).split())


def test_all_errors_of_a_file_are_told_at_once(crowded, capsys):
    path = write_study(
        crowded,
        images='["none.png", "crops:0", "nothing.npz"]',
        methods='["salency", "rise", "lyme"]',
        metrics='["ginni"]',
        models='[{ exam = "center_pixle" }]',
    )
    line = problem_of(["study", path, "--out", crowded / "out", "--dry-run"], capsys)
    for what in ("none.png", "crops:0", "nothing.npz", "salency", "lyme", "ginni", "center_pixle"):
        assert what in line


def test_all_that_does_not_fit_the_models_is_told_at_once(folder, capsys):
    path = write_study(
        folder,
        models='["squeezenet1", { exam = "center_pixel", sizes = 5 }, { exam = "center_pixel", '
        'size = 5, name = "b" }]',
        methods='["grad_cam", { method = "occlusion", settings = { stride = 3 } }]',
    )
    line = problem_of(["study", path, "--out", folder / "out"], capsys)
    for what in ("unknown model 'squeezenet1'", "takes no sizes", "did you mean 'strides'"):
        assert what in line


def test_a_missing_file_is_one_line(folder, capsys):
    line = problem_of(["study", folder / "none.toml", "--out", folder / "out"], capsys)
    assert "none.toml' cannot be read: No such file or directory" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "workers must be at least 1; got 0"),
        (["--threads", "0"], "threads must be at least 1; got 0"),
        (["--weights", "none.pt"], "weights can be given for a study of one model"),
        (["--images", "none.png"], "images: image 'none.png' does not exist"),
    ],
)
def test_bad_arguments_are_one_line(folder, arguments, message, capsys):
    path = write_study(folder)
    assert main(["study", str(path), "--out", str(folder / "out"), *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert message in line


def test_paths_start_from_the_files_folder(folder, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (folder / "masks").mkdir()
    save_pictures(folder / "masks" / "no_picture.npz")
    torch.save({}, folder / "weights.pt")
    study = read_study(
        write_study(
            folder,
            references='["pictures.npz"]',
            models='[{ model = "squeezenet1_0", weights = "weights.pt" }]',
        )
    )
    assert [image.path for image in study.images] == [folder / "pictures.npz"] * 2
    assert [image.path for image in study.references] == [folder / "pictures.npz"] * 2
    assert study.models[0].given["weights"] == str(folder / "weights.pt")


def test_images_and_weights_of_the_command_line_come_first(folder, tmp_path_factory, monkeypatch):
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    save_pictures(here / "others.npz", count=3)
    path = write_study(folder, models='["squeezenet1_0"]')
    study = read_study(path, images=["others.npz"], weights="own.pt")
    assert [image.name for image in study.images] == [f"others_0000{n}" for n in range(3)]
    assert study.models[0].given["weights"] == str(here / "own.pt")


def test_files_of_the_same_stem_have_names_of_their_own(folder):
    for name in ("one/cat.png", "two/cat.png", "two/dog.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"picture")
    study = read_study(write_study(folder, images='["one", "two"]'))
    assert [image.name for image in study.images] == ["one/cat.png", "two/cat.png", "two/dog.png"]


def test_passes_of_the_study_are_those_of_methods_without_any(folder):
    methods = '["rise", { method = "occlusion", passes = 50 }]'
    study = read_study(write_study(folder, passes="200", methods=methods))
    assert [entry.passes for entry in study.methods] == [200, 50]
    assert [entry.as_dict()["passes"] for entry in study.methods] == [200, 50]


def test_labels_are_the_targets(folder):
    save_pictures(folder / "pictures.npz", labels=np.array([2, 1]))
    study = read_study(write_study(folder, target='"label"'))
    assert [study.target_of(image) for image in study.images] == [2, 1]
