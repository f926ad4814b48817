from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from captum_ext import explain, load_model
from captum_ext import explanation as defaults
from captum_ext.baselines import BASELINES, make_baselines
from captum_ext.forward import count_passes
from captum_ext.image_files import open_image, read_image

MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
        nn.Conv2d(4, 5, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 3),
    ).eval()


@pytest.fixture
def model():
    return load_model(
        network(), mean=MEAN, std=STD, size=16, class_names=["cat", "dog", "ox, bull"]
    )


@pytest.fixture
def coffee(tmp_path):
    """A picture's path."""
    open_image("coffee").resize((60, 40)).save(tmp_path / "coffee.png")
    return tmp_path / "coffee.png"


@pytest.fixture
def folder(tmp_path):
    """Pictures of three colors."""
    (tmp_path / "others").mkdir()
    for color in ("red", "green", "blue"):
        Image.new("RGB", (20, 30), color).save(tmp_path / "others" / f"{color}.png")
    return tmp_path / "others"


@pytest.mark.parametrize(
    "form",
    [str, Path, Image.open, lambda path: np.asarray(Image.open(path))],
    ids=["name", "Path", "PIL", "array"],
)
def test_a_picture_is_explained_as_the_model_sees_it(model, coffee, form):
    expected = explain(model, model.see(read_image(coffee)), 1, "saliency")
    assert expected.shape == (1, 3, 16, 16)
    assert torch.equal(explain(model, form(coffee), 1, "saliency"), expected)


def test_a_photograph_of_scikit_image_is_known_by_its_name(model):
    seen = model.see(read_image("coffee"))
    assert torch.equal(explain(model, "coffee", 1, "saliency"), explain(model, seen, 1, "saliency"))


