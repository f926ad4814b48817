import io
import warnings
from contextlib import redirect_stderr

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

import captum_ext
import saliency_adapters
from captum_ext.attr import GeneticIPHA
from captum_ext.call_model import call_model_function
from captum_ext.forward import count_passes
from captum_ext.perturbation import grid_masks

SIDE, KNOWN = 32, 20
ONE = {"n_generations": 12, "population_size": 12, "n_parents": 4, "threshold": None}


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def known_pixels(seed):
    """The numbers of 20 pixels of 32 x 32."""
    return torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(seed))[:KNOWN]


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6**2, 4), nn.Softmax(1)
    return nn.Sequential(*layers).double().eval()


@pytest.fixture
def images():
    return rand(3, 3, 8, 8)


def recall(heat, pixels):
    best = heat[0, 0].flatten().abs().argsort(descending=True)[:KNOWN]
    return len(set(best.tolist()) & set(pixels.tolist())) / KNOWN


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("model", ["mean", "log-odds of the sum, half of them against"])
def test_k_known_pixels_are_found_with_3000_evaluations(model, seed):
    pixels = known_pixels(seed + 100)
    speaks_for = torch.ones(KNOWN, dtype=torch.bool)

    def score(x):
        seen = x.flatten(1)[:, pixels]
        if model == "mean":
            return seen.mean(1)
        return torch.sigmoid(seen @ torch.where(speaks_for, 1.0, -1.0).double())

    if model.startswith("log-odds"):
        speaks_for[KNOWN // 2 :] = False
    image = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64)
    (search,) = GeneticIPHA(score).search(
        image, 0, n_generations=59, threshold=None, generator=seed
    )
    assert len(search.scores) <= 3003  # 60 x 50, the whole, nothing, the complement of the best
    assert torch.equal(search.important[0].flatten()[pixels], speaks_for)
    heat = search.attribution("effect")[0][None]
    assert recall(heat, pixels) == 1
    assert torch.equal(heat.flatten()[pixels] > 0, speaks_for)


def test_the_best_score_never_falls_and_every_mask_is_scored_once(model, images):
    with count_passes(model) as passes:
        searches = GeneticIPHA(model).search(images, 0, 1, **ONE)
    assert passes.forward == sum(len(search.scores) for search in searches)
    for search in searches:
        assert (search.best.diff() >= 0).all()
        assert (search.mean <= search.best).all()
        assert len(search.best) == len(search.evaluations) == 1 + ONE["n_generations"]
        assert (search.evaluations.diff() > 0).all()
        assert len({tuple(mask.tolist()) for mask in search.masks}) == len(search.masks)


@pytest.mark.parametrize("objective", ["preserve", "delete", "both"])
@pytest.mark.parametrize("strategy", ["genetic", "hill_climbing"])
def test_scores_are_those_of_the_masks(model, images, objective, strategy):
    settings = ONE | {"objective": objective, "strategy": strategy}
    baselines = rand(1, 3, 8, 8, seed=1)
    for image, search in zip(
        images, GeneticIPHA(model).search(images, baselines, 2, **settings), strict=True
    ):
        parts = torch.stack([image, search.important_only[0], search.unimportant_only[0]])
        with torch.no_grad():
            scores = model(parts)[:, 2].tolist()
        told = [search.score, search.important_score, search.unimportant_score]
        assert told == pytest.approx(scores, abs=1e-12)
        assert search.important_impact == pytest.approx(abs(scores[0] - scores[1]), abs=1e-12)
        assert search.unimportant_impact == pytest.approx(abs(scores[0] - scores[2]), abs=1e-12)
        masks = search.masks.reshape(-1, 1, 8, 8)
        with torch.no_grad():
            again = model(torch.where(masks, image, baselines))[:, 2]
        assert torch.allclose(search.scores, again, atol=1e-12)
        shown = search.scores[2:]  # without the whole image and without any of it
        assert search.unimportant_score == shown.min()
        if objective == "preserve":
            assert search.best[-1] == pytest.approx(search.important_score, abs=1e-9)
        elif objective == "delete":
            assert search.best[-1] >= 1 - shown.min() - 1e-9


def test_the_unimportant_mask_may_be_the_complement_of_the_important_one():
    # The lower, the more of the left column is shown: no random mask hides all of it.
    image = torch.ones(1, 1, 6, 12, dtype=torch.float64)
    (search,) = GeneticIPHA(lambda x: x[..., :6].mean((1, 2, 3))).search(
        image, 0, n_generations=60, population_size=20, n_parents=5
    )
    assert search.important[0][0, :, :6].all()
    assert torch.equal(search.unimportant[0], ~search.important[0])
    assert (search.important_score, search.unimportant_score) == (1, 0)


