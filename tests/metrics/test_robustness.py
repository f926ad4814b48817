"""Infidelity and sensitivity: zero where an explanation is exact, known where it is not."""

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from captum_ext.metrics import perturbations, robustness
from captum_ext.metrics.robustness import infidelity, max_sensitivity
from captum_ext.registry import get_method

SIZE = 8


@pytest.fixture
def images():
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 3)).double()


@pytest.fixture
def curved(linear):
    return nn.Sequential(linear, nn.Tanh())


def slopes(linear, target):
    return linear[1].weight[target].detach().reshape(3, SIZE, SIZE)


def is_zero(result):
    return torch.allclose(result, torch.zeros_like(result), atol=1e-15)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("baseline", [None, 0.3])
def test_shares_of_a_linear_output_have_no_infidelity_to_squares(
    linear, images, baseline, normalize
):
    shares = slopes(linear, 1) * (images - (baseline or 0))
    settings = {"baselines": baseline, "normalize": normalize}
    assert is_zero(infidelity(linear, images, shares, 1, **settings))
    assert not is_zero(infidelity(linear, images, shares.roll(1, 3), 1, **settings))
    # A square takes a pixel with all its channels.
    assert is_zero(infidelity(linear, images, shares.sum(1, keepdim=True), 1, **settings))


def test_slopes_of_a_linear_output_have_no_infidelity_to_noise(linear, images):
    exact = torch.stack([slopes(linear, 2), slopes(linear, 0)])
    assert is_zero(infidelity(linear, images, exact, [2, 0], perturbation="noise"))
    assert not is_zero(infidelity(linear, images, exact, [0, 2], perturbation="noise"))


def test_squares_cover_each_side_and_reach_every_corner():
    perturb = perturbations.squares(torch.zeros(1, 1, 6, 28), 500, seed=0)
    inside, perturbed = perturb(torch.ones(500, 1, 6, 28))
    assert torch.equal(perturbed, 1 - inside)
    assert set(inside.sum((1, 2, 3)).tolist()) == {1, 4}
    images = torch.ones(2000, 1, 14, 14)
    inside, _ = perturbations.squares(images[:1], 2000, seed=0)(images)
    assert set(inside.sum((1, 2, 3)).tolist()) == {1, 4, 9, 16, 25}
    assert inside[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].any(0).all()


def test_normalized_infidelity_knows_no_scale_and_is_bounded_by_that_of_zeros(curved, images):
    attributions = torch.randn_like(images)
    score = infidelity(curved, images, attributions, 1)
    torch.testing.assert_close(score, infidelity(curved, images, -7 * attributions, 1))
    zeros = torch.zeros_like(images)
    worst = infidelity(curved, images, zeros, 1, normalize=False)
    torch.testing.assert_close(infidelity(curved, images, zeros, 1), worst)
    assert (score < worst).all()


@pytest.mark.parametrize("perturbation", ["square", "noise"])
def test_infidelity_depends_neither_on_batch_mates_nor_on_the_batch_size(
    curved, images, perturbation, monkeypatch
):
    def score(rows):
        return infidelity(
            curved, images[rows], images[rows], [0, 1][rows], perturbation=perturbation
        )

    both, alone = score(slice(0, 2)), score(slice(1, 2))
    monkeypatch.setattr(robustness, "default_batch_size", lambda *_: 7)
    torch.testing.assert_close(both[1:], alone)
    torch.testing.assert_close(score(slice(0, 2)), both)


def test_a_perturbation_may_be_a_function_in_captums_form(linear, images):
    def halve(x):
        return x / 2, x / 2

    torch.testing.assert_close(
        infidelity(linear, images, torch.zeros_like(images), 1, perturbation=halve),
        (linear(images) - linear(images / 2))[:, 1].detach() ** 2,
    )


@pytest.mark.parametrize("method", ["saliency", captum.attr.Saliency, get_method("saliency")])
def test_slopes_of_a_linear_output_do_not_move(linear, images, method):
    assert is_zero(max_sensitivity(linear, images, images, 1, method=method))


def test_sensitivity_is_the_largest_relative_change():
    images = torch.ones(3, 1, SIZE, SIZE)
    result = max_sensitivity(nn.Flatten(), images, images, 0, method=lambda x, _: x)
    # The root mean square of a uniform shift in [-r, r].
    torch.testing.assert_close(result, torch.full((3,), 0.02 / 3**0.5), rtol=0.15, atol=0)
    many = {"perturb_radius": 0.1, "n_perturb_samples": 50}
    more = max_sensitivity(nn.Flatten(), images, images, 0, method=lambda x, _: x, **many)
    assert (more > 5 * result).all()


