"""The sum of a path method, point by point.

    attribution = sum_j (x_{j+1} - x_j) df/dx,   the gradient at x_j, at x_{j+1}, or their mean

Sundararajan et al., ICML 2017 (arXiv 1703.01365), equation 1, for any path.
"""

from itertools import pairwise

import torch


def gradient(score, x):
    """Of a function of one example ``x`` that gives a number."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(score(x), x)[0]


def path_integral(score, points, method="riemann_left"):
    total = torch.zeros_like(points[0])
    for here, there in pairwise(points):
        at_here, at_there = gradient(score, here), gradient(score, there)
        slope = {
            "riemann_left": at_here,
            "riemann_right": at_there,
            "riemann_trapezoid": (at_here + at_there) / 2,
        }[method]
        total += (there - here) * slope
    return total
