"""The search: generations of masks, all of which go to the model together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from captum_ext.checks import check_int, most_of
from captum_ext.perturbation.mask_search.archive import ASIDE, DRAWN, Archive, keys_of
from captum_ext.perturbation.mask_search.settings import SearchSettings
from captum_ext.perturbation.mask_search.strategies import NEVER, Population
from captum_ext.randomness import example_generator

#: Scores that differ by no more, in units of their precision, are the same.
ROUNDING = 8
#: Genes that are flipped at most in a mask that is known.
TRIES = 4
#: Genes of which all masks may be tried.
FEW = 32

#: Masks ``[n, G]`` of an example, by its number.
MaskRequest = tuple[int, Tensor]
#: Scores ``[n]`` of what the masks of each request show.
Show = Callable[[Sequence[MaskRequest]], list[Tensor]]


@dataclass
class Trail:
    """The result of a search for one example.

    Args:
        live: ``[G]`` of bool, the genes that can matter; the others are never kept.

    Attributes:
        archive: all that the model was shown.
        best: the fittest mask ``[G]``.
        best_fitness, mean_fitness: of the population, after each generation; the first is drawn.
        evaluations: masks shown up to then.
        elite: how often the fittest kept each gene, summed over the generations ``[G]``.
        known: how well each gene's effect is known ``[G]``: it counts the masks that differ in it
            from the one that they come from, each by 1 / (genes in which it differs)^2.
        tried: the masks that have been in a generation.
    """

    live: Tensor
    archive: Archive = field(init=False)
    best: Tensor = field(init=False)
    elite: Tensor = field(init=False)
    known: Tensor = field(init=False)
    tried: set[bytes] = field(default_factory=set)
    best_fitness: list[float] = field(default_factory=list)
    mean_fitness: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        n_genes = len(self.live)
        self.archive = Archive(n_genes)
        self.best = torch.zeros_like(self.live)
        self.elite, self.known = torch.zeros(2, n_genes, dtype=torch.float64)

    @property
    def level(self) -> bool:
        """Whether the score is the same, but for rounding, whatever is kept."""
        scores = self.archive.scores
        low, high = scores.aminmax()
        # What a low precision rounds to the same is the same.
        precision = min(self.archive.precision, torch.finfo(torch.float32).eps)
        return float(high - low) <= ROUNDING * precision * float(scores.abs().max())

    @property
    def exhausted(self) -> bool:
        """Whether there is no mask left to try."""
        return int(self.live.sum()) < FEW and len(self.tried) >= 2 ** int(self.live.sum())


class _Group:
    """Examples with as many genes, whose populations are one tensor.

    Args:
        trails: of the examples, by their numbers.
        settings: how to search.
        seed: of what is drawn.

    Attributes:
        active: the numbers of the examples whose search goes on.
        masks: ``[B, P, G]``, what is tried next for these.
        origins: likewise, where each of the masks comes from; None where it is drawn.
        fresh: ``[B, P]``, which of the masks have not been tried before.
    """

    masks: Tensor
    origins: Tensor | None
    fresh: Tensor

    def __init__(self, trails: dict[int, Trail], settings: SearchSettings, seed: int) -> None:
        self.settings, self.trails = settings, trails
        self.active = list(trails)
        self.generator = example_generator(seed)
        first = next(iter(trails.values()))
        self.n_genes = len(first.live)
        self.strategy = settings.strategy_for(self.n_genes)
        self.order = torch.randperm(self.n_genes, generator=self.generator)
        self.population: Population | None = None

    def propose(self) -> None:
        """Makes what is tried next.

        No mask is tried twice: one that is known gets another gene flipped, the one whose effect
        is known the least; and so on, where that one is known, too.
        """
        live = torch.stack([self.trails[number].live for number in self.active])[:, None]
        if self.population is None:
            size = (self.settings.population_size, self.n_genes)
            masks = torch.rand(size, generator=self.generator) < 0.5
            self.masks, self.origins = masks & live, None
        else:
            masks, self.origins = self.strategy.propose(self.population, self.generator)
            self.masks = masks & live
        fresh = [
            self._vary(self.trails[number], self.masks[row])
            for row, number in enumerate(self.active)
        ]
        self.fresh = torch.stack(fresh)

    def _vary(self, trail: Trail, masks: Tensor) -> Tensor:
        """Flips genes of masks ``[P, G]`` that have been tried; tells which ones are now new."""
        order = self.order[trail.live[self.order]]
        genes = order[trail.known[order].argsort(stable=True)]
        keys = keys_of(masks)
        fresh = _first_of(keys, trail.tried)
        turn = 0
        for _ in range(TRIES):
            rows = (~fresh).nonzero()[:, 0]
            if not len(rows) or not len(genes):
                break
            masks[rows, genes[torch.arange(turn, turn + len(rows)) % len(genes)]] ^= True
            turn += len(rows)
            keys = keys_of(masks)
            fresh = _first_of(keys, trail.tried)
        trail.tried.update(keys)
        return fresh

    def requests(self) -> list[tuple[int, Tensor, list[int]]]:
        """What the model is to be shown, and where that comes from."""
        found = []
        for row, number in enumerate(self.active):
            trail = self.trails[number]
            shown = self.settings.shown(self.masks[row], trail.live)
            origins = [DRAWN] * len(shown)
            if self.origins is not None:
                before = self.settings.shown(self.origins[row], trail.live)
                origins = trail.archive.places(before).tolist()
            found.append((number, shown, origins))
        return found

    def settle(self, places: dict[int, Tensor]) -> None:
        """Takes over what came out; ``places`` tell where each example's archive has it."""
        fitness = []
        for row, number in enumerate(self.active):
            trail, masks = self.trails[number], self.masks[row]
            own = self.settings.fitness(masks, trail.archive.rounded(places[number]))
            fitness.append(torch.where(self.fresh[row], own, NEVER))
            if self.origins is not None:
                step = (masks != self.origins[row]).double()
                trail.known += (step / step.sum(1, keepdim=True).clamp(min=1) ** 2).sum(0)
        children = Population(self.masks, torch.stack(fitness))
        if self.population is not None:
            children = self.strategy.settle(self.population, children)
        elites, fit = children.best(self.settings.n_parents)
        going = []
        for row, number in enumerate(self.active):
            trail, values = self.trails[number], children.fitness[row]
            values = values[values > NEVER]
            trail.best = elites[row, 0]
            trail.elite += elites[row, fit[row] > NEVER].double().mean(0)
            trail.best_fitness.append(float(values.max()))
            trail.mean_fitness.append(float(values.mean()))
            trail.evaluations.append(len(trail.archive))
            going.append(not self._done(trail))
        keep = torch.tensor(going)
        self.active = [number for number, goes in zip(self.active, going, strict=True) if goes]
        self.population = Population(children.masks[keep], children.fitness[keep])

    def _done(self, trail: Trail) -> bool:
        price = self.settings.sparsity * float(trail.best.double().mean())
        if trail.exhausted or self.settings.finished(trail.best_fitness, price):
            return True
        return len(trail.best_fitness) > self.settings.patience and trail.level


