import pytest
import torch

from captum_ext.perturbation.mask_search import SearchSettings, effects, search_masks
from captum_ext.perturbation.mask_search.archive import ASIDE, DRAWN, Archive
from captum_ext.perturbation.mask_search.strategies import (
    NEVER,
    Genetic,
    HillClimbing,
    Population,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_masks(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed)) < 0.5


def additive(weights):
    """A score that is the sum of the weights of what is kept."""
    return lambda requests: [masks.double() @ weights for _, masks in requests]


def search(weights, live=None, seed=0, **plan):
    live = torch.ones(len(weights), dtype=torch.bool) if live is None else live
    settings = {"n_generations": 30, "threshold": None} | plan
    (trail,) = search_masks([live], SearchSettings(**settings), seed, additive(weights))
    return trail


def test_children_are_one_point_crossovers_of_the_fittest():
    masks, fitness = random_masks(1, 20, 30), torch.rand(1, 20, generator=generator(1))
    children, origins = Genetic(4, 1.0, 0.0).propose(Population(masks, fitness), generator())
    parents = masks[0, fitness[0].argsort(descending=True)[:4]]
    for child, origin in zip(children[0], origins[0], strict=True):
        crossed = [
            torch.equal(child, torch.cat([first[:cut], second[cut:]]))
            for first in parents
            for second in parents
            if not torch.equal(first, second)
            for cut in range(1, 30)
        ]
        assert any(crossed)
        distances = (parents != origin).sum(1)
        assert distances.min() == 0
        assert (child != origin).sum() <= 15  # the nearer of two


def test_without_crossover_children_are_parents_with_some_genes_flipped():
    masks = random_masks(1, 50, 400)
    population = Population(masks, torch.zeros(1, 50))
    children, origins = Genetic(10, 0.0, 0.05).propose(population, generator())
    assert abs((children != origins).double().mean() - 0.05) < 0.005


@pytest.mark.parametrize("strategy", [Genetic(1, 0.7, 0.5), HillClimbing(0.5)])
def test_one_parent_and_one_gene_will_do(strategy):
    population = Population(random_masks(2, 3, 1), torch.zeros(2, 3))
    children, _ = strategy.propose(population, generator())
    assert children.shape == (2, 3, 1)


def test_examples_of_a_batch_share_what_is_drawn():
    population = Population(random_masks(1, 8, 12).expand(3, -1, -1), torch.zeros(3, 8))
    for strategy in (Genetic(4, 0.7, 0.1), HillClimbing(0.1)):
        children, _ = strategy.propose(population, generator())
        assert torch.equal(children[0], children[2])


def test_children_replace_the_worst_where_they_are_fitter():
    old = Population(torch.eye(4).bool()[None, :3], torch.tensor([[3.0, 1.0, 2.0]]))
    new = Population(torch.eye(4).bool()[None, 1:].flip(1), torch.tensor([[2.0, 5.0, NEVER]]))
    genetic = Genetic(2, 0.7, 0.1).settle(old, new)
    assert genetic.fitness.tolist() == [[5, 3, 2]]  # of equals the older one stays
    assert torch.equal(genetic.masks[0, 2], old.masks[0, 2])
    climbing = HillClimbing(0.1).settle(old, new)
    assert climbing.fitness.tolist() == [[3, 5, 2]]


def test_each_climber_goes_its_own_way():
    weights = torch.linspace(0.01, 0.1, 12, dtype=torch.float64)
    trail = search(weights, strategy="hill_climbing", population_size=6, n_parents=2)
    assert trail.best.all()


def test_a_mask_that_is_known_gets_the_gene_that_is_known_the_least():
    """So that each gene's effect is found, also of those that the search has no use for."""
    weights = torch.zeros(200, dtype=torch.float64)
    weights[:3] = 0.3
    trail = search(weights, n_generations=20)
    assert trail.known.min() > 0.5
    # None is wasted: 21 generations of 50, the whole, nothing, the complement of the best.
    assert len(trail.archive) == 21 * 50 + 3


def test_genes_that_cannot_matter_are_never_kept():
    live = torch.arange(10) % 2 == 0
    trail = search(torch.ones(10, dtype=torch.float64) / 5, live, population_size=8, n_parents=4)
    shown = trail.archive.masks(list(range(len(trail.archive))))
    assert not shown[:, ~live].any()
    assert len(trail.archive) == 2**5  # then there was no other
    assert trail.best.tolist() == live.tolist()


def test_effects_are_not_those_of_the_search_drift():
    """A gene that rides along with the winners has none."""
    weights = torch.zeros(30, dtype=torch.float64)
    weights[:5] = torch.tensor([0.3, 0.2, 0.1, -0.1, -0.2])
    trail = search(weights, n_generations=40, population_size=20, n_parents=4, seed=3)
    masks = trail.archive.masks(list(range(len(trail.archive)))).double()
    scores = trail.archive.scores
    centered = masks - masks.mean(0)
    naive = (scores - scores.mean()) @ centered / centered.square().sum(0).clamp(min=1e-9)
    found = effects(trail.archive, bounded=False).values
    assert (found - weights).abs().max() < 0.01
    assert (naive - weights).abs().max() > 0.05


def test_effects_add_up_in_the_log_odds_of_a_logistic_score():
    weights = torch.linspace(-2, 2, 16, dtype=torch.float64)

    def show(requests):
        return [torch.sigmoid(masks.double() @ weights - 2) for _, masks in requests]

    plan = SearchSettings(n_generations=30, threshold=None)
    (trail,) = search_masks([torch.ones(16, dtype=torch.bool)], plan, 0, show)
    found = effects(trail.archive, bounded=True)
    assert found.scale == "log-odds"
    assert (found.values - weights).abs().max() < 0.01
    assert (effects(trail.archive, bounded=False).values - weights).abs().max() > 1


def test_the_archive_holds_each_mask_once_however_large():
    masks = random_masks(40, 50176)
    archive = Archive(50176)
    assert archive.enter(masks[:30], [DRAWN] * 30)[1].all()
    places, new = archive.enter(masks[20:], [0] * 20)
    assert places.tolist() == list(range(20, 40))
    assert new.tolist() == [False] * 10 + [True] * 10
    archive.tell(torch.arange(30.0))
    archive.tell(torch.arange(30.0, 40.0))
    assert torch.equal(archive.masks([35, 3]), masks[[35, 3]])
    assert archive.places(masks).tolist() == archive.scores.tolist() == list(range(40))
    ((own, others, step),) = archive.steps()
    assert own.tolist() == list(range(30, 40)) and not others.any()
    assert torch.equal(step, masks[30:].to(torch.int8) - masks[0].to(torch.int8))
    assert archive.drawn().tolist() == list(range(30))


def test_what_was_set_aside_counts_when_the_search_comes_to_it():
    archive = Archive(2)
    masks = torch.tensor([[True, True], [False, True]])
    archive.enter(masks[:1], [ASIDE])
    archive.enter(masks[1:], [DRAWN])
    assert not archive.enter(masks[:1], [1])[1].any()
    assert archive.origins == [1, DRAWN]


def test_the_best_mask_may_be_the_whole_which_was_shown_before():
    trail = search(torch.full((20,), 0.05, dtype=torch.float64))
    assert trail.best.all() and trail.best_fitness[-1] == pytest.approx(1)
