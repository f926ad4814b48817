import json
import sys
from functools import partial

import pytest
import torch
import torchvision
from torch import nn

from captum_ext import load_model
from captum_ext.baselines import IMAGENET_MEAN, IMAGENET_STD
from captum_ext.forward import Preprocessed
from captum_ext.models import Classifier, Framing, Preprocessing

FACTORIES = """
import torch
from torch import nn
from captum_ext.forward import Preprocessed
from captum_ext.models import Classifier, Preprocessing, Framing

def small(num_classes=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))

def fixed():
    return small(2)

def preprocessed():
    return Preprocessed(small(2), [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])

def classifier():
    wanted = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), Framing((2, 2), 3, "bicubic"))
    return Classifier(small(2), wanted, ["cat", "dog"], "mine")

class Kinds:
    class Small(nn.Sequential):
        def __init__(self, num_classes=10):
            super().__init__(nn.Flatten(), nn.Linear(12, num_classes))

class Maker:
    def __call__(self, num_classes=10):
        return small(num_classes)

maker = Maker()
module = small(4)
number = 3

def fails():
    raise RuntimeError("no such\\n thing")

def nothing():
    return None
"""
SIZE = {"size": 2}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a package ``own_models`` of factories."""
    (tmp_path / "own_models").mkdir()
    (tmp_path / "own_models" / "__init__.py").touch()
    (tmp_path / "own_models" / "small.py").write_text(FACTORIES)
    (tmp_path / "broken_model.py").write_text("def model(:\n")
    (tmp_path / "raising_model.py").write_text("raise RuntimeError('no GPU')\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "own_models"]:
        del sys.modules[name]


def network(n_classes=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, n_classes))


def images():
    return torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def error_of(kind, *args, **settings):
    with pytest.raises(kind) as caught:
        load_model(*args, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("factory", "n_classes"),
    [("small", 10), ("fixed", 2), ("Kinds.Small", 10), ("maker", 10), ("module", 4)],
)
def test_a_factory_is_found_by_its_name(here, factory, n_classes):
    path = list(sys.path)
    model = load_model(f"own_models.small:{factory}", **SIZE)
    assert model(images()).shape == (2, n_classes)
    assert model.name == f"own_models.small:{factory}"
    assert model.class_names is None
    assert sys.path == path


@pytest.mark.parametrize("make", [network, partial(network, 2), network()])
def test_a_factory_or_a_module_is_taken_itself(make):
    model = load_model(make, **SIZE)
    mean, std = (torch.tensor(each)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(model(images()), network()((images() - mean) / std))
    assert not model.training
    assert not model.model.training


def test_a_modules_usual_preprocessing_is_imagenets_at_224():
    model = load_model(network())
    assert model.view == Framing((224, 224), 224)
    assert model.normalize.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)
    assert model.normalize.std.flatten().tolist() == pytest.approx(IMAGENET_STD)


@pytest.mark.parametrize("factory", ["small", "Kinds.Small", "maker"])
def test_a_factory_is_called_with_the_checkpoints_number_of_classes(here, factory):
    torch.save({f"module.{name}": value for name, value in network(7).state_dict().items()}, "a.pt")
    model = load_model(f"own_models.small:{factory}", "a.pt", **SIZE)
    torch.testing.assert_close(model(images()), network(7)(model.normalize(images())))


def test_a_checkpoint_that_does_not_fit_a_fixed_factory_names_tensors(here):
    torch.save(network(7).state_dict(), "a.pt")
    for model in ("own_models.small:fixed", network()):
        message = error_of(ValueError, model, "a.pt", **SIZE)
        assert (
            "weights 'a.pt' do not fit Sequential: it has 1.weight [7, 12] instead of [2, 12]"
            in (message)
        )


def test_a_modules_own_weights_can_be_replaced_by_a_checkpoint_but_not_by_random_ones(here):
    other = network()
    nn.init.ones_(other[1].weight)
    torch.save(other.state_dict(), "a.pt")
    model = load_model(network(), "a.pt", **SIZE)
    torch.testing.assert_close(model(images()), other(model.normalize(images())))
    assert "weights must be DEFAULT or a checkpoint" in error_of(ValueError, network(), "none")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package:model", "cannot be imported: ModuleNotFoundError: No module named"),
        ("own_models.small:smal", "cannot be imported: AttributeError: "),
        ("own_models.small:Kinds.Large", "cannot be imported: AttributeError: "),
        ("broken_model:model", "cannot be imported: SyntaxError: "),
        ("raising_model:model", "cannot be imported: RuntimeError: no GPU"),
        (".relative:model", "cannot be imported: "),
        ("own_models.small:fails", "cannot be made: RuntimeError: no such thing"),
    ],
)
def test_what_goes_wrong_with_a_factory_is_one_line_with_its_name(here, name, message):
    assert error_of(ValueError, name).startswith(f"model {name!r} {message}")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("own_models.small:nothing", "must give a torch.nn.Module; got NoneType"),
        (
            "own_models.small:number",
            "model must be a name, a module or a function that makes one; got int",
        ),
        (3, "model must be a name, a module or a function that makes one; got int"),
        (None, "model must be a name, a module or a function that makes one; got NoneType"),
        (lambda: "model", "must give a torch.nn.Module; got str"),
    ],
)
def test_what_gives_no_module_is_refused(here, model, message):
    assert message in error_of(TypeError, model)


@pytest.mark.parametrize("factory", ["preprocessed", "classifier"])
def test_what_a_factorys_model_knows_of_its_preprocessing_is_kept(here, factory):
    model = load_model(f"own_models.small:{factory}", **SIZE)
    assert model.normalize.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert model.normalize.std.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    torch.testing.assert_close(model(images()), network()(model.normalize(images())))


def test_a_classifier_is_taken_as_it_is_and_can_be_changed(here):
    model = load_model("own_models.small:classifier")
    assert (model.name, model.class_names) == ("mine", ("cat", "dog"))
    assert model.view == Framing((2, 2), 3, "bicubic")
    assert load_model(model) is model
    changed = load_model(model, class_names=["a", "b"], mean=[0.5] * 3, fit="squash")
    assert (changed.name, changed.class_names) == ("mine", ("a", "b"))
    assert changed.view == Framing((2, 2), (2, 2), "bicubic")
    assert changed.normalize.mean.flatten().tolist() == [0.5] * 3
    assert changed.normalize.std.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert changed.model is model.model
    assert model.class_names == ("cat", "dog")


def test_the_preprocessing_can_be_given():
    model = load_model(network(), mean=[0.5, 0.4, 0.3], std=(0.1, 0.2, 0.3), size=(2, 4))
    assert model.normalize.mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert model.normalize.std.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert model.see(torch.rand(3, 9, 9)).shape == (1, 3, 2, 4)


@pytest.mark.parametrize(
    ("size", "fit", "seen"),
    [
        (8, "own", (0, 20, 10, 30)),
        (8, "squash", (0, 20, 0, 40)),
        ((8, 4), "own", (0, 20, 0, 40)),  # no square: its proportions are not kept
    ],
)
def test_how_much_of_a_picture_is_seen(size, fit, seen):
    assert load_model(network(), size=size, fit=fit).view.seen((20, 40)) == seen


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"mean": [0.5]}, ValueError, "mean and std must have one value per channel"),
        ({"mean": 0.5}, TypeError, "mean must have a number for each channel; got 0.5"),
        ({"std": ["a", 1, 1]}, TypeError, "std must be a number; got 'a'"),
        ({"std": [1, 0, 1]}, ValueError, "std must be positive"),
        ({"size": 0}, ValueError, "size must be at least 1; got 0"),
        ({"size": (2, 2, 2)}, ValueError, "size must be a side or (height, width); got (2, 2, 2)"),
        ({"size": "2"}, TypeError, "size must be a whole number; got '2'"),
        ({"fit": "squeeze"}, ValueError, "unknown fit 'squeeze'"),
        ({"device": "cudda"}, ValueError, "did you mean 'cuda'"),
    ],
)
def test_settings_that_do_not_do_are_refused(settings, kind, message):
    assert message in error_of(kind, network(), **settings)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("names.json", json.dumps(["cat", "dog"])),
        ("names.json", json.dumps({"1": "dog", "0": "cat"})),
        ("names.txt", "cat\ndog\n"),
        ("names.txt", "cat \r\n dog\r\n"),
        ("names.txt", "cat\ndog\n\n"),
        ("names", "cat\ndog"),
    ],
)
def test_class_names_come_from_a_file(here, file, content):
    (here / file).write_text(content)
    for given in (file, here / file):
        assert load_model(network(), class_names=given).class_names == ("cat", "dog")


def test_class_names_are_in_the_order_of_their_numbers(here):
    names = {str(index): f"class {index}" for index in sorted(range(12), key=str)}
    (here / "names.json").write_text(json.dumps(names))
    found = load_model(network(12), class_names="names.json").class_names
    assert found == tuple(f"class {index}" for index in range(12))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("names.json", "{", "cannot be read: "),
        ("names.json", '{"cat": 0, "dog": 1}', "must hold a list of names, or names by number"),
        ("names.json", '{"0": "cat", "2": "dog"}', "must hold a list of names, or names by number"),
        ("names.json", '"cat"', "must hold a list of names"),
        ("names.json", "[]", "must hold a list of names"),
        ("names.json", "3", "must hold a list of names"),
        ("names.txt", "", "must hold a list of names"),
        ("names.txt", b"\xff\xfe\x00", "cannot be read: "),
        ("names.txt", None, "cannot be read: No such file"),
    ],
)
def test_a_file_without_class_names_is_one_line_with_its_path(here, file, content, message):
    if content is not None:
        (here / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    error = error_of(ValueError, network(), class_names=file)
    assert error.startswith(f"class_names {file!r} {message}")


def test_a_wrong_number_of_class_names_is_an_error_when_the_model_is_asked():
    model = load_model(network(), class_names=["cat", "dog", "ox"], **SIZE)
    with pytest.raises(
        ValueError, match=r"class_names must be as many as the 2 outputs of Sequential"
    ):
        model.top(model.see(torch.rand(3, 4, 4)))


def test_an_unknown_name_suggests_the_nearest_of_all_libraries():
    message = error_of(ValueError, "resnet18x")
    assert "unknown model 'resnet18x'; did you mean 'resnet18'" in message
    assert len(message) < 200


def test_a_module_in_training_mode_and_elsewhere_comes_back_in_evaluation_mode():
    model = load_model(network().double().train(), device="cpu", **SIZE)
    assert not any(module.training for module in model.modules())
    assert model.device == torch.device("cpu")


def test_a_classifier_of_ones_own_needs_no_names():
    own = Classifier(network(), Preprocessing((0.5,) * 3, (1.0,) * 3, Framing((2, 2), 2)))
    assert load_model(Preprocessed(own.model, [0.5] * 3, [1.0] * 3)).class_names is None
    assert load_model(own, size=2).name == "Sequential"


def test_a_factory_that_takes_any_keyword_is_told_the_number_of_classes(tmp_path):
    state = torchvision.models.squeezenet1_0(num_classes=3).state_dict()
    torch.save(state, tmp_path / "three.pt")
    model = load_model("torchvision.models:squeezenet1_0", tmp_path / "three.pt", size=64)
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)
