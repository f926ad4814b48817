"""KernelSHAP (Lundberg and Lee, NeurIPS 2017, arXiv 1705.07874, theorem 2).

    min_phi  sum_n k(|Z_n|) (f_n - f_none - phi . Z_n)^2    with    sum_s phi_s = f_all - f_none
    k(z) = (S - 1) / (C(S, z) z (S - z))

The constraint has a Lagrange multiplier. With all subsets of the segments, phi are Shapley values:

    phi_s = sum over subsets T without s of |T|! (S - |T| - 1)! / S! (f(T and s) - f(T))
"""

from itertools import combinations
from math import comb, factorial

import torch


def segment_shap(outputs, samples):
    n_segments = len(samples[0])
    sizes = [sum(int(kept) for kept in sample) for sample in samples]
    f_all, f_none = (outputs[sizes.index(size)] for size in (n_segments, 0))
    left = torch.zeros(n_segments + 1, n_segments + 1, dtype=torch.float64)
    right = torch.zeros(n_segments + 1, dtype=torch.float64)
    for f, sample, size in zip(outputs, samples, sizes, strict=True):
        if 0 < size < n_segments:
            kernel = (n_segments - 1) / (comb(n_segments, size) * size * (n_segments - size))
            z = torch.tensor([float(kept) for kept in sample], dtype=torch.float64)
            left[:-1, :-1] += kernel * torch.outer(z, z)
            right[:-1] += kernel * (f - f_none) * z
    left[-1, :-1] = left[:-1, -1] = 1
    right[-1] = f_all - f_none
    return torch.linalg.solve(left, right)[:-1].tolist()


def shapley_values(value, n_segments):
    """Of the segments, where ``value`` takes the set of those that are kept."""
    scores = []
    for segment in range(n_segments):
        others = [other for other in range(n_segments) if other != segment]
        total = 0.0
        for size in range(n_segments):
            weight = factorial(size) * factorial(n_segments - size - 1) / factorial(n_segments)
            for subset in combinations(others, size):
                total += weight * (value({*subset, segment}) - value(set(subset)))
        scores.append(total)
    return scores
