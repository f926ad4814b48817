"""Complexity: whether few pixels carry the relevance. No model is needed, as in
:mod:`captum_ext.metrics.localization`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from captum_ext.metric_spec import MetricSpec
from captum_ext.metrics.measurement import metric, remark
from captum_ext.metrics.relevance import pixel_relevance


@metric
def gini(
    forward_func: Any,
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
) -> Tensor:
    """The Gini index of the pixels' absolute relevance: how sparse the map is.

    With the N pixels' |relevance| in ascending order, ``a_1 <= ... <= a_N``,
    ``G = 1 - 2 sum_i a_i / sum(a) * (N - i + 1/2) / N`` (Hurley & Rickard, IEEE Trans. Inf. Theory
    2009, as Chalasani et al., ICML 2020, take it for attributions).

    Args:
        forward_func, target, additional_forward_args: not used.
        inputs: images ``[B, C, H, W]``.
        attributions: ``[B, C, H, W]`` or ``[B, 1, H, W]``.

    Returns:
        ``[B]`` in [0, 1): 0 where the relevance is spread evenly, ``1 - 1 / N`` where one pixel has
        it all; 0, with a warning, for a map that is zero everywhere.

    Raises:
        TypeError, ValueError: attributions of a wrong type or shape, or not finite.

    Example:
        >>> images = torch.zeros(2, 1, 1, 4)
        >>> maps = torch.tensor([[1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 2.0, 0.0]]).reshape(2, 1, 1, 4)
        >>> gini(None, images, maps)
        tensor([0.0000, 0.7500])
    """
    ordered = pixel_relevance(attributions, inputs).abs().flatten(1).sort(1).values
    nothing = ordered[:, -1] == 0
    if bool(nothing.any()):
        examples = nothing.nonzero().flatten().tolist()
        remark(f"attributions are zero everywhere for examples {examples}: their Gini index is 0")
    # A map that is zero everywhere is as even as one that is one everywhere. Relative to the
    # highest, sums of the largest and smallest values neither over- nor underflow.
    ordered = torch.where(nothing[:, None], 1, ordered / ordered[:, -1:])
    count = ordered.shape[1]
    steps = torch.arange(1, count + 1, dtype=ordered.dtype, device=ordered.device)
    # The formula above with its 1 inside the sum: no small difference of large numbers is taken.
    weights = (2 * steps - count - 1) / count
    index = (ordered * weights).sum(1) / ordered.sum(1)
    return index.clamp(min=0)


METRIC = MetricSpec(
    "gini",
    "Gini index",
    "none",
    "sparseness of the map: 0 even, 1 a single pixel",
    gini,
    range=(0, 1),
    source="Chalasani et al., ICML 2020",
)
