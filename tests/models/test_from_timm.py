import socket
import sys
import time

import pytest
import torch
from PIL import Image

from captum_ext import load_model
from captum_ext.image_files import read_image
from captum_ext.models.from_timm import preprocessing_of

timm = pytest.importorskip("timm")

#: One whose mean, standard deviation and crop are not those of ImageNet.
MODEL = "vit_tiny_patch16_224"


@pytest.fixture
def picture():
    return (read_image("coffee") * 255).byte().movedim(0, -1).numpy()


def wanted_of(name):
    return timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())


@pytest.mark.parametrize("name", [MODEL, f"timm:{MODEL}", f"{MODEL}.augreg_in21k_ft_in1k"])
def test_random_weights_come_with_the_data_configuration_and_no_names(name):
    model, wanted = load_model(name, "none"), wanted_of(MODEL)
    assert wanted["mean"] == (0.5, 0.5, 0.5)
    assert model.normalize.mean.flatten().tolist() == [0.5] * 3
    assert model.normalize.std.flatten().tolist() == [0.5] * 3
    assert model.view.size == (224, 224)
    assert model.view.resize == int(224 / wanted["crop_pct"])
    assert model.view.interpolation == "bicubic"
    assert model.class_names is None
    assert not model.model.training


def test_random_weights_are_the_same_each_time_and_leave_the_random_state_alone():
    before = torch.get_rng_state()
    first, second = (load_model("timm:resnet10t", "none", size=32) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(first(x), second(x))


@pytest.mark.parametrize(
    "name", ["resnet10t", "vit_base_patch16_clip_224.openai", "beit_base_patch16_384"]
)
def test_what_the_model_sees_is_what_timms_transform_makes(name, picture):
    wanted = wanted_of(name)
    own = timm.data.create_transform(**wanted, is_training=False)(Image.fromarray(picture))
    preprocessing = preprocessing_of(wanted)
    mean, std = (torch.tensor(e)[:, None, None] for e in (preprocessing.mean, preprocessing.std))
    seen = preprocessing.view(read_image(picture))
    # To the rounding of eight bits, after each side; some pixels next to edges differ by more.
    assert (seen - (own * std + mean)).abs().mean() < 1 / 255


def test_a_squashed_picture_is_seen_whole():
    wanted = wanted_of("vit_base_patch16_224") | {"crop_mode": "squash", "crop_pct": 1.0}
    assert preprocessing_of(wanted).view.seen((300, 500)) == (0, 300, 0, 500)


def test_a_checkpoints_number_of_classes_is_taken_and_there_are_no_names(tmp_path):
    torch.manual_seed(5)
    network = timm.create_model("resnet10t", num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    model = load_model("timm:resnet10t", tmp_path / "model.pt")
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model(x), network(model.normalize(x)))
    assert model.class_names is None


def test_a_checkpoint_of_all_classes_has_imagenets_names(tmp_path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "model.pt")
    model = load_model("timm:resnet10t", tmp_path / "model.pt")
    assert len(model.class_names) == 1000
    assert model.class_names[0] == "tench, Tinca tinca"


def test_a_module_of_timm_is_taken_with_its_data_configuration():
    model = load_model(timm.create_model(MODEL, num_classes=2), size=32)
    assert model.normalize.mean.flatten().tolist() == [0.5] * 3
    assert model.view.interpolation == "bicubic"
    assert model.view.size == (32, 32)
    assert model.class_names is None


def test_without_timm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        ValueError, match=r"needs the package timm: pip install 'captum_ext\[timm\]"
    ):
        load_model("timm:resnet10t", "none")
    with pytest.raises(ValueError, match="unknown model 'resnet10t'; did you mean"):
        load_model("resnet10t", "none")


@pytest.mark.parametrize(
    ("name", "near"),
    [("timm:resnet10tt", "resnet10t"), ("timm:resnet10t.c3_in1", "resnet10t.c3_in1k")],
)
def test_an_unknown_name_suggests_the_nearest(name, near):
    with pytest.raises(ValueError, match=rf"did you mean .*'{near}'"):
        load_model(name, "none")


def test_weights_that_are_no_file_are_refused():
    with pytest.raises(ValueError, match="weights must be DEFAULT, none, or a file; 'nothing'"):
        load_model("timm:resnet10t", "nothing")


def test_a_hub_out_of_reach_is_one_line_and_quick(monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror("name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    start = time.perf_counter()
    with pytest.raises(ValueError) as caught:
        load_model("timm:resnet10t")
    assert time.perf_counter() - start < 10
    assert str(caught.value).startswith("weights of timm's resnet10t could not be had from Hugging")
    assert "\n" not in str(caught.value)
