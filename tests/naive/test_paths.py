"""The path methods, Grad-CAM and LRP against their equations."""

import numpy as np
import pytest
import torch
from captum.attr._utils.lrp_rules import EpsilonRule
from saliency.core.xrai import _get_segments_felzenszwalb
from torch import nn

from captum_ext.attr import (
    IG2,
    XRAI,
    AlphaBetaRule,
    BlurIG,
    GuidedIG,
    ImageIntegratedGradients,
    InputGradCam,
    UniformLRP,
)
from tests.naive.blur_ig import blur_ig
from tests.naive.conftest import assert_equal, of_class, rand
from tests.naive.grad_cam import grad_cam
from tests.naive.guided_ig import guided_ig
from tests.naive.ig2 import ig2
from tests.naive.image_integrated_gradients import image_integrated_gradients
from tests.naive.lrp import alpha_beta_rule, dense, epsilon_rule, lrp
from tests.naive.xrai import xrai


@pytest.mark.parametrize("method", ["riemann_left", "riemann_right", "riemann_trapezoid"])
@pytest.mark.parametrize(("step_size", "clip"), [(None, None), (0.3, (0.1, 0.8))])
def test_ig2(network, images, method, step_size, clip):
    references = rand(3, 3, 7, 8, seed=1)
    result, paths = IG2(network, network[5]).attribute(
        images,
        references,
        target=1,
        n_steps=6,
        step_size=step_size,
        clip=clip,
        method=method,
        return_path=True,
    )
    for x, attribution, path in zip(images, result, paths, strict=True):
        expected, points = ig2(
            of_class(network, 1),
            lambda x: network[:6](x[None])[0],
            x,
            references,
            6,
            step_size,
            clip,
            method,
        )
        assert_equal(path, points)
        assert_equal(attribution, expected)


def test_naive_ig2_is_the_published_one(golden):
    net = golden.net.net
    attribution, paths = ig2(
        of_class(golden.net, golden.target),
        lambda x: net[:6](x[None] / golden.net.scale)[0],
        torch.from_numpy(golden.x).movedim(-1, 0),
        torch.from_numpy(golden.references).movedim(-1, 1),
        golden.steps,
        golden.step_size,
        golden.clip,
    )
    golden.assert_agrees(attribution.movedim(0, -1), paths.movedim(1, 0).movedim(2, -1))


@pytest.mark.parametrize(
    ("fraction", "max_dist"), [(0.25, 0.1), (0.05, 1.0), (1.0, 0.02), (0, 0.3)]
)
def test_guided_ig(network, images, fraction, max_dist):
    baselines = rand(2, 3, 7, 8, seed=1) - 0.5
    settings = {"n_steps": 7, "fraction": fraction, "max_dist": max_dist}
    result, paths = GuidedIG(network).attribute(
        images, baselines, target=2, return_path=True, **settings
    )
    for x, baseline, attribution, path in zip(images, baselines, result, paths, strict=True):
        expected, points = guided_ig(of_class(network, 2), x, baseline, **settings)
        # Both stop within 1e-9 of the way that a step is to go.
        assert_equal(path[0], points, atol=1e-7)
        assert_equal(attribution, expected, atol=1e-7)


@pytest.mark.parametrize("num_alphas", [1, 3])
def test_image_integrated_gradients(network, images, num_alphas):
    baselines = rand(2, 3, 7, 8, seed=1)
    result = ImageIntegratedGradients(network).attribute(
        images,
        baselines,
        target=0,
        n_steps=4 * num_alphas,
        method="riemann_middle",
        num_alphas=num_alphas,
    )
    for x, baseline, attribution in zip(images, baselines, result, strict=True):
        expected = image_integrated_gradients(of_class(network, 0), x, baseline, num_alphas, 4)
        assert_equal(attribution, expected)


