import math

import pytest
import torch

from captum_ext.perturbation import (
    BernoulliSampler,
    FixedSampler,
    SampleProbabilitySampler,
    ShapSampler,
    SingleFeatureSampler,
)

RANDOM = [
    BernoulliSampler(0.3),
    SampleProbabilitySampler(),
    SampleProbabilitySampler("normal", scale=0.2),
    SampleProbabilitySampler("beta", a=2.0, b=5.0),
    ShapSampler(),
]


@pytest.mark.parametrize("sampler", RANDOM, ids=repr)
def test_the_seed_decides(sampler):
    first, again, other = (sampler(20, 100, generator=seed) for seed in (1, 1, 2))
    assert first.dtype == torch.bool and first.shape == (100, 20)
    assert torch.equal(first, again) and not torch.equal(first, other)
    state = torch.get_rng_state()
    sampler(20, 100, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)


def test_bernoulli_keeps_with_p():
    assert BernoulliSampler(0.2)(50, 4000, 0).double().mean().item() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    "sampler,mean",
    [
        (SampleProbabilitySampler("beta", a=2, b=8), 0.2),
        (SampleProbabilitySampler("beta", inverse=True, a=2, b=8), 0.8),
        (SampleProbabilitySampler("normal", loc=0.3, scale=0.01), 0.3),
        (SampleProbabilitySampler("uniform"), 0.5),
    ],
    ids=repr,
)
def test_a_drawn_probability_is_that_of_keeping(sampler, mean):
    kept = sampler(200, 4000, 0).double().mean(1)
    assert kept.mean().item() == pytest.approx(mean, abs=0.02)


def test_uniform_probabilities_spread_over_the_whole_range():
    kept = SampleProbabilitySampler("uniform")(500, 2000, 0).double().mean(1)
    deciles = torch.quantile(kept, torch.linspace(0.1, 0.9, 9).double())
    torch.testing.assert_close(deciles, torch.linspace(0.1, 0.9, 9).double(), atol=0.04, rtol=0)


def test_a_truncated_normal_stays_a_probability():
    kept = SampleProbabilitySampler("normal", loc=0.5, scale=5)(500, 2000, 0).double().mean(1)
    assert kept.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.02)


@pytest.mark.parametrize("inverse", [False, True])
def test_single_features_have_their_turn(inverse):
    samples = SingleFeatureSampler(inverse, add_all=True, add_none=True, repeats=2)(5)
    assert samples.shape == (12, 5)
    assert torch.equal(samples[:10:2], samples[1:10:2])
    assert torch.equal(samples[:10:2], torch.eye(5).bool() ^ (not inverse))
    assert not samples[10].any() and samples[11].all()


def test_single_features_decide_how_many_samples_there_are():
    assert SingleFeatureSampler()(5, 5).shape == (5, 5)
    with pytest.raises(ValueError, match=r"n_samples must be 6 for 5 segments, or None.*got 7"):
        SingleFeatureSampler(add_none=True)(5, 7)


@pytest.mark.parametrize("inverse", [False, True])
def test_shapley_order_goes_from_the_outside_in(inverse):
    samples = ShapSampler(inverse)(6, 14)
    kept = samples.sum(1).tolist()
    assert kept == ([0, 6] + [1] * 6 + [5] * 6 if inverse else [6, 0] + [5] * 6 + [1] * 6)
    assert len(samples.unique(dim=0)) == 14


@pytest.mark.parametrize("n_segments", [2, 3, 4, 7])
def test_shapley_order_ends_when_every_sample_was_there(n_segments):
    samples = ShapSampler()(n_segments, 10000)
    assert len(samples) == 2**n_segments == len(samples.unique(dim=0))


def test_the_last_group_that_does_not_fit_is_drawn_without_favor():
    perturbed = ~ShapSampler()(30, 2 + 60 + 200, generator=0)[62:]
    assert (perturbed.sum(1) == 2).all() and len(perturbed.unique(dim=0)) == 200
    assert perturbed.sum(0).min() > 4


@pytest.mark.parametrize("p", [0, 1, -0.1, 1.5, float("nan")])
def test_a_probability_lies_between_0_and_1(p):
    with pytest.raises(ValueError, match="p must be"):
        BernoulliSampler(p)


def test_unknown_distributions_and_settings():
    with pytest.raises(ValueError, match="unknown distribution 'gauss'"):
        SampleProbabilitySampler("gauss")
    with pytest.raises(TypeError, match="beta distribution has no argument scale; it takes a, b"):
        SampleProbabilitySampler("beta", scale=1)
    with pytest.raises(ValueError, match="scale must be above 0; got 0"):
        SampleProbabilitySampler("normal", scale=0)


def test_given_samples_are_checked():
    given = torch.tensor([[1, 0, 1], [0, 1, 1]])
    assert torch.equal(FixedSampler(given)(3), given.bool())
    with pytest.raises(ValueError, match=r"must have 4 columns.*got shape \(2, 3\)"):
        FixedSampler(given)(4)
    with pytest.raises(ValueError, match="n_samples must be 2, as given, or None; got 5"):
        FixedSampler(given)(3, 5)
    with pytest.raises(ValueError, match=r"1 \(keep\) and 0 \(perturb\) only"):
        FixedSampler(given * 2)
    with pytest.raises(TypeError, match="samples must be a tensor"):
        FixedSampler([[1, 0]])