def search_masks(
    live: Sequence[Tensor],
    settings: SearchSettings,
    seed: int,
    show: Show,
    on_generation: Callable[[], object] = lambda: None,
) -> list[Trail]:
    """Searches the best mask of each example.

    Args:
        live: for each example ``[G]`` of bool on the CPU, the genes that can matter.
        settings: how to search.
        seed: of what is drawn.
        show: what gives scores; asked at first for those of the whole and of nothing, and never for
            those of the same mask again.
        on_generation: called after each generation.

    Returns:
        The result for each example. Its archive also holds the whole, nothing, what the best
        mask shows, and the complement of that.

    Example:
        >>> settings = SearchSettings(20, 8, 4)
        >>> def show(requests):
        ...     return [masks[:, :3].double().mean(1) for _, masks in requests]
        >>> (trail,) = search_masks([torch.ones(6, dtype=torch.bool)], settings, 0, show)
        >>> trail.best[:3].tolist(), trail.best_fitness[-1]
        ([True, True, True], 1.0)
    """
    most = min(most_of(8 * len(own)) for own in live)
    check_int(settings.population_size, "population_size", minimum=2, maximum=max(2, most))
    trails = dict(enumerate(map(Trail, live)))
    ends = [torch.stack([own, torch.zeros_like(own)]) for own in live]
    _ask(show, trails, [(number, both, [ASIDE] * 2) for number, both in enumerate(ends)])
    groups = [
        _Group({n: trail for n, trail in trails.items() if len(trail.live) == size}, settings, seed)
        for size in dict.fromkeys(map(len, live))
    ]
    for _ in range(1 + settings.n_generations):
        going = [group for group in groups if group.active]
        if not going:
            break
        for group in going:
            group.propose()
        places = _ask(show, trails, [each for group in going for each in group.requests()])
        for group in going:
            group.settle(places)
        on_generation()
    last = []
    for number, trail in trails.items():
        if trail.level:
            trail.best = torch.zeros_like(trail.live)
        both = torch.stack([trail.best, trail.live & ~trail.best])
        last.append((number, both, [ASIDE] * 2))
    _ask(show, trails, last)
    return list(trails.values())


def _first_of(keys: Sequence[bytes], tried: set[bytes]) -> Tensor:
    """Which of the keys have not been tried, nor stand before among these: ``[n]``."""
    seen: set[bytes] = set()
    first = []
    for key in keys:
        first.append(key not in tried and key not in seen)
        seen.add(key)
    return torch.tensor(first)


def _ask(
    show: Show, trails: dict[int, Trail], requests: Sequence[tuple[int, Tensor, list[int]]]
) -> dict[int, Tensor]:
    """Shows the model those masks that are new to it; tells the places of all in their archives."""
    places, unknown = {}, []
    for number, masks, origins in requests:
        places[number], new = trails[number].archive.enter(masks, origins)
        if new.any():
            unknown.append((number, masks[new]))
    for (number, _), scores in zip(unknown, show(unknown) if unknown else [], strict=True):
        trails[number].archive.tell(scores)
    return places