def test_a_model_is_known_by_its_name(monkeypatch, tmp_path):
    (tmp_path / "a_model_by_name.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    attribution = explain("a_model_by_name:make", "coffee", 0, "saliency", device="cpu")
    assert attribution.shape == (1, 3, 224, 224)


@pytest.mark.parametrize("target", ["dog", "DOG", "1"])
def test_a_target_is_a_class_by_its_label(model, target):
    found = explain(model, "coffee", target, "saliency")
    assert torch.equal(found, explain(model, "coffee", 1, "saliency"))
    assert not torch.equal(found, explain(model, "coffee", "bull", "saliency"))


def test_an_unknown_label_suggests_the_nearest_before_the_model_runs(model):
    with count_passes(model) as passes, pytest.raises(ValueError, match="did you mean 'dog'"):
        explain(model, "coffee", "dogg", "saliency")
    assert passes.forward == 0


@pytest.mark.parametrize("name", ["1", "model.1"])
def test_a_layer_is_known_by_its_name_inside_and_outside(model, name):
    found = explain(model, "coffee", 1, "grad_cam", layer=name)
    assert torch.equal(found, explain(model, "coffee", 1, "grad_cam", layer=model.model[1]))
    other = explain(model, "coffee", 1, "grad_cam", layer="0.0")
    assert torch.equal(other, explain(model, "coffee", 1, "grad_cam", layer=model.model[0][0]))
    assert not torch.equal(found, other)


def test_a_layer_of_a_bare_module_is_known_by_its_name():
    module, x = network(), torch.rand(1, 3, 16, 16)
    found = explain(module, x, 1, "grad_cam", layer="0.0")
    assert torch.equal(found, explain(module, x, 1, "grad_cam", layer=module[0][0]))


def test_an_unknown_layer_suggests_the_nearest():
    module = nn.Sequential()
    module.add_module("convolution", nn.Conv2d(3, 4, 3))
    module.add_module("flatten", nn.Flatten())
    with pytest.raises(
        ValueError, match="unknown layer 'convolutions'; did you mean 'convolution'"
    ):
        explain(module, torch.rand(1, 3, 8, 8), 1, "grad_cam", layer="convolutions")


@pytest.mark.parametrize("name", list(BASELINES))
@pytest.mark.parametrize("method", ["integrated_gradients", "feature_ablation"])
def test_a_baseline_by_name_is_the_tensor(model, name, method):
    seen = model.see(read_image("coffee"))
    tensor = make_baselines(name, seen, mean=MEAN, std=STD, generator=3)
    found = explain(model, seen, 1, method, baselines=name, generator=3)
    assert torch.equal(found, explain(model, seen, 1, method, baselines=tensor, generator=3))


def test_the_mean_color_is_the_models_own(model):
    seen = model.see(read_image("coffee"))
    color = torch.tensor(MEAN)[:, None, None].expand_as(seen)
    found = explain(model, seen, 1, "integrated_gradients", baselines="norm_mean")
    torch.testing.assert_close(
        found, explain(model, seen, 1, "integrated_gradients", baselines=color)
    )
    for other in ((0.0,) * 3, (0.485, 0.456, 0.406)):
        color = torch.tensor(other)[:, None, None].expand_as(seen)
        assert not torch.allclose(
            found, explain(model, seen, 1, "integrated_gradients", baselines=color)
        )


def test_a_baseline_by_name_is_made_for_each_input_of_a_tuple():
    class Two(nn.Module):
        def forward(self, x, y):
            return torch.stack([x.sum((1, 2, 3)), (x * y).sum((1, 2, 3))], 1)

    x, y = torch.rand(2, 1, 3, 4, 4)
    found = explain(Two(), (x, y), 1, "integrated_gradients", baselines="white")
    ones = (torch.ones_like(x), torch.ones_like(y))
    expected = explain(Two(), (x, y), 1, "integrated_gradients", baselines=ones)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_an_unknown_baseline_suggests_the_nearest(model):
    with pytest.raises(ValueError, match="unknown baseline 'blurr'; did you mean 'blur'"):
        explain(model, "coffee", 1, "integrated_gradients", baselines="blurr")


@pytest.mark.parametrize("method", ["gradient_shap", "deep_lift_shap", "ig2"])
def test_a_method_that_compares_with_other_images_takes_no_baseline_by_name(model, method):
    with pytest.raises(
        ValueError, match=rf"baselines of {method} must be examples of other images"
    ):
        explain(model, "coffee", 1, method, baselines="black")


@pytest.mark.parametrize("form", [str, Path, lambda folder: sorted(folder.iterdir())])
@pytest.mark.parametrize("method", ["gradient_shap", "ig2"])
def test_references_are_a_folders_pictures_as_the_model_sees_them(model, folder, form, method):
    settings = {"n_samples": 4} if method == "gradient_shap" else {"n_steps": 3}
    names = ("blue", "green", "red")
    seen = torch.cat([model.see(read_image(folder / f"{name}.png")) for name in names])
    assert seen.shape == (3, 3, 16, 16)
    found = explain(model, "coffee", 1, method, references=form(folder), **settings)
    assert torch.equal(found, explain(model, "coffee", 1, method, references=seen, **settings))
    assert torch.equal(found, explain(model, "coffee", 1, method, baselines=seen, **settings))


def test_references_of_another_shape_are_refused(model):
    with pytest.raises(ValueError, match=r"references must be like inputs, .*\(3, 16, 16\)"):
        explain(model, "coffee", 1, "gradient_shap", references=torch.rand(2, 3, 8, 8))


def test_a_method_that_takes_no_references_says_so(model, folder):
    with pytest.raises(TypeError, match="saliency takes no references"):
        explain(model, "coffee", 1, "saliency", references=folder)


@pytest.mark.parametrize(
    ("argument", "settings"),
    [
        ("inputs", {"inputs": "coffee"}),
        ("inputs", {"inputs": np.zeros((4, 4, 3), np.uint8)}),
        ("inputs", {"inputs": Image.new("RGB", (4, 4))}),
        ("target", {"target": "dog"}),
        ("references", {"references": "coffee"}),
    ],
)
def test_a_bare_module_knows_nothing_of_pictures_and_names(argument, settings):
    asked = {"inputs": torch.rand(1, 3, 16, 16), "target": 1, "method": "gradient_shap"} | settings
    with pytest.raises(
        TypeError, match=rf"{argument} must be tensors or numbers unless .* load_model\(\)"
    ):
        explain(network(), **asked)


def test_without_a_method_images_and_other_inputs_have_their_own_default(model):
    assert defaults.DEFAULT_METHOD == "segment_lime"
    assert defaults.DEFAULT_FOR_OTHERS == "integrated_gradients"
    seen = model.see(read_image("coffee"))
    settings = {"n_samples": 60}
    assert torch.equal(
        explain(model, seen, 1, **settings),
        explain(model, seen, 1, defaults.DEFAULT_METHOD, **settings),
    )
    table, rows = nn.Linear(5, 3), torch.rand(2, 5)
    assert torch.equal(
        explain(table, rows, 1), explain(table, rows, 1, defaults.DEFAULT_FOR_OTHERS)
    )


def test_a_device_moves_the_model_and_one_that_is_not_there_is_refused(monkeypatch, model):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'cuda' is not there"):
        explain(model, "coffee", 1, "saliency", device="cuda")
    found = explain(model.double(), torch.rand(1, 3, 16, 16).double(), 1, "saliency", device="cpu")
    assert found.dtype == torch.float64
