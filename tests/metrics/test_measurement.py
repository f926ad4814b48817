"""What every metric says where the model gives no number, and of arguments that are no images."""

import math
import warnings

import captum.metrics
import numpy as np
import pytest
import torch
from torch import nn

from captum_ext import metrics
from captum_ext.metrics import infidelity, max_sensitivity, parameter_randomization
from captum_ext.metrics.measurement import finite_or_nan, metric
from captum_ext.value_checks import AttributionWarning

SIDE = 8
MASK = torch.zeros(1, SIDE, SIDE)
MASK[:, :3] = 1
SETTINGS = {
    "pointing_game": {"mask": MASK},
    "relevance_mass": {"mask": MASK},
    "relevance_rank": {"mask": MASK},
    "top_k_intersection": {"mask": MASK},
    "max_sensitivity": {"method": "saliency", "n_perturb_samples": 2},
    "parameter_randomization": {"method": "saliency"},
    "shapley_agreement": {"shapley_values": torch.rand(2, 1, SIDE, SIDE)},
    "infidelity": {"n_perturb_samples": 4},
}
EVERY = [name for name in metrics.__all__ if name != "OcclusionCurves"]
OF_THE_MODEL = [
    name
    for name in EVERY
    if name not in ("gini", "shapley_agreement") and "mask" not in SETTINGS.get(name, {})
]


class Head(nn.Module):
    """Two outputs; those of the second example become ``value``, times the mean of the image."""

    def __init__(self, value):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([8.0, 1.0]))
        self.value = value

    def forward(self, x):
        outputs = x.mean((1, 2, 3))[:, None] * self.scale
        second = (x[:, 0, 0, 0] < 0.5)[:, None]
        return torch.where(second, outputs * 0 + self.value, outputs)


@pytest.fixture
def images():
    x = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    x[0], x[1, :, 0] = x[0] / 4 + 0.7, 0.1
    return x


@pytest.fixture
def maps():
    return torch.rand(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def measure(name, *call, **change):
    result = getattr(metrics, name)(*call, **SETTINGS.get(name, {}) | change)
    return result[0][:, 0] if name == "occlusion_curves" else result


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", OF_THE_MODEL)
def test_without_a_finite_output_there_is_no_number_and_one_warning(name, images, maps, value):
    with pytest.warns(AttributionWarning, match=r"NaN or infinite outputs, \d+ of \d+") as warned:
        result = measure(name, Head(value), images, maps, 0)
    assert result.isnan()[1]
    assert len([each for each in warned if each.category is AttributionWarning]) == 1
    assert warned[0].filename == __file__.replace(".pyc", ".py")


@pytest.mark.parametrize("method", ["integrated_gradients", "guided_ig", "occlusion"])
def test_a_method_that_fails_on_such_a_model_raises_no_error(images, method):
    for measure_method in (max_sensitivity, parameter_randomization):
        with pytest.warns(AttributionWarning, match="the model gave NaN or infinite outputs"):
            result = measure_method(Head(math.nan), images[1:], images[1:], 0, method=method)
        assert result.isnan().all()
    with pytest.warns(AttributionWarning):
        flat = max_sensitivity(lambda x: x.sum((1, 2, 3)) + math.nan, images, images, method=method)
    assert flat.isnan().all()


def test_other_classes_may_be_excluded_by_an_infinite_logit(images, maps):
    def model(x):
        return torch.stack([x.mean((1, 2, 3)), torch.full((len(x),), -math.inf)], dim=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.srg(model, images, maps, 0).isfinite().all()
        assert infidelity(model, images, maps, [0, 0], n_perturb_samples=3).isfinite().all()


def test_a_sound_model_gets_no_warning(images, maps):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("srg", "deletion", "insertion", "infidelity", "max_sensitivity", "gini"):
            assert measure(name, Head(0.0), images, maps, 0).isfinite().all()


def test_a_metric_in_a_metric_warns_with_it():
    @metric
    def inner(forward_func):
        return finite_or_nan(torch.tensor([math.nan, 1.0]))

    @metric
    def outer(forward_func):
        return inner(forward_func) + inner(forward_func)

    with pytest.warns(AttributionWarning, match="outer: .* outputs, 2 of 4") as warned:
        outer(None)
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.rand(SIDE, SIDE)}, r"\[B, C, H, W\].*\(8, 8\).*inputs\[None, None\]"),
        ({"inputs": torch.rand(3, SIDE, SIDE)}, r"\(3, 8, 8\); add the batch.*inputs\[None\]"),
        ({"inputs": np.zeros((2, 3, SIDE, SIDE))}, "inputs must be a tensor.*torch.from_numpy"),
        ({"inputs": (torch.rand(2, 3, SIDE, SIDE),) * 2}, "inputs must be a tensor; got tuple"),
        ({"attributions": torch.rand(SIDE, SIDE)}, r"attributions.*attributions\[None, None\]"),
        ({"attributions": torch.rand(2, SIDE, SIDE)}, r"add the channel.*attributions\[:, None\]"),
        ({"attributions": torch.rand(2, SIDE, SIDE, 3)}, r"attributions.movedim\(-1, 1\)"),
        ({"attributions": np.zeros((2, 3, SIDE, SIDE))}, "attributions must be a tensor.*from_num"),
        ({"attributions": torch.rand(2, 1, SIDE, SIDE) / 0}, "attributions must be finite"),
        ({"attributions": torch.rand(2, 1, SIDE, SIDE) + 1j}, "attributions must be of a floating"),
    ],
)
@pytest.mark.parametrize("name", EVERY)
def test_what_is_no_image_is_named_before_the_model_runs(name, images, maps, change, message):
    class Unused(nn.Module):
        def forward(self, x):
            raise RuntimeError("the model has run")

    call = {"forward_func": Unused(), "inputs": images, "attributions": maps} | change
    with pytest.raises((TypeError, ValueError), match=message):
        getattr(metrics, name)(**call, **SETTINGS.get(name, {}))


