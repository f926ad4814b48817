"""Agreement with an answer that is known: the exact Shapley values of an exam model. No model is
needed, as in :mod:`captum_ext.metrics.localization`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import check_number
from captum_ext.metric_spec import MetricNeed, MetricSpec
from captum_ext.metrics.measurement import metric
from captum_ext.metrics.relevance import pixel_relevance


@metric
def shapley_agreement(
    forward_func: Any,
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    shapley_values: Tensor,
    floor: float = 0.0,
) -> Tensor:
    """The cosine of the angle between the attributions and the exact Shapley values.

    Not their correlation: zero has a meaning, that of a pixel without influence, which a shift of
    all values would lose.

    Args:
        forward_func, target, additional_forward_args: not used.
        inputs: images ``[B, C, H, W]``.
        attributions: ``[B, C, H, W]`` or ``[B, 1, H, W]``; the sum over the channels counts.
        shapley_values: ``[B, 1, H, W]``.
        floor: magnitudes below count as zero, as a rounding error.

    Returns:
        ``[B]``, in float64, from -1 to 1: 0 where the attributions are zero everywhere, NaN, with a
        warning, where the Shapley values are so.

    Raises:
        TypeError, ValueError: attributions or Shapley values of a wrong type or shape, or not
            finite.

    Example:
        >>> exact = torch.tensor([[[[1.0, 0.0]]]])
        >>> shapley_agreement(None, exact, torch.tensor([[[[3.0, 4.0]]]]), shapley_values=exact)
        tensor([0.6000], dtype=torch.float64)
    """
    check_number(floor, "floor", low=0)
    values = pixel_relevance(attributions, inputs).double()
    exact = pixel_relevance(shapley_values, inputs, "shapley_values").double().to(values.device)
    values = torch.where(values.abs() < floor, 0, values)
    cosines = [cosine(*pair) for pair in zip(values, exact, strict=True)]
    return values.new_tensor(cosines)


def cosine(values: Tensor, exact: Tensor) -> float:
    """Of two vectors, of any shape; 0 where the first is zero, NaN where the second is.

    Example:
        >>> cosine(torch.tensor([2.0, 0.0]), torch.tensor([3.0, 0.0]))
        1.0
    """
    length, exact = float(values.norm()), exact.double()
    if not exact.any():
        return math.nan
    if length == 0:
        return 0.0
    # Rounding may carry it a little beyond.
    return min(1.0, max(-1.0, float((values * exact).sum() / exact.norm()) / length))


METRIC = MetricSpec(
    "shapley_agreement",
    "Agreement with Shapley",
    "higher",
    "cosine similarity to the exact Shapley values against black, which exam models know",
    shapley_agreement,
    range=(-1, 1),
    needs={MetricNeed.KNOWN_ANSWER},
    source="Shapley, 1953",
)
