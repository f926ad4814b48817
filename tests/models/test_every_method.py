"""Every method on models of every library: it explains them, or says what they lack."""

from functools import cache

import pytest
import torch
import torchvision
from torch import nn

from captum_ext import Need, explain, get_method, load_model, methods
from captum_ext.image_files import read_image
from captum_ext.perturbation import grid_masks

pytestmark = pytest.mark.slow

N_CLASSES = 7


def tv_convnext_tiny():
    return torchvision.models.convnext_tiny(num_classes=N_CLASSES), 32


def tv_vit_small():
    return torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=N_CLASSES), 32


def tv_vit_b_16():
    return torchvision.models.vit_b_16(image_size=32, num_classes=N_CLASSES), 32


def hf_vit():
    transformers = pytest.importorskip("transformers")
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    # Its usual initial weights hardly look at the picture.
    size |= {"intermediate_size": 32, "image_size": 32, "patch_size": 8, "initializer_range": 0.3}
    config = transformers.ViTConfig(num_labels=N_CLASSES, **size)
    return transformers.ViTForImageClassification(config), 32


def hf_convnext():
    transformers = pytest.importorskip("transformers")
    config = transformers.ConvNextConfig(
        hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_labels=N_CLASSES
    )
    return transformers.ConvNextForImageClassification(config), 64


def timm_resnet18():
    timm = pytest.importorskip("timm")
    # Else its last convolutions do not reach the outputs before training.
    return timm.create_model("resnet18", num_classes=N_CLASSES, zero_init_last=False), 64


def timm_convnext_atto():
    timm = pytest.importorskip("timm")
    return timm.create_model("convnext_atto", num_classes=N_CLASSES), 64


VITS = (tv_vit_small, tv_vit_b_16, hf_vit)
CONVNEXTS = (tv_convnext_tiny, hf_convnext, timm_convnext_atto)
MODELS = (*VITS, *CONVNEXTS, timm_resnet18)

NO_RELU = r"it needs ReLU layers, and there is none: it would be the plain gradient"
LINEAR = r"it has no rule for .*LayerNorm.*, which it would take for linear"
PATCHES = r"layer must be given: .* cuts the image into patches; .* last attention"
LRP = {
    name: r"it has no rule for .*(LayerNorm|GELU)"
    for name in ("lrp_z", "lrp_epsilon", "lrp_alpha1_beta0", "lrp_alpha2_beta1")
}
WITHOUT_RULES = {
    "guided_backprop": NO_RELU,
    "deconvolution": NO_RELU,
    "guided_grad_cam": NO_RELU,
    "deep_lift": LINEAR,
    "deep_lift_shap": LINEAR,
    **LRP,
}
#: What is refused, and why; nothing else is.
REFUSED = {
    **{(model, method): why for model in CONVNEXTS for method, why in WITHOUT_RULES.items()},
    **{(model, method): why for model in VITS for method, why in WITHOUT_RULES.items()},
    **{(model, "grad_cam"): PATCHES for model in VITS},
}
#: What goes into the last attention.
LAYERS = {
    tv_vit_small: "encoder.layers.encoder_layer_1.ln_1",
    tv_vit_b_16: "encoder.layers.encoder_layer_11.ln_1",
    hf_vit: "vit.layers.1.layernorm_before",
}
#: Arguments that make a method quick, where it has them.
QUICK = {
    "n_steps": 4,
    "nt_samples": 2,
    "n_generations": 3,
    "population_size": 6,
    "n_parents": 2,
}
#: For a feature mask of 16 features, or of each pixel.
SAMPLES = {
    "gradient_shap": 4,
    "lime": 60,
    "kernel_shap": 60,
    "shapley_value_sampling": 2,
    "pda": 2,
    "rise": 40,
    "segment_lime": 40,
    "segment_shap": 40,
}
WINDOWS = {
    "occlusion": {"sliding_window_shapes": (3, 8, 8), "strides": (3, 8, 8)},
    "pda": {"sliding_window_shapes": 8, "strides": 8},
}


@cache
def loaded(make):
    """A model whose outputs differ by about one, and what it sees of a photograph."""
    torch.manual_seed(0)
    network, size = make()
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    assert head.out_features == N_CLASSES
    nn.init.normal_(head.weight)
    model = load_model(network, size=size)
    seen = model.see(read_image("astronaut"))
    with torch.no_grad():
        head.weight /= model(seen).std()
        outputs = model(seen)
    return model, seen, outputs


def explained(make, spec, **settings):
    model, seen, outputs = loaded(make)
    if Need.PROBABILITIES in spec.needs:
        model = nn.Sequential(model, nn.Softmax(dim=1)).eval()
    accepted, _ = spec.accepted()
    settings |= {name: value for name, value in QUICK.items() if name in accepted}
    settings |= WINDOWS.get(spec.name, {})
    if spec.name in SAMPLES:
        settings["n_samples"] = SAMPLES[spec.name]
    if "feature_mask" in accepted and spec.name not in WINDOWS:
        settings["feature_mask"] = grid_masks((seen,), rows=4, cols=4)[0]
    if spec.name == "ig2":
        settings["references"] = torch.stack([seen[0].flip(1), 1 - seen[0]])
    if spec.name == "grad_cam":
        settings["relu_attributions"] = False
    return explain(model, seen, int(outputs.argmax()), spec, **settings)


def assert_explains(attribution, make):
    model, seen, outputs = loaded(make)
    assert attribution.shape == seen.shape
    assert torch.isfinite(attribution).all()
    assert attribution.abs().max() > 0
    with torch.no_grad():
        assert torch.equal(model(seen), outputs)  # the model is as it was


@pytest.mark.parametrize("method", [spec.name for spec in methods()])
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_method_explains_a_model_or_says_what_it_lacks(make, method):
    spec, why = get_method(method), REFUSED.get((make, method))
    if why is None:
        assert_explains(explained(make, spec), make)
    else:
        loaded(make)
        with pytest.raises(ValueError, match=why):
            explained(make, spec)


@pytest.mark.parametrize("make", VITS, ids=lambda make: make.__name__)
def test_grad_cam_explains_a_transformer_by_its_last_attentions_input(make):
    module = loaded(make)[0]
    while LAYERS[make] not in dict(module.named_modules()):
        module = module.model
    layer = module.get_submodule(LAYERS[make])
    attribution = explained(make, get_method("grad_cam"), layer=layer)
    assert_explains(attribution, make)
    assert torch.equal(explained(make, get_method("grad_cam"), layer=LAYERS[make]), attribution)
