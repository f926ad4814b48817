import json
import socket
import sys
import time

import pytest
import torch

from captum_ext import load_model
from captum_ext.image_files import open_image, read_image
from captum_ext.models.from_transformers import preprocessing_of_processor

transformers = pytest.importorskip("transformers")

LABELS = ["cat", "dog", "bird"]
VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
CONVNEXT = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}


def vit(n_classes=3, labels=LABELS):
    config = transformers.ViTConfig(image_size=32, patch_size=8, **VIT, **_named(n_classes, labels))
    return _made(transformers.ViTForImageClassification, config)


def convnext(n_classes=3, labels=LABELS):
    config = transformers.ConvNextConfig(**CONVNEXT, **_named(n_classes, labels))
    return _made(transformers.ConvNextForImageClassification, config)


def _named(n_classes, labels):
    return {"num_labels": n_classes} if labels is None else {"id2label": dict(enumerate(labels))}


def _made(kind, config):
    torch.manual_seed(4)
    network = kind(config).eval()
    with torch.no_grad():
        network.classifier.weight.normal_()  # so that pictures differ in their outputs
    return network


#: Models and their processors.
PIPELINES = {
    "ViT": (vit, "ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    "ViT, not normalized": (vit, "ViTImageProcessor", {"size": 32, "do_normalize": False}),
    "ViT, 0 to 255": (vit, "ViTImageProcessor", {"size": 32, "do_rescale": False}),
    "CLIP's center crop": (
        vit,
        "CLIPImageProcessor",
        {"size": {"shortest_edge": 32}, "crop_size": 32},
    ),
    "DeiT's center crop": (vit, "DeiTImageProcessor", {"size": 40, "crop_size": 32}),
    "LeViT": (vit, "LevitImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": 32}),
    "PoolFormer": (
        vit,
        "PoolFormerImageProcessor",
        {"size": {"shortest_edge": 36}, "crop_size": 32},
    ),
    "MobileViT's BGR": (
        vit,
        "MobileViTImageProcessor",
        {"size": {"shortest_edge": 36}, "crop_size": 32},
    ),
    "EfficientNet": (vit, "EfficientNetImageProcessor", {"size": 32, "resample": 3}),
    "ConvNeXt": (convnext, "ConvNextImageProcessor", {"size": {"shortest_edge": 32}}),
    "ConvNeXt, large": (convnext, "ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    "ConvNeXt, cropped": (
        convnext,
        "ConvNextImageProcessor",
        {"size": {"shortest_edge": 64}, "do_center_crop": True, "crop_size": 32},
    ),
}


@pytest.fixture(params=list(PIPELINES))
def pipeline(request, tmp_path):
    """A folder with a model and its processor, and both."""
    make, kind, settings = PIPELINES[request.param]
    network, processor = make(), getattr(transformers, kind)(**settings)
    network.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return str(tmp_path), network, processor


@pytest.fixture
def folder(tmp_path):
    vit().save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size=32).save_pretrained(tmp_path)
    return tmp_path


def outputs_of(network, processor, picture):
    with torch.no_grad():
        return network(processor(picture, return_tensors="pt")["pixel_values"]).logits


def photograph(height, width):
    return open_image("astronaut").resize((width, height))


def test_a_folders_model_sees_a_photograph_as_its_processor_makes_it(pipeline):
    folder, network, processor = pipeline
    model = load_model(folder)
    assert list(model.class_names) == LABELS
    for height, width in ((120, 90), (90, 120), (64, 64)):
        picture = photograph(height, width)
        own = outputs_of(network, processor, picture)
        found = model(model.see(read_image(picture)))
        # To the rounding of eight bits after the resize.
        assert (found - own).abs().max() < 0.02 * own.abs().max()


@pytest.mark.parametrize("name", ["ViT", "ViT, not normalized", "ViT, 0 to 255", "ConvNeXt, large"])
def test_a_picture_of_the_right_size_gives_the_processors_outputs_exactly(name, tmp_path):
    make, kind, settings = PIPELINES[name]
    network, processor = make(), getattr(transformers, kind)(**settings)
    network.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    picture = photograph(*model.view.size)
    own = outputs_of(network, processor, picture)
    torch.testing.assert_close(model(model.see(read_image(picture))), own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make", [vit, convnext])
def test_a_module_gives_its_logits_and_its_labels(make):
    network = make()
    model = load_model(network, size=32)
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model(x), network(model.normalize(x)).logits)
    assert list(model.class_names) == LABELS
    assert model.view.size == (32, 32)


