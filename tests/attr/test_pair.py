"""PAIR's methods on torch models: the same numbers as PAIR gives, in Captum's shape."""

import numpy as np
import pytest
import saliency.core as pair
import torch
from torch import nn

from captum_ext.attr import XRAI, BlurIG, FromSaliency
from captum_ext.call_model import call_model_function
from captum_ext.checks import AttributionWarning
from captum_ext.forward import count_passes

SIZE = 20
CORES = {
    "gradient": (pair.GradientSaliency, {}),
    "integrated_gradients": (pair.IntegratedGradients, {"x_steps": 5}),
    "blur_ig": (pair.BlurIG, {"steps": 5}),
    "grad_cam": (pair.GradCam, {}),
    "occlusion": (pair.Occlusion, {"size": 15}),
    "xrai": (pair.XRAI, {}),
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 3)
    ).double()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, SIZE, SIZE, generator=generator, dtype=torch.float64)


def by_pair(core, model, image, target, **settings):
    mask = core.GetMask(
        image.movedim(0, -1).numpy(), call_model_function(model, target), **settings
    )
    return np.broadcast_to(mask if mask.ndim == 3 else mask[..., None], (SIZE, SIZE, 3))


@pytest.mark.parametrize("name", CORES)
def test_any_core_gives_what_pair_gives(model, images, name):
    core, settings = CORES[name]
    result = FromSaliency(core(), model).attribute(images, target=[2, 0], **settings)
    assert result.shape == images.shape
    for image, target, attribution in zip(images, (2, 0), result, strict=True):
        expected = by_pair(core(), model, image, target, **settings)
        np.testing.assert_allclose(attribution.movedim(0, -1), expected, atol=1e-12)


def test_the_gradient_is_torchs_own(model, images):
    result = FromSaliency(pair.GradientSaliency, model).attribute(images, target=2)
    images.requires_grad_()
    (expected,) = torch.autograd.grad(model(images)[:, 2].sum(), images)
    torch.testing.assert_close(result, expected)


def test_blur_ig_and_xrai_have_captums_arguments(model, images):
    blurred = BlurIG(model).attribute(images, target=1, n_steps=6, max_sigma=4)
    expected = by_pair(pair.BlurIG(), model, images[1], 1, steps=6, max_sigma=4)
    np.testing.assert_allclose(blurred[1].movedim(0, -1), expected, atol=1e-12)
    ranked = XRAI(model).attribute(images, 0.5, target=1, n_steps=6, algorithm="fast")
    expected = by_pair(
        pair.XRAI(),
        model,
        images[1],
        1,
        baselines=[np.full((SIZE, SIZE, 3), 0.5)],
        extra_parameters=pair.XRAIParameters(steps=6, algorithm="fast"),
    )
    np.testing.assert_allclose(ranked[1].movedim(0, -1), expected, rtol=1e-5)


def test_blur_ig_weights_each_step_by_its_own_length_in_any_batch(model, images):
    one = BlurIG(model).attribute(images, target=1, n_steps=6, sqrt=True, internal_batch_size=1)
    all_at_once = BlurIG(model).attribute(images, target=1, n_steps=6, sqrt=True)
    torch.testing.assert_close(one, all_at_once)


def test_xrai_ranks_the_given_segments(images):
    weights = torch.zeros(SIZE, SIZE).double()
    weights[:, :10], weights[:, 10:15] = 3, 1
    mask = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.long)
    mask[..., 10:15], mask[..., 15:] = 1, 2
    method = XRAI(lambda x: (x * weights).sum((1, 2, 3)))
    heat = method.attribute(torch.ones_like(images), 0.0, feature_mask=mask, n_steps=5)
    assert heat[0, 0, 0].tolist() == pytest.approx([3.0] * 10 + [1.0] * 5 + [0.0] * 5)
    columns = torch.arange(SIZE).expand(1, 1, SIZE, SIZE)  # of 20 pixels each, fewer than 50
    fine = method.attribute(torch.ones_like(images), 0.0, feature_mask=columns, n_steps=5)
    torch.testing.assert_close(fine, heat)


