"""Prediction difference analysis (Zintgraf et al., ICLR 2017, arXiv 1702.04595).

    p(c | x without x_i) = E[p(c | x with x_i' in place of x_i)],   x_i' drawn from a marginal

    evidence:     log2 odds(p(c | x)) - log2 odds(p(c | x without x_i))
    information:  log2 p(c | x) - log2 p(c | x without x_i)
    probability:  p(c | x) - p(c | x without x_i)

Probabilities are first corrected: p <- (p N + 1) / (N + K), with N training examples, K classes
(Robnik-Šikonja and Kononenko, IEEE TKDE 2008). Windows slide; overlapping ones average.
"""

from math import log2

import torch


def difference(whole, without, mode, n_train, n_classes):
    def measure(p):
        corrected = (p * n_train + 1) / (n_train + n_classes)
        return {
            "probability": p,
            "information": log2(corrected),
            "evidence": log2(corrected / (1 - corrected)),
        }[mode]

    return measure(whole) - measure(without)


def windows(shape, side, stride):
    """Top left corners of the windows in ``shape`` (H, W); the last ones end at the border."""
    tops, lefts = ([*range(0, length - side, stride), length - side] for length in shape)
    return [(top, left) for top in tops for left in lefts]


def prediction_difference(probability, x, side, stride, draws, compare):
    """Of one image ``[C, H, W]``.

    Args:
        probability: of the class, for one image.
        side, stride: of a window, which spans the channels.
        draws: for each window what may stand there, ``[n, C, side, side]``.
        compare: ``compare(whole, without)``, as :func:`difference`.
    """
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    whole = float(probability(x))
    for (top, left), values in zip(windows(x.shape[1:], side, stride), draws, strict=True):
        without = 0.0
        for value in values:
            replaced = x.clone()
            replaced[:, top : top + side, left : left + side] = value
            without += float(probability(replaced)) / len(values)
        total[:, top : top + side, left : left + side] += compare(whole, without)
        count[:, top : top + side, left : left + side] += 1
    return total / count
