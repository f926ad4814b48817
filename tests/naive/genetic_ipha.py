"""Genetic IPHA: the binary mask m that maximizes f(m x + (1 - m) C), by a genetic algorithm.

The first masks are drawn. The ``n_parents`` fittest have children: one-point crossover of two of
them, then bits flip by chance. Children replace the worst, where they are fitter.

What each feature does is fitted to all masks, each compared with the one that it comes from, o(n);
a drawn one with the mean of the drawn:

    min_w  sum_n (v_n - v_o(n) - w . (m_n - m_o(n)))^2 / |m_n - m_o(n)|_1  +  shrinkage |w|^2

v are the scores or their log-odds, the shrinkage is small or large: whichever pair foretells best
the masks that are held out, every fifth.
"""

from math import log

import torch


def search(score, first, generations, n_parents):
    """All masks shown, ``(mask, score, number of the mask it comes from)``, and the populations.

    Args:
        score: of a mask, a tuple of bits.
        first: the masks drawn.
        generations: for each the draws of its children, ``(one, other, cut, flips)``: their
            parents (0 is the fittest), the bit where the second parent takes over, which bits flip.
    """
    shown = [(mask, score(mask), None) for mask in first]
    population, history = list(range(len(shown))), []
    for draws in [*generations, ()]:
        population.sort(key=lambda number: -shown[number][1])
        population = population[: len(first)]
        parents = population[:n_parents]
        history.append(parents)
        for one, other, cut, flips in draws:
            mother, father = shown[parents[one]][0], shown[parents[other]][0]
            child = mother[:cut] + father[cut:]
            child = tuple(bit != flip for bit, flip in zip(child, flips, strict=True))
            from_mother = _distance(child, mother) <= _distance(child, father)
            population.append(len(shown))
            shown.append((child, score(child), parents[one if from_mother else other]))
    return shown, history


def _distance(mask, other):
    return sum(a != b for a, b in zip(mask, other, strict=True))


def effects(shown):
    """The effects ``[G]``, and whether they are on the ``"score"`` or the ``"log-odds"``."""
    masks = torch.tensor([[float(bit) for bit in mask] for mask, _, _ in shown]).double()
    scores = [value for _, value, _ in shown]
    drawn = [n for n, (_, _, origin) in enumerate(shown) if origin is None]
    steps = [(n, origin) for n, (_, _, origin) in enumerate(shown) if origin is not None]
    trials = []
    for scale, values in (("log-odds", [log(p / (1 - p)) for p in scores]), ("score", scores)):
        rows = [(masks[n] - masks[o], values[n] - values[o]) for n, o in steps]
        told, held = [row for n, row in enumerate(rows) if n % 5], rows[::5]
        mean, level = masks[drawn].mean(0), sum(values[n] for n in drawn) / len(drawn)
        everything = rows + [(masks[n] - mean, values[n] - level) for n in drawn]
        for shrinkage in (0.01, 30.0):
            w = _fit(told, shrinkage)
            error = sum((gain - w @ step) ** 2 / step.abs().sum() for step, gain in held)
            total = sum(gain**2 / step.abs().sum() for step, gain in held)
            quality = round(float(1 - error / total), 2)
            trials.append((quality, _fit(everything, shrinkage), scale))
    _, w, scale = max(trials, key=lambda trial: trial[0])
    return w, scale


def _fit(rows, shrinkage):
    n_genes = len(rows[0][0])
    left = shrinkage * torch.eye(n_genes, dtype=torch.float64)
    right = torch.zeros(n_genes, dtype=torch.float64)
    for step, gain in rows:
        weight = 1 / max(1.0, float(step.abs().sum()))
        left += weight * torch.outer(step, step)
        right += weight * gain * step
    return torch.linalg.solve(left, right)
