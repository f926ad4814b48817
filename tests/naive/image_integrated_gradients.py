"""Integrated gradients, averaged over upper bounds (after Sundararajan et al., ICML 2017).

a_k  = k / K,   k = 1 ... K
IG_k = (x - b) * integral from 0 to a_k of df(b + t (x - b))/dx dt

attribution = mean over k of IG_k
"""

import torch

from tests.naive.path import gradient


def image_integrated_gradients(score, x, baseline, num_alphas, points_per_segment):
    """Of one example, by the midpoint rule with ``k points_per_segment`` points up to a_k."""
    total = torch.zeros_like(x)
    for k in range(1, num_alphas + 1):
        n_points = k * points_per_segment
        width = k / num_alphas / n_points
        for point in range(n_points):
            t = (point + 0.5) * width
            slope = gradient(score, baseline + t * (x - baseline))
            total += (x - baseline) * slope * width
    return total / num_alphas