def test_a_module_that_gives_logits_only_is_taken_as_it_is():
    class Plain(transformers.ViTForImageClassification):
        def forward(self, x):
            return super().forward(x).logits

    model = load_model(Plain(vit().config), size=32)
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("multi_label_classification", "sigmoid"),
        ("single_label_classification", "softmax"),
        ("regression", "scores"),
        (None, "auto"),
    ],
)
def test_the_problem_type_says_what_the_outputs_are(tmp_path, problem, kind):
    network = vit()
    network.config.problem_type = problem
    assert load_model(network, size=32).outputs == kind
    network.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size=32).save_pretrained(tmp_path)
    assert load_model(str(tmp_path)).outputs == kind
    assert load_model(str(tmp_path), "none", outputs="scores").outputs == "scores"


def test_placeholders_are_no_names():
    assert load_model(vit(4, labels=None), size=32).class_names is None


def test_more_than_ten_labels_keep_their_order():
    labels = [f"class {index}" for index in range(12)]
    assert list(load_model(vit(labels=labels), size=32).class_names) == labels


def test_random_weights_are_the_same_each_time_and_have_no_names(folder):
    before = torch.get_rng_state()
    first, second = (load_model(str(folder), "none") for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(first(x), second(x))
    assert not torch.equal(first(x), load_model(str(folder))(x))
    assert first.class_names is None
    assert not first.model.model.training


@pytest.mark.parametrize(("n_classes", "labels"), [(3, LABELS), (5, None)])
def test_a_checkpoint_gives_the_weights_and_the_number_of_classes(
    folder, tmp_path, n_classes, labels
):
    network = vit(n_classes, labels)
    with torch.no_grad():
        network.classifier.bias.fill_(2)
    torch.save({"model": network.state_dict()}, tmp_path / "model.pt")
    model = load_model(f"transformers:{folder}", tmp_path / "model.pt")
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(model(x), network(model.normalize(x)).logits)
    assert model.class_names == (None if labels is None else tuple(labels))


@pytest.mark.parametrize("kind", ["Perceiver", "TextNet", "Donut", "ImageGPT"])
def test_a_processor_that_does_something_else_is_refused(tmp_path, kind):
    vit().save_pretrained(tmp_path)
    getattr(transformers, f"{kind}ImageProcessor")().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{kind}ImageProcessor.* does more to a picture than"):
        load_model(str(tmp_path))


def test_a_model_of_timm_has_timms_data_configuration(tmp_path):
    timm = pytest.importorskip("timm")
    config = transformers.TimmWrapperConfig.from_dict(
        {
            "architecture": "resnet10t",
            "num_classes": 1000,
            "pretrained_cfg": timm.get_pretrained_cfg("resnet10t").to_dict(),
        }
    )
    transformers.TimmWrapperForImageClassification(config).save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    assert model.view.size == (176, 176)
    assert model.view.interpolation == "bicubic"
    assert model.class_names[0] == "tench, Tinca tinca"
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 1000)


@pytest.mark.parametrize(
    ("factor", "offset", "black", "white"), [(1 / 255, False, 0, 1), (1 / 127.5, True, -1, 1)]
)
def test_rescaling_is_part_of_the_normalization(factor, offset, black, white):
    preprocessing = preprocessing_of_processor(
        {"do_rescale": True, "rescale_factor": factor, "rescale_offset": offset}
    )
    mean, std = preprocessing.mean[0], preprocessing.std[0]
    assert ((0 - mean) / std, (1 - mean) / std) == pytest.approx((black, white))


def test_code_that_comes_with_a_model_is_refused_and_not_run(folder, tmp_path):
    mark = tmp_path / "mark"
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass Own: pass\nOwnConfig = Own\n")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForImageClassification": "own.Own",
    }
    (folder / "config.json").write_text(json.dumps(config))
    for weights in ("DEFAULT", "none"):
        with pytest.raises(ValueError, match="contains custom code"):
            load_model(str(folder), weights)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("config.json", None, "weights"),
        ("config.json", "{", "weights"),
        ("config.json", '{"model_type": "bert"}', "weights"),
        ("model.safetensors", None, "weights"),
        ("model.safetensors", "rubbish", "weights"),
        ("preprocessor_config.json", None, "image processor"),
        ("preprocessor_config.json", "{", "image processor"),
    ],
)
def test_a_folder_that_is_incomplete_or_broken_is_one_line(folder, file, content, what):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(ValueError) as caught:
        load_model(str(folder))
    message = str(caught.value)
    assert message.startswith(f"{what} of {folder} could not be had from its folder (")
    assert "online, the file" not in message
    assert "\n" not in message


def test_a_hub_out_of_reach_is_one_line_and_quick(monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror("name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for weights, what in (("DEFAULT", "weights"), ("none", "configuration")):
        start = time.perf_counter()
        with pytest.raises(ValueError) as caught:
            load_model("nobody/nothing", weights)
        assert time.perf_counter() - start < 10
        message = str(caught.value)
        assert message.startswith(f"{what} of nobody/nothing could not be had from Hugging Face's")
        assert message.endswith("once online, the file is kept for later")
        assert "\n" not in message


def test_without_transformers_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'captum_ext\[transformers\]'"):
        load_model("nobody/nothing", "none")
