"""The genetic search of masks: its share of the time, and a plain implementation."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.resnet20 import ResNet20
from benchmarks.speed.timing import Clock, Row, in_fresh_processes, ratio, row_of
from captum_ext.attr import GeneticIPHA
from captum_ext.perturbation.mask_search import MaskSearch

SIDE, POPULATION, PARENTS = 32, 50, 10
#: Of the long search; of the one that the plain way runs, too.
GENERATIONS, FEW = 60, 4


def subject(count: int) -> tuple[nn.Module, Tensor]:
    """A ResNet-20 for CIFAR-10, and so many images."""
    torch.manual_seed(0)
    return nn.Sequential(ResNet20(), nn.Softmax(dim=1)).eval(), torch.rand(count, 3, SIDE, SIDE)


def search(model: nn.Module, images: Tensor, n_generations: int) -> tuple[MaskSearch, ...]:
    """Run all requested generations, whatever the score."""
    return GeneticIPHA(model).search(
        images,
        0,
        0,
        n_generations=n_generations,
        population_size=POPULATION,
        n_parents=PARENTS,
        threshold=None,
    )


def plain_search(model: nn.Module, image: Tensor, n_generations: int) -> float:
    """Individual by individual, pixel by pixel; the best score.

    Each mask, of the population as well, is scored when its fitness is requested, as many as
    :func:`search` scores.
    """
    draw = random.Random(0)
    rows = range(SIDE)

    def fitness(mask: list[list[int]]) -> float:
        shown = image.clone()
        for row in rows:
            for column in rows:
                if not mask[row][column]:
                    shown[0, :, row, column] = 0
        with torch.no_grad():
            return float(model(shown)[0, 0])

    def child(parents: list[list[list[int]]]) -> list[list[int]]:
        first, second = draw.sample(parents, 2)
        cut = draw.randrange(SIDE)
        mixed = [list((first if row < cut else second)[row]) for row in rows]
        for row in rows:
            for column in rows:
                if draw.random() < 1 / SIDE**2:
                    mixed[row][column] = 1 - mixed[row][column]
        return mixed

    masks = [[[draw.randrange(2) for _ in rows] for _ in rows] for _ in range(POPULATION)]
    population = [(fitness(mask), mask) for mask in masks]
    for _ in range(n_generations):
        population.sort(key=lambda scored: scored[0], reverse=True)
        parents = [mask for _, mask in population[:PARENTS]]
        children = [child(parents) for _ in range(POPULATION)]
        population += [(fitness(mask), mask) for mask in children]
        population = sorted(population, key=lambda scored: scored[0])[-POPULATION:]
    return max(score for score, _ in population)


def mask_search(repeats: int) -> Iterator[Row]:
    """The share of the model; ten images together against one by one; the plain way."""
    what = f"{POPULATION} masks, {GENERATIONS} generations, ResNet-20"
    shares = in_fresh_processes(_share, 1, repeats)
    yield row_of(f"inside the model: {what}", list(shares), "%")
    model, images = subject(10)
    yield ratio(
        "genetic search: ten images together against one by one",
        lambda: [search(model, image[None], FEW) for image in images],
        partial(search, model, images, FEW),
        repeats,
    )
    yield ratio(
        "genetic search against a plain loop over masks and pixels",
        partial(plain_search, model, images[:1], FEW),
        partial(search, model, images[:1], FEW),
        repeats,
    )


def _share(count: int) -> float:
    """Percent of the wall time inside the model, the effects included."""
    model, images = subject(count)
    clock = Clock(model)
    search(clock, images, 2)
    clock.seconds = 0.0
    start = time.perf_counter()
    for found in search(clock, images, GENERATIONS):
        found.attribution("effect")
    return 100 * clock.seconds / (time.perf_counter() - start)