def test_xrai_takes_the_pixels_of_a_tiny_image_for_segments():
    x = torch.rand(1, 1, 4, 4).double()
    heat = XRAI(lambda x: x.square().sum((1, 2, 3))).attribute(x, 0.0, n_steps=2000)
    torch.testing.assert_close(heat, x.square(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", [XRAI, BlurIG])
def test_half_precision_is_accepted(model, images, method):
    result = method(model.half()).attribute(images.half(), target=1, n_steps=3)
    assert result.dtype == torch.half
    assert result.isfinite().all()


def test_additional_arguments_and_other_inputs_stay_as_they_are():
    def forward(x, y, factor, power):
        return (factor * (x**power).sum((1, 2, 3)) + y.sum(1))[:, None]

    x, y = torch.full((2, 1, 4, 4), 2.0), torch.ones(2, 3)
    result = FromSaliency(pair.GradientSaliency, forward).attribute(
        (x, y), target=0, additional_forward_args=(torch.tensor([1.0, 10.0]), 2)
    )
    torch.testing.assert_close(
        result[0], torch.tensor([4.0, 40.0])[:, None, None, None].expand_as(x)
    )
    torch.testing.assert_close(result[1], torch.ones_like(y))


def test_tensors_like_the_input_are_handed_over_example_by_example(model, images):
    result = FromSaliency(pair.IntegratedGradients(), model).attribute(
        images, target=1, x_baseline=images.flip(0), x_steps=5
    )
    expected = by_pair(
        pair.IntegratedGradients(),
        model,
        images[0],
        1,
        x_baseline=images[1].movedim(0, -1).numpy(),
        x_steps=5,
    )
    np.testing.assert_allclose(result[0].movedim(0, -1), expected, atol=1e-12)


def test_grad_cam_works_for_any_number_of_channels():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
    result = FromSaliency(pair.GradCam, model).attribute(torch.rand(2, 1, 10, 10), target=1)
    assert result.shape == (2, 1, 10, 10)


def test_a_core_that_writes_into_its_input_does_not_change_the_callers(model, images):
    class Zeroing(pair.GradientSaliency):
        def GetMask(self, x_value, call_model_function, call_model_args=None):  # noqa: N802
            mask = super().GetMask(x_value, call_model_function, call_model_args)
            x_value *= 0
            return mask

    before = images.clone()
    FromSaliency(Zeroing, model).attribute(images, target=0)
    torch.testing.assert_close(images, before, rtol=0, atol=0)


def test_what_is_no_core_or_no_model_is_refused(model):
    with pytest.raises(TypeError, match=r"core must be a saliency.core.CoreSaliency; got"):
        FromSaliency(model, pair.XRAI())
    with pytest.raises(TypeError, match="forward_func must be a module or a function; got int"):
        FromSaliency(pair.XRAI(), 3)


def test_a_core_whose_mask_does_not_fit_is_refused(model, images):
    class Row(pair.CoreSaliency):
        def GetMask(self, x_value, call_model_function, call_model_args=None):  # noqa: N802
            return x_value[0]

    with pytest.raises(ValueError, match=r"mask of shape \(20, 20, 3\); got \(20, 3\)"):
        FromSaliency(Row, model).attribute(images, target=0)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (XRAI, {"algorithm": "slow"}, "unknown algorithm 'slow'"),
        (XRAI, {"n_steps": 0}, "n_steps must be at least 1"),
        (XRAI, {"feature_mask": torch.zeros(1, 1, 3, 3).long()}, r"shape \(2, 1, 20, 20\)"),
        (XRAI, {"feature_mask": torch.zeros(1, 1, SIZE, SIZE)}, "tensors of whole numbers"),
        (
            XRAI,
            {"feature_mask": torch.arange(3).reshape(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)},
            "feature_mask must be the same for all channels",
        ),
        (XRAI, {"baselines": torch.zeros(5, 3, 3)}, "baselines must have the shape"),
        (BlurIG, {"max_sigma": 0}, "max_sigma must be above 0"),
        (BlurIG, {"n_steps": 2.5}, "n_steps must be a whole number"),
        (BlurIG, {"internal_batch_size": 0}, "internal_batch_size must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_before_the_model_runs(model, images, method, arguments, message):
    with count_passes(model) as passes, pytest.raises((TypeError, ValueError), match=message):
        method(model).attribute(images, target=1, **arguments)
    assert passes.total == 0


def test_inputs_that_are_no_images_are_refused(model):
    for method in (XRAI, BlurIG):
        with pytest.raises(ValueError, match=r"inputs must be images \[B, C, H, W\]; got shape"):
            method(model).attribute(torch.rand(2, 5), target=0)


def test_xrai_divides_images_without_segments_by_a_grid(model):
    images = torch.ones(3, 3, SIZE, SIZE).double()
    images[1] = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    images[2] = 0
    with pytest.warns(AttributionWarning, match=r"0, 0 segments in examples 0, 2, .* 7x7 is used"):
        heat = XRAI(model).attribute(images, target=0, n_steps=3)
    assert heat.shape == images.shape