@pytest.mark.parametrize("name", ["srg", "deletion", "infidelity", "gini"])
def test_gradients_of_the_arguments_change_nothing(name, images, maps):
    expected = measure(name, Head(0.0), images, maps, 0)
    result = measure(name, Head(0.0), images.requires_grad_(), maps.requires_grad_(), 0)
    assert torch.equal(result, expected) and not result.requires_grad


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e6, 1e18])
@pytest.mark.parametrize("perturbation", ["square", "noise"])
def test_infidelity_of_exact_attributions_is_not_negative(images, perturbation, scale, normalize):
    exact = torch.full_like(images, scale) * (images if perturbation == "square" else 1)

    def model(x):
        return scale * x.flatten(1).sum(1)

    settings = {"perturbation": perturbation, "normalize": normalize, "n_perturb_samples": 10}
    for seed in range(4):
        result = infidelity(model, images, exact, generator=seed, **settings)
        assert (result >= 0).all()
        # Rounding of the model's sums, in single precision.
        assert (result <= (1e-4 * scale) ** 2 + 1e-40).all()


@pytest.mark.parametrize("normalize", [True, False])
def test_infidelity_is_captums(images, normalize):
    def halve(x):
        return x / 2, x / 2

    def model(x):
        return x.square().sum((1, 2, 3))

    decorated = captum.metrics.infidelity_perturb_func_decorator(False)(lambda x: x / 2)
    for perturbation in (halve, decorated):
        ours = infidelity(
            model, images, images, perturbation=perturbation, normalize=normalize,
            n_perturb_samples=3,
        )  # fmt: skip
        theirs = captum.metrics.infidelity(
            model, perturbation, images, images, n_perturb_samples=3, normalize=normalize
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-2)
    with pytest.raises(ValueError, match=r"perturbation must return .* got \(1, 3, 8, 7\)"):
        infidelity(model, images, images, perturbation=lambda x: (x[:1, ..., 1:], x))


def test_the_change_of_a_tiny_map_is_relative_to_it(images):
    large, tiny = (
        max_sensitivity(nn.Flatten(), images, images, 0, method=lambda x, _, f=f: f * x)
        for f in (1.0, 1e-30)
    )
    torch.testing.assert_close(large, tiny)
