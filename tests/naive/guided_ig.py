"""Guided IG (Kapishnikov et al., CVPR 2021, arXiv 2106.09788, algorithm 1).

alpha_j = (j + 1) / n_steps,   x_min, x_max = b + clip(alpha_j -+ max_dist, 0, 1) (x - b)

first, what is behind x_min moves there;
repeat, until ||x - x_{j+1}||_1 = (1 - alpha_j) ||x - b||_1:
    of the features below x_max, move the ``fraction`` with the smallest |df/dx| towards it

attribution = sum_j (x_{j+1} - x_j) df(x_j)/dx
"""

import math

import torch

from tests.naive.path import gradient, path_integral


def guided_ig(score, x, baseline, n_steps, fraction, max_dist):
    """The attribution of one example ``x``, and the points of its path."""
    start, way = baseline.flatten().tolist(), (x - baseline).flatten().tolist()
    points, offset = [baseline], [0.0] * len(way)
    whole = sum(abs(w) for w in way)
    for step in range(n_steps):
        slope = gradient(score, points[-1]).abs().flatten().tolist()
        alpha = (step + 1) / n_steps
        low, high = max(alpha - max_dist, 0), min(alpha + max_dist, 1)
        for i, w in enumerate(way):
            if abs(offset[i]) < abs(low * w):
                offset[i] = low * w
            if offset[i] == high * w:
                slope[i] = math.inf
        excess = sum(abs(w - o) for w, o in zip(way, offset, strict=True)) - (1 - alpha) * whole
        while excess > 1e-9 * whole and min(slope) < math.inf:
            threshold = sorted(slope)[math.floor(fraction * (len(slope) - 1))]
            chosen = [i for i, s in enumerate(slope) if s <= threshold and s < math.inf]
            room = sum(abs(high * way[i] - offset[i]) for i in chosen)
            for i in chosen:
                offset[i] += min(1, excess / room) * (high * way[i] - offset[i])
                slope[i] = math.inf
            excess -= room
        moved = [s + o for s, o in zip(start, offset, strict=True)]
        points.append(torch.tensor(moved, dtype=x.dtype).reshape(x.shape))
    return path_integral(score, points), torch.stack(points)