def test_image_integrated_gradients_by_gauss_where_midpoints_are_exact(images):
    weights = rand(3, 7, 8, seed=2)

    def square(x):
        return (x * weights).flatten(1).sum(1) ** 2 / 10

    result = ImageIntegratedGradients(square).attribute(images, n_steps=6, num_alphas=3)
    for x, attribution in zip(images, result, strict=True):
        expected = image_integrated_gradients(
            lambda x: square(x[None])[0], x, torch.zeros_like(x), 3, 1
        )
        assert_equal(attribution, expected)


@pytest.mark.parametrize("sqrt", [False, True])
def test_blur_ig(network, images, sqrt):
    settings = {"n_steps": 5, "max_sigma": 3.0, "grad_step": 0.01, "sqrt": sqrt}
    result = BlurIG(network).attribute(images, target=1, **settings)
    for x, attribution in zip(images, result, strict=True):
        assert_equal(attribution, blur_ig(of_class(network, 1), x, **settings))


@pytest.mark.parametrize("algorithm", ["full", "fast"])
def test_xrai_of_a_feature_mask(network, images, algorithm):
    # PAIR sums integrated gradients in float32.
    mask = (torch.arange(56).reshape(1, 1, 7, 8) * 7 // 56) + 2 * (torch.arange(8) > 3)
    result = XRAI(network).attribute(
        images, target=1, feature_mask=mask, n_steps=9, algorithm=algorithm
    )
    segments = [_pixels(mask[0, 0] == number) for number in mask.unique()]
    for x, attribution in zip(images, result, strict=True):
        expected = xrai(of_class(network, 1), x, segments, 9, 1)
        assert_equal(attribution, expected.expand(3, -1, -1), atol=1e-6)


def test_xrai_of_segments_that_overlap():
    image, baseline = rand(1, 3, 16, 16, seed=3), rand(1, 3, 16, 16, seed=4)
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 4, 3, stride=2)
    model = nn.Sequential(conv, nn.Tanh(), nn.Flatten(), nn.Linear(4 * 49, 2)).double()
    (found,) = XRAI(model).attribute(image, baseline, target=1, n_steps=9, min_pixel_diff=12)
    # The same as the method takes; with image and baseline of its own nothing else is PAIR's.
    segments = _get_segments_felzenszwalb(image[0].movedim(0, -1).numpy())
    assert sum(map(np.sum, segments)) > 2 * 256
    pixels = [_pixels(torch.from_numpy(np.asarray(segment))) for segment in segments]
    expected = xrai(of_class(model, 1), image[0], pixels, 9, 12, baseline)
    assert_equal(found, expected.expand(3, -1, -1), atol=1e-6)


def _pixels(mask):
    return {(row, column) for row, column in mask.nonzero().tolist()}


@pytest.mark.parametrize("relu", [False, True])
def test_grad_cam(network, images, relu):
    result = InputGradCam(network, network[2]).attribute(images, target=1, relu_attributions=relu)
    for x, attribution in zip(images, result, strict=True):
        expected = grad_cam(
            lambda x: network[:3](x[None])[0], lambda maps: network[3:](maps[None])[0, 1], x, relu
        )
        assert_equal(attribution, expected.expand(3, -1, -1))


@pytest.mark.parametrize(
    ("rule", "share"),
    [
        (lambda: EpsilonRule(0.1), epsilon_rule(0.1)),
        (lambda: AlphaBetaRule(1, 0), alpha_beta_rule(1, 0)),
        (lambda: AlphaBetaRule(2, 1), alpha_beta_rule(2, 1)),
    ],
    ids=["epsilon", "alpha1_beta0", "alpha2_beta1"],
)
def test_lrp(images, rule, share):
    torch.manual_seed(2)
    first, second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, stride=2, padding=1)
    head = nn.Linear(48, 3)
    layers = first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), head
    model = nn.Sequential(*layers).double()
    inputs = images - 0.4
    result = UniformLRP(model, rule).attribute(inputs, target=1)
    matrices = [dense(first, 3, 7, 8), dense(second, 4, 7, 8), (head.weight, head.bias)]
    matrices = [tuple(part.detach() for part in each) for each in matrices]
    for x, attribution in zip(inputs, result, strict=True):
        assert_equal(attribution.flatten(), lrp(matrices, x.flatten(), 1, share))
