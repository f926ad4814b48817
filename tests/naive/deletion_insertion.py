"""Deletion and insertion (Petsiuk et al., BMVC 2018, arXiv 1806.07421, section 4.1).

    deletion:  the area under f as the most relevant pixels turn into a fill, some at a time
    insertion: the area under f as they come into the fill, the most relevant first

The area is that of trapezoids over the part of the pixels, from 0 to 1.
"""

from itertools import pairwise


def _area(curve):
    return sum((a + b) / 2 * (after - before) for (before, a), (after, b) in pairwise(curve))


def _curve(score, start, end, attribution, step_size):
    """(part, score) as pixels of ``start [C, H, W]`` turn into those of ``end``."""
    relevance = attribution.sum(0).flatten().tolist()
    order = sorted(range(len(relevance)), key=lambda pixel: -relevance[pixel])
    shown = start.clone()
    curve = [(0.0, float(score(shown)))]
    for done, pixel in enumerate(order, start=1):
        row, column = divmod(pixel, start.shape[2])
        shown[:, row, column] = end[:, row, column]
        if done % step_size == 0 or done == len(order):
            curve.append((done / len(order), float(score(shown))))
    return curve


def deletion(score, x, attribution, fill, step_size):
    return _area(_curve(score, x, fill, attribution, step_size))


def insertion(score, x, attribution, fill, step_size):
    return _area(_curve(score, fill, x, attribution, step_size))