def test_delete_finds_what_must_go():
    def either(x):
        """Each half is enough."""
        return torch.maximum(x[..., :4].mean((1, 2, 3)), x[..., 4:].mean((1, 2, 3)))

    image = torch.ones(1, 1, 2, 8, dtype=torch.float64)
    settings = {"n_generations": 200, "population_size": 20, "n_parents": 5, "sparsity": 0.3}
    masks = {
        objective: GeneticIPHA(either).search(image, 0, objective=objective, **settings)[0]
        for objective in ("preserve", "delete")
    }
    assert masks["preserve"].important[0].sum() == 8
    assert masks["preserve"].important_score == 1
    assert masks["delete"].important[0].all()


def test_sparsity_leaves_out_what_does_not_matter():
    def score(x):
        return x[:, 0, 2, 2:5].mean(1)

    image = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    settings = {"n_generations": 80, "generator": 1}
    (free,) = GeneticIPHA(score).search(image, 0, **settings)
    (priced,) = GeneticIPHA(score).search(image, 0, sparsity=0.1, **settings)
    assert free.important_score == priced.important_score == 1
    assert free.important[0].sum() > 15
    assert priced.important[0].nonzero().tolist() == [[0, 2, 2], [0, 2, 3], [0, 2, 4]]


def test_the_same_seed_gives_the_same_masks_whatever_the_batch(model, images):
    method = GeneticIPHA(model)
    mask = torch.arange(64).reshape(1, 1, 8, 8).repeat(3, 1, 1, 1)
    mask[1] //= 7  # another number of features
    expected = method.search(images, 0, [0, 1, 2], feature_mask=mask, generator=5, **ONE)
    for size in (1, 7):
        found = method.search(
            images,
            0,
            [0, 1, 2],
            feature_mask=mask,
            generator=5,
            perturbations_per_eval=size,
            **ONE,
        )
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.important[0], other.important[0])
            assert torch.equal(one.masks, other.masks)
    for number in range(3):
        own = slice(number, number + 1)
        (alone,) = method.search(images[own], 0, number, feature_mask=mask[own], generator=5, **ONE)
        assert torch.equal(alone.masks, expected[number].masks)
    other = method.search(images, 0, [0, 1, 2], feature_mask=mask, generator=6, **ONE)
    assert not torch.equal(other[0].masks, expected[0].masks)


def test_it_stops_at_a_probability_of_one_or_at_the_threshold():
    image = torch.ones(1, 1, 4, 4, dtype=torch.float64)

    def run(score, **settings):
        (search,) = GeneticIPHA(score).search(image, 0, n_generations=300, **settings)
        return search

    def first(x):
        return x[:, 0, 0, 0]

    assert len(run(first).best) == 1  # the first generation has it
    assert len(run(lambda x: 0.995 * first(x)).best) == 11
    assert len(run(lambda x: 0.995 * first(x), patience=4).best) == 5
    assert len(run(lambda x: 0.9 * first(x), threshold=0.85, patience=4).best) == 5
    # Sixteen pixels have few masks: when all are tried, that is the end, too.
    assert len(run(lambda x: 0.9 * first(x), feature_mask=_halves()).scores) == 4
    # Scores of any kind know no highest one.
    assert len(run(lambda x: 5 * first(x), probabilities=None, patience=4).best) == 5
    assert len(run(first, threshold=None, patience=4).best) == 301


