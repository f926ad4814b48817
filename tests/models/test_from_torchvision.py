import os
import socket
import subprocess
import sys
from urllib.error import URLError

import pytest
import torch
import torchvision
from torchvision.models import RegNet_Y_400MF_Weights, SqueezeNet1_0_Weights

from captum_ext import load_model

MODEL = "squeezenet1_0"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture
def image():
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", fail)
    monkeypatch.setattr(socket, "getaddrinfo", fail)


def trained(n_classes):
    torch.manual_seed(5)
    return torchvision.models.squeezenet1_0(num_classes=n_classes).eval()


def test_random_weights_are_the_same_each_time_and_leave_the_random_state_alone(image):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = load_model(MODEL, "none")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    second = load_model(MODEL, "none")
    assert torch.equal(first(image), second(image))
    assert first(image).shape == (1, 1000)
    assert first.class_names is None
    assert not first.training
    assert not first.model.training


def test_a_checkpoints_model_gives_its_outputs_and_has_no_names(image, tmp_path):
    network = trained(3)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "model.pt")
    model = load_model(MODEL, tmp_path / "model.pt")
    mean, std = (torch.tensor(each).reshape(3, 1, 1) for each in IMAGENET)
    torch.testing.assert_close(model(image), network((image - mean) / std))
    assert model.class_names is None
    assert model.name == MODEL


def test_a_checkpoint_of_all_classes_has_torchvisions_names(tmp_path):
    torch.save(trained(1000).state_dict(), tmp_path / "model.pt")
    model = load_model(MODEL, str(tmp_path / "model.pt"))
    assert list(model.class_names) == SqueezeNet1_0_Weights.DEFAULT.meta["categories"]


@pytest.mark.parametrize("weights", ["none", "checkpoint"])
def test_the_preprocessing_is_that_of_the_default_weights(weights, tmp_path):
    network = torchvision.models.regnet_y_400mf(num_classes=2)
    torch.save(network.state_dict(), tmp_path / "checkpoint")
    chosen = weights if weights == "none" else tmp_path / weights
    model = load_model("torchvision:regnet_y_400mf", chosen)
    wanted = RegNet_Y_400MF_Weights.DEFAULT.transforms()
    assert wanted.resize_size != RegNet_Y_400MF_Weights.IMAGENET1K_V1.transforms().resize_size
    assert model.view.size == (224, 224)
    assert model.view.resize == wanted.resize_size[0]
    assert model.normalize.mean.flatten().tolist() == pytest.approx(wanted.mean)
    assert model.normalize.std.flatten().tolist() == pytest.approx(wanted.std)


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1"])
def test_a_download_that_fails_is_one_line_that_says_what_to_do(offline, weights):
    with pytest.raises(ValueError) as caught:
        load_model(MODEL, weights)
    message = str(caught.value)
    assert message.startswith(f"weights IMAGENET1K_V1 of {MODEL} could not be had from https://")
    assert "no route to host" in message
    assert "or give weights: a checkpoint's path, or none for random ones" in message
    assert "\n" not in message


def test_weights_that_are_no_file_and_no_name_are_refused_with_the_names():
    with pytest.raises(ValueError, match=r"DEFAULT, none, IMAGENET1K_V1, IMAGENET1K_V2, or a file"):
        load_model("regnet_y_400mf", "imagenet1k_v3")


@pytest.mark.parametrize("name", ["squeezenet1_00", "torchvision:squeezenet1_00"])
def test_an_unknown_name_suggests_the_nearest(name):
    with pytest.raises(ValueError, match=r"did you mean .*'squeezenet1_0'") as caught:
        load_model(name, "none")
    assert len(str(caught.value)) < 300


def test_kept_weights_are_taken_offline_in_a_fresh_process(tmp_path):
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    network = torchvision.models.squeezenet1_1()
    url = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url
    # Its name ends with a part of its digest, which torch checks on downloading only.
    torch.save(network.state_dict(), folder / url.rsplit("/", maxsplit=1)[-1])
    script = (
        "from captum_ext import load_model; print(load_model('squeezenet1_1').class_names[281])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"TORCH_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "tabby\n", result.stderr
