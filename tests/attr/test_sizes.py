"""Sizes that no memory holds are refused by name, before anything is made of them."""

import numpy as np
import pytest
import torch

from captum_ext import baselines, explain
from captum_ext import perturbation as parts
from captum_ext.attr import IG2, GuidedIG
from captum_ext.checks import check_int, check_number, described
from captum_ext.forward import Normalize

ARGUMENTS = {
    "rise": ["n_samples", "perturbations_per_eval"],
    "segment_lime": ["n_samples"],
    "segment_shap": ["n_samples"],
    "pda": ["n_samples", "n_train", "n_classes", "sliding_window_shapes", "strides"],
    "genetic_ipha": ["n_generations", "population_size", "n_parents", "patience"],
    "meaningful_perturbation": ["n_steps", "mask_size", "smoothing", "jitter"],
    "blur_ig": ["n_steps", "max_sigma", "grad_step", "internal_batch_size"],
    "guided_ig": ["n_steps", "internal_batch_size"],
    "ig2": ["n_steps", "patience", "internal_batch_size"],
    "image_ig": ["n_steps", "num_alphas"],
    "xrai": ["n_steps", "min_pixel_diff"],
}
IMAGE = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))


class Means(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.last(x.mean((2, 3))).softmax(1)


@pytest.mark.parametrize("size", [10**19, 10**400], ids=["large", "immense"])
@pytest.mark.parametrize(
    ("method", "name"), [(method, name) for method, names in ARGUMENTS.items() for name in names]
)
def test_arguments_of_methods(method, name, size):
    with pytest.raises(ValueError, match=rf"{name} must (not be|be .*at most)"):
        explain(Means(), IMAGE[None], 0, method, **{name: size})


@pytest.mark.parametrize("size", [10**9, 10**19])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("rows", lambda size: parts.Grid(size, 1)(IMAGE)),
        ("sigma", lambda size: parts.Fade(parts.Grid(2, 2), size)(IMAGE)),
        ("sigma", lambda size: baselines.blur(IMAGE[None], sigma=size)),
        ("n", lambda size: baselines.gaussian_noise(IMAGE[None], n=size)),
        ("n_samples", lambda size: parts.ShapSampler()(36, size)),
        ("n_samples", lambda size: parts.BernoulliSampler()(36, size)),
        ("repeats", lambda size: parts.SingleFeatureSampler(repeats=size)),
        ("n_bins", parts.ColorHistogram),
        ("levels", parts.Uniform),
        ("radius", lambda size: parts.Inpaint("biharmonic", size)),
    ],
)
def test_arguments_of_parts(name, make, size):
    with pytest.raises(ValueError, match=f"{name} must be .*at most"):
        make(size)


def test_sizes_that_only_together_are_too_large():
    with pytest.raises(ValueError, match=r"repeats must be at most 429 for 3163 segments"):
        parts.SingleFeatureSampler(repeats=1000)(3163)
    images = torch.rand(1, 3, 100, 100)
    for method, more in ((GuidedIG(Means()), {}), (IG2(Means()), {"baselines": images})):
        with pytest.raises(ValueError, match=r"n_steps must be at most 14\d+ where all points"):
            method.attribute(images, target=0, n_steps=10**6, return_path=True, **more)


@pytest.mark.parametrize("value", [torch.full((4, 4), 0.123), np.full((4, 4), 0.123)])
def test_values_of_a_tensor_never_stand_in_a_message(value):
    calls = [
        lambda: check_int(value, "n", 1),
        lambda: check_number(value, "n"),
        lambda: explain(Means(), IMAGE[None], 0, "rise", per=value),
        lambda: explain(Means(), IMAGE[None], 0, "pda", sliding_window_shapes=(value, value)),
        lambda: explain(Means(), IMAGE[None], 0, "meaningful_perturbation", mask_size=[value]),
        lambda: parts.Uniform([value, "a"]),
        lambda: Normalize(value * float("nan"), [1.0]),
        lambda: Normalize([0.0] * 16, -value),
        lambda: parts.SolidColor(value.flatten()).check(IMAGE, 1),
        lambda: baselines.black(IMAGE[None], mean=[0.5] * 3, std=-value[0, :3], normalized=True),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError)) as raised:
            call()
        assert "0.123" not in str(raised.value) and "tensor(" not in str(raised.value)


def test_a_number_that_python_does_not_write_is_refused_all_the_same():
    for check in (lambda size: check_int(size, "n", 1, 9), lambda size: check_number(size, "n")):
        with pytest.raises(ValueError, match=r"n must be .*; got a number too long to show"):
            check(10**5000)


def test_a_value_is_described_in_a_few_words():
    assert described(torch.zeros(3, 4)) == "a tensor of shape (3, 4)"
    assert described([np.zeros(2)] * 9).count("an array of shape (2,)") == 4
    assert described("logits") == "'logits'" and described(10**19) == str(10**19)
    assert len(described({str(number): list(range(99)) for number in range(99)})) < 200
