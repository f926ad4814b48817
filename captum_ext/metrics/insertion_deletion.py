"""Insertion and deletion: the area under the output as the most relevant pixels come and go.

The call is that of :mod:`captum_ext.metrics.occlusion`, whose ties and errors these have.

Source: Petsiuk et al., BMVC 2018 (arXiv 1806.07421).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from captum_ext.baselines import blur
from captum_ext.checks import check_int
from captum_ext.metric_spec import MetricNeed, MetricSpec
from captum_ext.metrics.measurement import metric
from captum_ext.metrics.removal import (
    INSERTION_BLUR,
    Run,
    perturber_named,
    relevances_of,
    removal,
)
from captum_ext.perturbation import Perturber, SolidColor, Transformed


@metric
def deletion(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Any,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    step_size: int | None = None,
    perturber: Perturber | None = None,
    return_curves: bool = False,
    **settings: Any,
) -> Any:
    """The area under the output as the most relevant pixels are deleted; low is good.

    Args:
        step_size: pixels of a step; None takes as many as a row has. The last step takes what is
            left, and counts as much as its part of the pixels.
        perturber: what they turn into; None takes black.
        return_curves: also give the curves ``[B, K]``, from nothing deleted to all.
        **settings: and everything else: see
            :func:`~captum_ext.metrics.occlusion.occlusion_curves` (without ``n_steps``,
            ``segments`` and ``ties``).

    Returns:
        The area ``[B]`` (trapezoids over the part of the pixels, from 0 to 1), and the curves on
        request; NaN, with a warning, where the model gives NaN or infinite outputs.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> deletion(lambda x: x.sum((1, 2, 3)), images, images, step_size=1)
        tensor([2.3333])
    """
    perturber = perturber or SolidColor(0.0)
    run = Run(forward_func, inputs, target, additional_forward_args, perturber, **settings)
    area, curves = _measured(run, attributions, step_size, put_in=False)
    return (area, curves) if return_curves else area


@metric
def insertion(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Any,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    step_size: int | None = None,
    perturber: Perturber | None = None,
    return_curves: bool = False,
    **settings: Any,
) -> Any:
    """The area under the output as the most relevant pixels are put in; high is good.

    Arguments and result as of :func:`deletion`, but that ``perturber=None`` begins from the blurred
    image, and curves go from nothing put in to the whole image.

    Args:
        step_size: as of :func:`deletion`.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> f, black = lambda x: x.sum((1, 2, 3)), SolidColor(0.0)
        >>> insertion(f, images, images, step_size=1, perturber=black)
        tensor([3.6667])
    """
    perturber = perturber or Transformed(blur, sigma=INSERTION_BLUR)
    run = Run(forward_func, inputs, target, additional_forward_args, perturber, **settings)
    area, curves = _measured(run, attributions, step_size, put_in=True)
    return (area, curves) if return_curves else area


def _measured(
    run: Run, attributions: Any, step_size: int | None, *, put_in: bool
) -> tuple[Tensor, Tensor]:
    """The area and the curves as the most relevant pixels are deleted, or put in."""
    relevances, _ = relevances_of(attributions, run.images, None)
    cuts = _cuts(run.images, step_size)
    orders = [relevance.argsort(stable=True, descending=True) for relevance in relevances]
    removed = cuts
    if put_in:
        # To put in the most relevant first is to remove it last.
        orders, removed = [order.flip(0) for order in orders], cuts[-1] - cuts
    curves = run.outputs([removal([order], removed) for order in orders])
    return _area(curves, cuts), curves


def _cuts(images: Tensor, step_size: int | None) -> Tensor:
    """How many pixels each step has reached, ``[K]``, from none to all."""
    count = images.shape[2] * images.shape[3]
    size = images.shape[-1] if step_size is None else check_int(step_size, "step_size", minimum=1)
    size = min(size, count)
    return torch.arange(0, count + size, size).clamp(max=count)


def _area(curves: Tensor, cuts: Tensor) -> Tensor:
    return torch.trapezoid(curves, x=(cuts / cuts[-1]).to(curves), dim=1)


METRICS = (
    MetricSpec(
        "deletion",
        "Deletion",
        "lower",
        "area under the output while the most relevant pixels turn black",
        deletion,
        needs={MetricNeed.OUTPUT},
        inner=Run,
        words={"perturber": perturber_named},
        source="Petsiuk et al., BMVC 2018",
    ),
    MetricSpec(
        "insertion",
        "Insertion",
        "higher",
        "area under the output while the most relevant pixels come back into a blurred image",
        insertion,
        needs={MetricNeed.OUTPUT},
        inner=Run,
        words={"perturber": perturber_named},
        source="Petsiuk et al., BMVC 2018",
    ),
)
