"""The perturbation methods against their equations, from the same draws."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from captum_ext.attr import PDA, GeneticIPHA, MeaningfulPerturbation
from captum_ext.exam import CenterPixelModel
from captum_ext.perturbation import ConditionalGaussian, Empirical, Marginal, Uniform
from captum_ext.randomness import example_generator
from tests.naive import marginals
from tests.naive.conftest import assert_equal, of_class, rand
from tests.naive.genetic_ipha import effects, search
from tests.naive.meaningful_perturbation import meaningful_perturbation
from tests.naive.prediction_difference import difference, prediction_difference, windows
from tests.naive.resampling import blur

GOLDEN = Path(__file__).parents[1] / "golden" / "center_pda_9.npz"
MODES = ("evidence", "information", "probability")


class Recorded(Marginal):
    """Another marginal, whose draws for one example are kept: one tensor for each window."""

    def __init__(self, marginal):
        self.marginal, self.draws, self.noise = marginal, [], []

    def count(self, n_values, n_samples):
        return self.marginal.count(n_values, n_samples)

    def draw(self, x, region, count, generator):
        again = torch.Generator()
        again.set_state(generator.get_state())
        shape = (count, len(region))
        self.noise.append(torch.randn(shape, generator=again, dtype=torch.float64))
        self.draws.append(self.marginal.draw(x, region, count, generator))
        return self.draws[-1].clone()


def compare(mode, n_classes=3):
    return partial(difference, mode=mode, n_train=1000 * n_classes, n_classes=n_classes)


@pytest.mark.parametrize("mode", MODES)
def test_prediction_difference_with_uniform_levels(classifier, mode):
    images, levels = rand(2, 3, 7, 8), [0.0, 0.3, 1.0]
    result = PDA(classifier).attribute(
        images, Uniform(levels), target=1, mode=mode, probabilities="given"
    )
    draws = [marginals.uniform(levels, 3, 1)] * 56
    for x, attribution in zip(images, result, strict=True):
        expected = prediction_difference(of_class(classifier, 1), x, 1, 1, draws, compare(mode))
        assert_equal(attribution, expected)


@pytest.mark.parametrize("mode", MODES)
def test_prediction_difference_with_other_images(classifier, images, mode):
    data = rand(5, 3, 7, 8, seed=1)
    result = PDA(classifier).attribute(
        images,
        Empirical(data),
        target=2,
        sliding_window_shapes=3,
        strides=2,
        mode=mode,
        probabilities="given",
    )
    draws = [marginals.empirical(data, *place, 3) for place in windows((7, 8), 3, 2)]
    for x, attribution in zip(images, result, strict=True):
        expected = prediction_difference(of_class(classifier, 2), x, 3, 2, draws, compare(mode))
        assert_equal(attribution, expected)


def test_prediction_difference_with_a_conditional_gaussian(classifier):
    images, data = rand(1, 3, 7, 8), rand(30, 3, 9, 9, seed=1)
    data = blur(data.flatten(0, 1), 0.8, replicate=True).reshape(data.shape)
    marginal = Recorded(ConditionalGaussian(data, patch=2, padding=1, regularization=1e-6))
    (result,) = PDA(classifier).attribute(
        images,
        marginal,
        target=1,
        sliding_window_shapes=2,
        strides=2,
        n_samples=4,
        probabilities="given",
    )
    patches = data.unfold(2, 4, 1).unfold(3, 4, 1).movedim(1, -1).reshape(-1, 4, 4, 3)
    variance = float(patches.var(0).mean())
    places, draws = windows((7, 8), 2, 2), []
    for (top, left), noise in zip(places, marginal.noise, strict=True):
        channels = []
        for channel, x in enumerate(images[0]):
            own = data[:, channel]
            given = marginals.conditional_gaussian(own, 1e-6 * variance, x, top, left, 2, 1)
            part = noise.reshape(4, 3, 4)[:, channel]
            channels.append(marginals.gaussian_draws(*given, part, own.min(), own.max()))
        draws.append(torch.stack(channels, 1).reshape(4, 3, 2, 2))
    for drawn, expected in zip(marginal.draws, draws, strict=True):
        assert_equal(drawn, expected.flatten(1))
    expected = prediction_difference(
        of_class(classifier, 1), images[0], 2, 2, draws, compare("evidence")
    )
    assert_equal(result, expected, atol=1e-8)


def test_naive_prediction_difference_is_the_published_one_of_the_center_pixel():
    case = np.load(GOLDEN)
    settings = {name: int(case[name]) for name in ("size", "alpha", "seed")}
    n_classes = int(case["classes"])
    model = CenterPixelModel(n_classes=n_classes, **settings)
    image = torch.from_numpy(case["image"] / 255)[None]
    draws = [marginals.uniform(np.arange(n_classes) / 255, 1, 1)] * 81
    found = prediction_difference(
        of_class(model, int(case["target"])),
        image,
        1,
        1,
        draws,
        compare("evidence", n_classes),
    )
    np.testing.assert_allclose(found[0], case["relevance"], atol=1e-6, rtol=0)
    assert found[0, 4, 4] > 10


def draws_of(seed, n_genes, size, n_parents, n_generations, rate):
    """What the search draws, in its order: the first masks, then those of each generation."""
    generator = example_generator(seed)
    torch.randperm(n_genes, generator=generator)
    first = torch.rand(size, n_genes, generator=generator) < 0.5
    generations = []
    for _ in range(n_generations):
        one = torch.randint(n_parents, (2, size), generator=generator).amin(0)
        further = torch.randint(n_parents - 1, (size,), generator=generator)
        cut = torch.randint(1, n_genes, (size,), generator=generator)
        crossed = torch.rand(size, generator=generator) < 0.7
        flips = torch.rand(size, n_genes, generator=generator) < rate
        cut = torch.where(crossed, cut, n_genes)
        other = (one + 1 + further) % n_parents
        columns = (each.tolist() for each in (one, other, cut, flips))
        generations.append(list(zip(*columns, strict=True)))
    return [tuple(mask) for mask in first.tolist()], generations


@pytest.mark.parametrize("seed", [0, 1])
def test_genetic_ipha(classifier, seed):
    image, baseline = rand(3, 7, 8, seed=seed), rand(3, 7, 8, seed=seed + 5)
    settings = {
        "target": 1,
        "n_generations": 8,
        "population_size": 12,
        "n_parents": 4,
        "mutation_probability": 0.1,
        "threshold": None,
        "probabilities": "given",
        "generator": seed,
    }
    first, generations = draws_of(seed, 56, 12, 4, 8, 0.1)

    def score(mask):
        kept = torch.tensor(mask).reshape(7, 8)
        return float(of_class(classifier, 1)(torch.where(kept, image, baseline)))

    shown, history = search(score, first, generations, 4)
    masks = [mask for mask, _, _ in shown]
    # Where a child is known already, the search varies it, and leaves the plain algorithm.
    assert len(set(masks)) == len(masks) == 12 * 9

    method = GeneticIPHA(classifier)
    (found,) = method.search(image[None], baseline[None], **settings)
    # It also shows the whole, nothing, and in the end the complement of the best.
    assert torch.equal(found.masks[2:-1], torch.tensor(masks))
    assert_equal(found.scores[2:-1], [value for _, value, _ in shown])
    best = torch.tensor(masks[history[-1][0]]).reshape(7, 8)
    assert torch.equal(found.important[0][0], best)

    w, scale = effects(shown)
    assert found.effects.scale == scale
    assert_equal(found.effects.values, w, atol=1e-6)
    elite = [[masks[number] for number in parents] for parents in history]
    frequency = torch.tensor(elite).double().mean((0, 1))
    expected = {"mask": best, "frequency": frequency.reshape(7, 8), "effect": w.reshape(7, 8)}
    for kind, map_ in expected.items():
        result = method.attribute(image[None], baseline[None], attribution=kind, **settings)
        assert_equal(result[0], map_.expand(3, -1, -1), atol=1e-6)


@pytest.mark.parametrize("mode", ["delete", "preserve"])
@pytest.mark.parametrize(("jitter", "lr"), [(0, 0.1), (2, 0.3)])
def test_meaningful_perturbation(classifier, images, mode, jitter, lr):
    references = torch.stack([blur(x, 2.0, replicate=True) * 0.3 for x in images])
    targets = (classifier(images) - classifier(references)).argmax(1).tolist()
    result = MeaningfulPerturbation(classifier).attribute(
        images,
        references,
        target=targets,
        mode=mode,
        n_steps=25,
        lr=lr,
        mask_size=(4, 5),
        smoothing=0.7,
        jitter=jitter,
        tv=0.2,
        tv_beta=2.5,
        generator=3,
    )
    generator = example_generator(3)
    shifts = [
        torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist() for _ in range(25)
    ]
    for x, reference, target, attribution in zip(images, references, targets, result, strict=True):
        expected = meaningful_perturbation(
            of_class(classifier, target),
            x,
            reference,
            (4, 5),
            0.7,
            shifts,
            mode,
            lr,
            tv=0.2,
            tv_beta=2.5,
        )
        assert 0.05 < expected.mean() < 0.95
        assert_equal(attribution, expected.expand(3, -1, -1), atol=1e-7)
