"""Scores of an attribution against the known answer."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from captum_ext.metrics.agreement import cosine

#: A hit: the relevant pixels outweigh all others together.
HIT_SHARE = 0.5
#: A hit, where several pixels are relevant: the attribution is also divided among them as the
#: Shapley values are. 0.9 is an angle of 26 degrees.
HIT_AGREEMENT = 0.9


class Score(NamedTuple):
    """What an attribution is worth.

    Attributes:
        rank: the relevant pixels' mean place among all by \\|attribution\\|; ties share the mean of
            their places. The best is 1 for one pixel, (k + 1) / 2 for k of them; a pixel that is
            black, and so without influence, belongs among the zeros.
        share: their part of the sum of \\|attribution\\|; 0 where all is zero.
        hit: they have more \\|attribution\\| than all other pixels together, and, where they are
            several, the agreement is at least :data:`HIT_AGREEMENT`. (To be merely the highest
            pixels is not enough: rounding errors, or a spread of nuisance, have highest pixels
            too.)
        agreement: the cosine of the angle between the attribution and the exact Shapley values,
            over all pixels. Not their correlation: zero has a meaning, that of a pixel without
            influence, which a shift of all values would lose. 0 where the attribution is zero
            everywhere; NaN where the Shapley values are, or are unknown.
    """

    rank: float
    share: float
    hit: bool
    agreement: float


def score(
    attribution: Tensor, truth: Tensor, floor: float = 0.0, shapley: Tensor | None = None
) -> Score:
    """Compares an attribution with what is known.

    Shapley values are one answer to one question: what does each pixel add to the output, against
    a baseline, on average over the orders in which pixels are added? An attribution may disagree
    and be right about a question of its own: a gradient tells what a small change would do, and
    sees one pixel of a saturated maximum.

    Args:
        attribution: ``[1, 1, D, D]``.
        truth: the same shape, bool, true at the relevant pixels, at least one.
        floor: magnitudes below count as zero. The exam takes the rounding error of a gradient: a
            map that is smaller everywhere says nothing, however neat its pattern.
        shapley: the same shape, the exact Shapley values. None: unknown.

    Returns:
        The score; NaN and a miss where the attribution is not finite.

    Example:
        >>> truth = torch.tensor([[[[False, True], [False, False]]]])
        >>> score(torch.tensor([[[[0.0, -3.0], [1.0, 0.0]]]]), truth)
        Score(rank=1.0, share=0.75, hit=True, agreement=nan)
    """
    values = attribution.double()
    values = torch.where(values.abs() < floor, 0, values)
    magnitude = values.abs()
    total = float(magnitude.sum())
    if not math.isfinite(total):
        return Score(math.nan, math.nan, False, math.nan)
    ordered = magnitude.flatten().sort().values
    relevant = magnitude[truth]
    lower = torch.searchsorted(ordered, relevant)
    upper = torch.searchsorted(ordered, relevant, right=True)
    # Of n values in descending order, the ties hold the places from n - upper + 1 to n - lower.
    rank = float((len(ordered) + (1 - lower - upper) / 2).mean())
    share = float(relevant.sum()) / total if total > 0 else 0.0
    agreement = math.nan if shapley is None else cosine(values, shapley)
    # One pixel leaves nothing to be divided.
    divided = len(relevant) == 1 or agreement >= HIT_AGREEMENT
    return Score(rank, share, share > HIT_SHARE and divided, agreement)