def _halves():
    return (torch.arange(16) // 8).reshape(1, 1, 4, 4)


def test_attributions_have_their_meaning(model, images):
    method, settings = GeneticIPHA(model), ONE | {"generator": 3}
    (search, *_) = method.search(images, 0, 1, **settings)
    mask = method.attribute(images, 0, 1, attribution="mask", **settings)
    assert torch.equal(mask[0].bool(), search.important[0])
    frequency = method.attribute(images, 0, 1, attribution="frequency", **settings)
    assert frequency.min() >= 0 and frequency.max() <= 1 and len(frequency.unique()) > 10
    assert torch.equal(frequency[:, 0], frequency[:, 2])
    effect = method.attribute(images, 0, 1, **settings)
    assert torch.allclose(effect[0], search.attribution("effect")[0])
    assert (effect < 0).any() and (effect > 0).any()


def test_effects_of_an_additive_score_are_its_terms():
    terms = rand(3, 4, 4, seed=2) - 0.5
    image = rand(1, 3, 4, 4)
    heat = GeneticIPHA(lambda x: (x * terms).sum((1, 2, 3))).attribute(
        image, 0, probabilities=None, n_generations=40, threshold=None
    )
    # Each feature is a pixel with its channels; little is shrunk where effects add up.
    assert torch.allclose(heat[0, 0], (image[0] * terms).sum(0), atol=0.02)


def test_features_follow_the_mask_across_inputs():
    x, y = torch.ones(1, 4, dtype=torch.float64), torch.ones(1, 2, 3, dtype=torch.float64)
    masks = (torch.tensor([[0, 1, 2, 2]]), torch.tensor([[[1, 1, 1], [3, 4, 4]]]))

    def score(x, y):
        return (x[:, 1] + y[:, 0].sum(1)) / 4

    found = GeneticIPHA(score).attribute((x, y), (0, 0), feature_mask=masks, n_generations=10)
    assert found[0][0].abs().argmax() == 1
    assert torch.equal(found[1][0, 0], found[0][0, 1].expand(3))
    assert found[0][0, 0].abs() < 0.1 * found[0][0, 1]


def test_a_feature_that_equals_its_baseline_is_never_kept_nor_attributed(model, images):
    baselines = torch.zeros_like(images)
    baselines[:, :, :4] = images[:, :, :4]
    (search, *_) = GeneticIPHA(model).search(images, baselines, 1, **ONE)
    for kind in ("effect", "mask", "frequency"):
        assert not search.attribution(kind)[0][:, :4].any(), kind
        assert search.attribution(kind)[0][:, 4:].any(), kind


def test_a_constant_score_is_said_to_be_one(model, images):
    method = GeneticIPHA(model)
    baselines = torch.zeros_like(images)
    baselines[1] = images[1]
    with pytest.warns(UserWarning, match=r"score of examples \[1\] is the same"):
        found = method.attribute(images, baselines, 1, **ONE)
    assert not found[1].any() and found[0].any() and found[2].any()
    alone = method.attribute(images[:1], baselines[:1], 1, **ONE)
    assert torch.allclose(found[:1], alone)
    with pytest.warns(UserWarning, match=r"examples \[0, 1, 2\]"):
        searches = GeneticIPHA(lambda x: torch.full((len(x),), 0.25)).search(images, 0)
    for search in searches:
        assert search.level and not search.important[0].any()
        assert len(search.best) == 11  # and that is why it stopped
        for kind in ("effect", "mask", "frequency"):
            assert not search.attribution(kind)[0].any()


def test_softmax_is_taken_of_logits(images):
    torch.manual_seed(0)
    logits = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).double()
    given = nn.Sequential(logits, nn.Softmax(1))
    expected = GeneticIPHA(given).attribute(images, 0, 1, **ONE)
    for probabilities in ("auto", "softmax", lambda outputs: outputs.softmax(1)):
        found = GeneticIPHA(logits).attribute(images, 0, 1, probabilities=probabilities, **ONE)
        assert torch.allclose(found, expected)
    raw = GeneticIPHA(logits).attribute(images, 0, 1, probabilities=None, **ONE)
    assert not torch.allclose(raw, expected)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"population_size": 1}, ValueError, "population_size must be at least 2; got 1"),
        ({"n_parents": 51}, ValueError, "n_parents must be at most population_size, 50; got 51"),
        ({"n_parents": 0}, ValueError, "n_parents must be at least 1; got 0"),
        ({"crossover_probability": 1.1}, ValueError, "crossover_probability must be at least 0"),
        ({"mutation_probability": -0.1}, ValueError, "mutation_probability must be at least 0"),
        ({"n_generations": 0}, ValueError, "n_generations must be at least 1; got 0"),
        ({"patience": 0}, ValueError, "patience must be at least 1; got 0"),
        ({"min_gain": -1}, ValueError, "min_gain must be at least 0"),
        ({"sparsity": float("nan")}, ValueError, "sparsity must be"),
        ({"threshold": "high"}, TypeError, "threshold must be a number; got 'high'"),
        ({"objective": "presrve"}, ValueError, "did you mean 'preserve'"),
        ({"strategy": "climb"}, ValueError, "unknown strategy 'climb'"),
        ({"attribution": "efect"}, ValueError, "did you mean 'effect'"),
        ({"probabilities": "sigmoid"}, ValueError, "unknown probabilities 'sigmoid'"),
        ({"generator": 0.5}, TypeError, "generator must be"),
        ({"baselines": torch.zeros(2, 3, 8, 8)}, ValueError, "baselines must have the shape"),
        ({"feature_mask": torch.zeros(1, 1, 4, 8).long()}, ValueError, "feature_mask must have"),
        ({"feature_mask": torch.zeros(1, 1, 8, 8)}, TypeError, "feature_mask must be tensors of"),
        ({"perturbations_per_eval": 0}, ValueError, "perturbations_per_eval must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_before_the_model_runs(model, images, settings, error, message):
    with count_passes(model) as passes, pytest.raises(error, match=message):
        GeneticIPHA(model).attribute(images, **({"baselines": 0, "target": 1} | settings))
    assert passes.total == 0


def test_a_score_that_is_not_finite_or_no_probability_is_refused(images):
    def hole(x):
        return torch.where((x[:, 0, 0, 0] == 0), float("nan"), x.mean((1, 2, 3)))

    for probabilities in ("auto", None):
        with pytest.raises(ValueError, match=r"finite.* got NaN or infinite"):
            GeneticIPHA(hole).attribute(images, 0, probabilities=probabilities)
    with pytest.raises(ValueError, match=r"must be probabilities in \[0, 1\]"):
        GeneticIPHA(lambda x: x.sum((1, 2, 3))).attribute(images, 0)
    with pytest.raises(ValueError, match="target must select one output"):
        GeneticIPHA(lambda x: x.flatten(1).softmax(1)).attribute(images, 0)


def test_progress_goes_to_stderr(model, images):
    stream = io.StringIO()
    with redirect_stderr(stream):
        GeneticIPHA(model).attribute(images, 0, 1, show_progress=True, **ONE)
    assert "Genetic IPHA" in stream.getvalue()


def test_it_is_there_everywhere(model, images):
    captum_ext.register()
    try:
        registered = captum.attr.GeneticIPHA
    finally:
        captum_ext.unregister()
    assert registered is GeneticIPHA
    torch_model = model.float()
    image = images[:1].float()
    heat = captum_ext.explain(torch_model, image, 1, "genetic_ipha")
    assert len(heat[0, 0].unique()) > 10
    mask = saliency_adapters.GeneticIPHA(**ONE, generator=0).GetMask(
        image[0].movedim(0, -1).numpy(), call_model_function(torch_model, target=1)
    )
    assert mask.shape == (8, 8, 3)
    assert np.isfinite(mask).all() and mask.any()


def test_no_warning_where_there_is_nothing_to_warn_of(model, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GeneticIPHA(model).attribute(images, 0, 1, feature_mask=grid_masks((images,))[0], **ONE)


def test_a_score_that_only_nothing_lowers_is_not_constant():
    """Any half of the pixels has the highest score; the empty mask, which has not, is no find."""
    image = torch.ones(1, 1, 8, 8, dtype=torch.float64)

    def any_of(x):
        return x.flatten(1).amax(1)

    for score, settings in (
        (any_of, {}),
        (lambda x: 0.9 * any_of(x), {"n_generations": 15}),
        (any_of, {"n_generations": 15, "threshold": None}),
    ):
        (search,) = GeneticIPHA(score).search(image, 0, **settings)
        assert not search.level and search.important[0].any()
        assert search.important_score == pytest.approx(float(search.best[-1]))
        assert search.unimportant[0].any() and search.unimportant_score > 0


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_effects_of_few_features_are_right_as_well(count):
    terms = torch.tensor([0.6, 0.3, -0.2, 0.1, 0.05, 0.0, 0.4, -0.1], dtype=torch.float64)[:count]
    ones = torch.ones(1, count, dtype=torch.float64)
    method = GeneticIPHA(lambda x: x @ terms)
    (search,) = method.search(ones, 0, probabilities=None, n_generations=30, threshold=None)
    assert search.effects.scale == "score"
    assert torch.allclose(search.attribution("effect")[0], terms, atol=0.02)
    frequency = search.attribution("frequency")[0]
    assert (frequency[terms > 0.2] >= frequency[terms > 0.2].min()).all()
    assert frequency.max() <= 1


def test_models_may_return_decisions(images):
    heat = GeneticIPHA(lambda x: (x[:, 0, :4].mean((1, 2)) > 0.3).int()).attribute(
        images, 0, probabilities=None, **ONE
    )
    assert heat[:, 0, :4].abs().mean() > heat[:, 0, 4:].abs().mean()


def test_what_is_found_does_not_change_with_the_inputs(model, images):
    inputs = images.clone()
    (search, *_) = GeneticIPHA(model).search(inputs, 0, 1, **ONE)
    before = search.important_only[0].clone()
    inputs.zero_()
    assert torch.equal(search.important_only[0], before)


def test_what_is_no_argument_of_a_search_is_named(model, images):
    with pytest.raises(TypeError, match="search has no setting attribution, foo; use"):
        GeneticIPHA(model).search(images, 0, 1, foo=1, attribution="mask")
    with pytest.raises(ValueError, match="threshold must be at most 1; got 99"):
        GeneticIPHA(model).search(images, 0, 1, threshold=99)
