import pytest
import torch
from captum.attr import (
    DeepLift,
    IntegratedGradients,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from torch import nn

from captum_ext.forward import count_passes


@pytest.fixture
def model():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(32, 3)
    ).eval()


@pytest.fixture
def images():
    return torch.rand(2, 1, 4, 4)


def count(model, method, images, **kwargs):
    with count_passes(model) as passes:
        method.attribute(images, target=1, **kwargs)
    return passes.forward, passes.backward


def test_counts_of_captums_methods_are_the_known_ones(model, images):
    assert count(model, Saliency(model), images) == (2, 2)
    assert count(model, IntegratedGradients(model), images, n_steps=20) == (40, 40)
    assert count(model, NoiseTunnel(Saliency(model)), images, nt_samples=5) == (10, 10)
    window = {"sliding_window_shapes": (1, 2, 2), "strides": (1, 2, 2)}
    assert count(model, Occlusion(model), images, **window) == (2 + 4 * 2, 0)


def test_a_batch_that_a_hook_doubles_counts_double(model, images):
    assert count(model, DeepLift(model), images) == (4, 4)


def test_a_backward_pass_that_ends_at_a_layer_counts(model, images):
    assert count(model, LayerGradCam(model, model[0]), images) == (2, 2)


def test_a_backward_pass_that_starts_at_a_layer_counts(model, images):
    kept = []
    model[2].register_forward_hook(lambda module, args, output: kept.append(output))
    with count_passes(model) as passes:
        model(images.requires_grad_())
        kept[0].sum().backward()
    assert (passes.forward, passes.backward) == (2, 2)


def test_two_products_through_one_forward_pass_count_twice(model, images):
    with count_passes(model) as passes:
        output = model(images.requires_grad_())
        for index in range(2):
            torch.autograd.grad(output[:, index].sum(), images, retain_graph=True)
    assert (passes.forward, passes.backward) == (2, 4)


def test_no_hook_remains_and_nothing_more_is_counted(model, images):
    with count_passes(model) as passes:
        model(images)
    model(images)
    assert passes.forward == 2
    assert passes.total == 2
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_nested_counts_are_independent(model, images):
    with count_passes(model) as outer:
        model(images)
        with count_passes(model) as inner:
            model(images)
    assert (outer.forward, inner.forward) == (4, 2)


def test_a_function_cannot_be_counted():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module; got function"):
        count_passes(lambda x: x).__enter__()


def test_a_batch_inside_a_list_or_dict_is_found():
    class Nested(nn.Module):
        def forward(self, batch):
            return (batch["x"] if isinstance(batch, dict) else batch[0]) * 2

    model = Nested()
    with count_passes(model) as passes:
        model([torch.rand(8, 3, requires_grad=True)]).sum().backward()
        model({"x": torch.rand(8, 3)})
    assert (passes.forward, passes.backward) == (16, 8)