def test_only_the_image_makes_a_difference_to_a_random_method(linear, images):
    result = max_sensitivity(linear, images, images, method=lambda x, _: torch.rand_like(x))
    assert is_zero(result)


def test_sensitivity_does_not_depend_on_batch_mates(curved, images):
    settings = {"method": "smooth_grad", "arguments": {"nt_samples": 3}, "generator": 5}
    both = max_sensitivity(curved, images, images, [0, 2], **settings)
    alone = max_sensitivity(curved, images[1:], images[1:], [2], **settings)
    torch.testing.assert_close(both[1:], alone)
    assert (both > 0).all()


def test_the_explained_class_stays_that_of_the_unchanged_image(images):
    asked = []

    def method(image, target):
        asked.append(int(target))
        return image

    def model(x):
        return torch.stack([x[:, 0, 0, 0], x[:, 0, 0, 0].detach() * 0 + images[0, 0, 0, 0]], 1)

    max_sensitivity(model, images[:1], images[:1], method=method)
    assert len(asked) == 11
    assert len(set(asked)) == 1


def test_a_gradient_can_be_taken_inside_a_function(curved, images):
    def gradient(image, target):
        image = image.requires_grad_()
        return torch.autograd.grad(curved(image)[:, target].sum(), image)[0]

    by_hand = max_sensitivity(curved, images, images, 1, method=gradient)
    by_name = max_sensitivity(
        curved, images, images, 1, method="saliency", arguments={"abs": False}
    )
    torch.testing.assert_close(by_hand, by_name)


@pytest.mark.parametrize("metric", [infidelity, max_sensitivity])
def test_seeds_decide_and_nothing_is_left_changed(curved, images, metric):
    settings = {"method": "saliency"} if metric is max_sensitivity else {}
    dropping = nn.Sequential(nn.Dropout(0.1), curved).train()
    x, before = images.clone(), {k: v.clone() for k, v in curved.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    scores = [metric(dropping, x, x, 0, generator=seed, **settings) for seed in (1, 1, 2)]
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert torch.equal(x, images)
    assert all(torch.equal(before[k], v) for k, v in curved.state_dict().items())
    assert all(parameter.grad is None for parameter in curved.parameters())
    assert dropping.training


def test_results_are_never_of_half_precision(linear, images):
    half = images.to(torch.bfloat16)
    assert infidelity(linear.bfloat16(), half, half.double(), 1).dtype == torch.float64
    assert infidelity(linear, half, half, 1).dtype == torch.float32
    assert max_sensitivity(linear, half, half, 1, method="saliency").dtype == torch.float32


def test_a_map_that_is_not_finite_costs_its_example_only(linear, images):
    def broken(inputs, target):
        return inputs / (inputs != images[1:2]).any()

    with pytest.warns(UserWarning, match=r"no sensitivity \(NaN\) for examples \[1\]"):
        scores = max_sensitivity(linear, images[:2], images[:2], 1, method=broken)
    assert scores.isnan().tolist() == [False, True]


@pytest.mark.parametrize(
    ("metric", "change", "message"),
    [
        (infidelity, {"perturbation": "squares"}, "unknown perturbation 'squares'"),
        (infidelity, {"n_perturb_samples": 0}, "n_perturb_samples must"),
        (infidelity, {"noise_std": 0}, "noise_std must"),
        (infidelity, {"baselines": torch.zeros(2)}, "baselines must"),
        (infidelity, {"attributions": torch.zeros(2, 2, SIZE, SIZE)}, "attributions must"),
        (infidelity, {"forward_func": 3}, "forward_func must"),
        (max_sensitivity, {"method": "salience"}, "unknown method 'salience'"),
        (max_sensitivity, {"method": 3}, "method must"),
        (max_sensitivity, {"method": "deep_lift"}, "torch.nn.Module"),
        (max_sensitivity, {"perturb_radius": -1}, "perturb_radius must"),
        (max_sensitivity, {"target": [0]}, "target must"),
    ],
)
def test_arguments_are_checked_before_the_model_runs(images, metric, change, message):
    def model(x):
        raise RuntimeError("the model has run")

    call = {"forward_func": model, "inputs": images, "attributions": images}
    call |= {"method": "saliency"} if metric is max_sensitivity else {}
    with pytest.raises((TypeError, ValueError), match=message):
        metric(**call | change)


def test_a_method_that_gives_something_else_is_named(linear, images):
    with pytest.raises(ValueError, match="the result of method must have the shape"):
        max_sensitivity(linear, images, images, 0, method=lambda x, _: x[..., :2])
