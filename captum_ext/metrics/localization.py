"""Localization: how much of the relevance lies on the object.

Every metric here compares a map with a mask of the object's pixels and gives one number in [0, 1]
for each example, higher for better. A pixel's relevance is the sum over its channels. What an
order of pixels leaves open, ties share: a map that is the same everywhere scores what chance does,
the mask's part of the image (with a warning, where pixels are ranked).

All metrics are called alike, ``metric(forward_func, inputs, attributions, target,
additional_forward_args, ...)``, so that a study can exchange them. These need no model:
``forward_func``, ``target`` and ``additional_forward_args`` are taken and not looked at.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import check_int, check_number
from captum_ext.metric_spec import MetricNeed, MetricSpec
from captum_ext.metrics.measurement import metric, remark
from captum_ext.metrics.relevance import check_mask, pixel_relevance, warn_of_equal


@metric
def pointing_game(
    forward_func: Any,
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    mask: Tensor,
) -> Tensor:
    """Whether the most relevant pixel lies on the object (Zhang et al., ECCV 2016).

    Args:
        forward_func, target, additional_forward_args: not used.
        inputs: images ``[B, C, H, W]``.
        attributions: ``[B, C, H, W]`` or ``[B, 1, H, W]``.
        mask: the object's pixels, ``[B, 1, H, W]`` or ``[B, H, W]``, or one for all examples; bool,
            or 0 and 1.

    Returns:
        ``[B]``: 1 for a hit and 0 for a miss; where several pixels share the maximum, the part of
        them that lies in the mask.

    Raises:
        TypeError, ValueError: attributions or a mask of a wrong type or shape, values that are not
            finite, a mask without pixels or of all pixels.

    Example:
        >>> images, mask = torch.zeros(1, 1, 1, 4), torch.tensor([[[1, 0, 0, 0]]])
        >>> pointing_game(None, images, torch.tensor([[[[5.0, 5.0, 1.0, 0.0]]]]), mask=mask)
        tensor([0.5000])
    """
    relevance, inside = _pixels(attributions, inputs, mask)
    k = torch.ones(len(relevance), dtype=torch.int64, device=relevance.device)
    return _part_of_highest(relevance, inside, k)


@metric
def relevance_mass(
    forward_func: Any,
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    mask: Tensor,
) -> Tensor:
    """The part of the positive relevance that lies on the object (Arras et al., 2022).

    ``sum_{p in mask} R_p / sum_p R_p`` with ``R_p = max(0, relevance_p)``: "relevance mass
    accuracy" (Information Fusion 81; arXiv 2003.07258), with its pooling ``sum,pos``. Arguments and
    errors as in :func:`pointing_game`.

    Returns:
        ``[B]``; 0, with a warning, for a map without positive relevance.

    Example:
        >>> images, mask = torch.zeros(1, 1, 1, 4), torch.tensor([[[1, 0, 0, 0]]])
        >>> relevance_mass(None, images, torch.tensor([[[[3.0, 1.0, 0.0, -9.0]]]]), mask=mask)
        tensor([0.7500])
    """
    relevance, inside = _pixels(attributions, inputs, mask)
    positive = relevance.clamp(min=0)
    highest = positive.amax(1, keepdim=True)
    nothing = highest == 0
    if bool(nothing.any()):
        examples = nothing.flatten().nonzero().flatten().tolist()
        remark(
            f"attributions hold no positive relevance for examples {examples}: their relevance "
            "mass is 0"
        )
    # Relative to the highest, sums of the largest and smallest values neither over- nor underflow.
    positive = positive / highest.masked_fill(nothing, 1)
    total = positive.sum(1).masked_fill(nothing.flatten(), 1)
    return ((positive * inside).sum(1) / total).clamp(max=1)


@metric
def relevance_rank(
    forward_func: Any,
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    mask: Tensor,
) -> Tensor:
    """The part of the K most relevant pixels that lie on the object of K pixels.

    "Relevance rank accuracy" (Arras et al., 2022; arXiv 2003.07258). Arguments and errors as in
    :func:`pointing_game`.

    Returns:
        ``[B]``; pixels that tie for the last of the K places share them.

    Example:
        >>> images, mask = torch.zeros(1, 1, 1, 4), torch.tensor([[[1, 1, 0, 0]]])
        >>> relevance_rank(None, images, torch.tensor([[[[9.0, 1.0, 5.0, 0.0]]]]), mask=mask)
        tensor([0.5000])
    """
    relevance, inside = _pixels(attributions, inputs, mask)
    return _part_of_highest(relevance, inside, inside.sum(1))


@metric
def top_k_intersection(
    forward_func: Any,
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    mask: Tensor,
    k: int | float = 0.05,
) -> Tensor:
    """The part of the k most relevant pixels that lie on the object (Theiner et al., WACV 2022).

    arXiv 2104.14995. Other arguments and errors as in :func:`pointing_game`.

    Args:
        forward_func, inputs, attributions, target, additional_forward_args, mask: as of
            :func:`pointing_game`.
        k: how many pixels, as a whole number from 1 to H * W, or, as a float in (0, 1), which part
            of them (rounded, at least one). With k above the mask's pixels 1 is out of reach.

    Returns:
        ``[B]``; pixels that tie for the last of the k places share them.

    Raises:
        ValueError: k out of range, too.

    Example:
        >>> images, mask = torch.zeros(1, 1, 1, 4), torch.tensor([[[1, 0, 0, 0]]])
        >>> attributions = torch.tensor([[[[9.0, 1.0, 5.0, 0.0]]]])
        >>> top_k_intersection(None, images, attributions, mask=mask, k=2)
        tensor([0.5000])
    """
    relevance, inside = _pixels(attributions, inputs, mask)
    count = torch.full((len(relevance),), _how_many(k, relevance.shape[1]), device=relevance.device)
    return _part_of_highest(relevance, inside, count)


def _pixels(attributions: Any, inputs: Any, mask: Any) -> tuple[Tensor, Tensor]:
    """Relevance and mask, ``[B, H * W]`` each, on the device of ``attributions``."""
    relevance = pixel_relevance(attributions, inputs).flatten(1)
    return relevance, check_mask(mask, inputs).to(relevance.device).flatten(1)


def _how_many(k: Any, n_pixels: int) -> int:
    if isinstance(k, Integral):
        count = check_int(k, "k", minimum=1)
        if count > n_pixels:
            raise ValueError(f"k must be at most the {n_pixels} pixels of an image; got {k}")
        return count
    part = check_number(k, "k", low=0, high=1, above=True)
    if part == 1:
        raise ValueError(f"k must be a whole number, or a part of the pixels below 1; got {k}")
    return max(1, round(part * n_pixels))


def _part_of_highest(relevance: Tensor, inside: Tensor, k: Tensor) -> Tensor:
    """Of each row's k highest ``[B]`` the part that is inside; ties for the last places share."""
    warn_of_equal(relevance)
    threshold = relevance.sort(1, descending=True).values.gather(1, k[:, None] - 1)
    above, tied = relevance > threshold, relevance == threshold
    places = (k - above.sum(1)).to(relevance.dtype)
    hits = (above & inside).sum(1) + places * (tied & inside).sum(1) / tied.sum(1)
    return (hits / k).clamp(max=1)


METRICS = (
    MetricSpec(
        "pointing_game",
        "Pointing game",
        "higher",
        "whether the most relevant pixel lies on the object",
        pointing_game,
        range=(0, 1),
        needs={MetricNeed.MASK},
        source="Zhang et al., ECCV 2016",
    ),
    MetricSpec(
        "relevance_mass",
        "Relevance mass",
        "higher",
        "the part of the positive relevance that lies on the object",
        relevance_mass,
        range=(0, 1),
        needs={MetricNeed.MASK},
        source="Arras et al., Information Fusion 2022",
    ),
    MetricSpec(
        "relevance_rank",
        "Relevance rank",
        "higher",
        "the part of as many most relevant pixels as the object has that lie on it",
        relevance_rank,
        range=(0, 1),
        needs={MetricNeed.MASK},
        source="Arras et al., Information Fusion 2022",
    ),
    MetricSpec(
        "top_k_intersection",
        "Top-k intersection",
        "higher",
        "the part of the k most relevant pixels that lie on the object",
        top_k_intersection,
        range=(0, 1),
        needs={MetricNeed.MASK},
        source="Theiner et al., WACV 2022",
    ),
)
