"""Occlusion metrics: how the model's output falls as relevant, or irrelevant, pixels are removed.

    curve_j = f(x without the first round(j P / (K - 1)) of its P pixels),  j = 0, ..., K - 1
    LIF = mean of the curve that removes the least relevant first        higher is better
    MIF = mean of the curve that removes the most relevant first         lower is better
    SRG = LIF - MIF                                                      higher is better

Each function takes ``(forward_func, inputs, attributions, target, additional_forward_args)`` and
gives one number per example; what is removed fades into what a perturber says. Segments may be
removed in place of pixels. Ties go by the pixel's index (row by row) in both directions, so that an
attribution that is the same everywhere has SRG 0.

Source: Blücher et al., TMLR 2024 (arXiv 2401.06654): LIF, MIF, SRG; Petsiuk et al., BMVC 2018
(arXiv 1806.07421): insertion, deletion; Pihlgren and Främling, 2024 (arXiv 2409.04116): segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from captum_ext.baselines import blur
from captum_ext.checks import check_choice, check_int
from captum_ext.metrics.removal import (
    TIES,
    OcclusionCurves,
    Run,
    least_and_most_relevant,
    relevances_of,
    removal,
)
from captum_ext.perturbation import Perturber, Segments, SolidColor, Transformed
from captum_ext.randomness import GeneratorLike

#: Standard deviation of the blur from which insertion starts, in pixels; that of RISE's authors.
INSERTION_BLUR = 5.0


def occlusion_curves(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Any,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    n_steps: int = 10,
    perturber: Perturber | None = None,
    segments: Segments | Sequence[Segments] | None = None,
    ties: str = "index",
    perturbations_per_eval: int | None = None,
    generator: GeneratorLike = None,
    show_progress: bool = False,
) -> OcclusionCurves:
    """Both curves of each example, from ``2 n_steps - 2`` passes: their ends are the same.

    Args:
        forward_func: the model; let it end in a softmax, if probabilities are wanted.
        inputs: images ``[B, C, H, W]`` of a floating-point dtype.
        attributions: ``[B, C, H, W]`` (their sum over channels counts) or ``[B, 1, H, W]``; with
            ``segments`` their scores, ``[B, S]`` or for each example ``[S]``.
        target: which output; None takes each example's highest, found before anything is removed.
        additional_forward_args: in Captum's form.
        n_steps: K, the points of a curve; the first with nothing removed, the last with all.
        perturber: what stands for what is removed; None takes the image's mean color.
        segments: of each image, or those of all: what is removed is a segment, with its edges
            hard or soft.
        ties: ``"index"``, or ``"numpy"``: the order of NumPy's unstable sort, and its reverse, as
            in the published evaluation. It scatters ties, and differs between processors.
        perturbations_per_eval: perturbed versions of each example that go into the model together;
            None chooses by device and size.
        generator: seed or torch.Generator of what the perturber draws.
        show_progress: a bar on stderr.

    Returns:
        Curves ``[B, K]``.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: shapes that do not fit, values that are not finite, more steps than there are
            pixels or segments.

    Warns:
        UserWarning: attributions that are the same everywhere rank nothing.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> black = SolidColor(0.0)
        >>> f = lambda x: x.sum((1, 2, 3))
        >>> curves = occlusion_curves(f, images, images, n_steps=4, perturber=black)
        >>> curves.lif.tolist(), curves.mif.tolist()
        ([[6.0, 5.0, 3.0, 0.0]], [[6.0, 3.0, 1.0, 0.0]])
    """
    run = Run(
        forward_func,
        inputs,
        target,
        additional_forward_args,
        perturber or SolidColor("mean"),
        perturbations_per_eval,
        generator,
        show_progress,
    )
    check_choice(ties, "ties", TIES)
    relevances, segments_of = relevances_of(attributions, run.images, segments)
    fewest = min(map(len, relevances))
    if check_int(n_steps, "n_steps", minimum=2) > fewest + 1:
        what = "pixels" if segments is None else "segments"
        raise ValueError(
            f"n_steps must be at most {fewest + 1}, one more than there are {what}; got {n_steps}"
        )
    outputs = run.outputs(
        [
            least_and_most_relevant(relevance, n_steps, ties, own)
            for relevance, own in zip(relevances, segments_of, strict=True)
        ]
    )
    least, most = outputs[:, :n_steps], outputs[:, n_steps:]
    return OcclusionCurves(least, torch.cat([least[:, :1], most, least[:, -1:]], dim=1))


def lif(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Any,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    normalize: bool = False,
    return_curves: bool = False,
    **settings: Any,
) -> Any:
    """Least important first: the mean output while the least relevant is removed; high is good.

    Args:
        normalize: of each curve from 1 to 0; see :meth:`OcclusionCurves.normalized`.
        return_curves: also give the curves ``[B, K]``.
        **settings: and everything else: see :func:`occlusion_curves`.

    Returns:
        ``[B]``, and the curves where asked for.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> black = SolidColor(0.0)
        >>> lif(lambda x: x.sum((1, 2, 3)), images, images, n_steps=4, perturber=black)
        tensor([3.5000])
    """
    curves = _curves(
        forward_func, inputs, attributions, target, additional_forward_args, normalize, settings
    )
    return (curves.lif.mean(1), curves.lif) if return_curves else curves.lif.mean(1)


def mif(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Any,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    normalize: bool = False,
    return_curves: bool = False,
    **settings: Any,
) -> Any:
    """Most important first: the mean output while the most relevant is removed; low is good.

    Arguments and result as of :func:`lif`.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> black = SolidColor(0.0)
        >>> mif(lambda x: x.sum((1, 2, 3)), images, images, n_steps=4, perturber=black)
        tensor([2.5000])
    """
    curves = _curves(
        forward_func, inputs, attributions, target, additional_forward_args, normalize, settings
    )
    return (curves.mif.mean(1), curves.mif) if return_curves else curves.mif.mean(1)


def srg(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Any,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    normalize: bool = False,
    return_curves: bool = False,
    **settings: Any,
) -> Any:
    """Symmetric relevance gain: LIF - MIF; high is good, and 0 what chance gives.

    Arguments as of :func:`lif`.

    Returns:
        ``[B]``, and, where asked for, the curves ``[B, 2, K]``: LIF, then MIF.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> black = SolidColor(0.0)
        >>> srg(lambda x: x.sum((1, 2, 3)), images, images, n_steps=4, perturber=black)
        tensor([1.])
    """
    curves = _curves(
        forward_func, inputs, attributions, target, additional_forward_args, normalize, settings
    )
    gain = curves.lif.mean(1) - curves.mif.mean(1)
    return (gain, torch.stack(tuple(curves), dim=1)) if return_curves else gain


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
        step_size: pixels of a step; None takes as many as a row has.
        perturber: what they turn into; None takes black.
        return_curves: also give the curves ``[B, K]``, from nothing deleted to all.
        **settings: and everything else: see :func:`occlusion_curves` (without ``n_steps``,
            ``segments`` and ``ties``).

    Returns:
        The area ``[B]`` (trapezoids, over a width of 1), and the curves where asked for.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> deletion(lambda x: x.sum((1, 2, 3)), images, images, step_size=1)
        tensor([2.3333])
    """
    perturber = perturber or SolidColor(0.0)
    run = Run(forward_func, inputs, target, additional_forward_args, perturber, **settings)
    curves = run.outputs(
        [
            removal([relevance.argsort(stable=True, descending=True)], cuts)
            for relevance, cuts in _in_steps(attributions, run.images, step_size)
        ]
    )
    return (_area(curves), curves) if return_curves else _area(curves)


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

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> f, black = lambda x: x.sum((1, 2, 3)), SolidColor(0.0)
        >>> insertion(f, images, images, step_size=1, perturber=black)
        tensor([3.6667])
    """
    perturber = perturber or Transformed(blur, sigma=INSERTION_BLUR)
    run = Run(forward_func, inputs, target, additional_forward_args, perturber, **settings)
    # To put in the most relevant first is to remove it last.
    curves = run.outputs(
        [
            removal(
                [relevance.argsort(stable=True, descending=True).flip(0)], len(relevance) - cuts
            )
            for relevance, cuts in _in_steps(attributions, run.images, step_size)
        ]
    )
    return (_area(curves), curves) if return_curves else _area(curves)


def _curves(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Any,
    target: Any,
    additional_forward_args: Any,
    normalize: bool,
    settings: dict[str, Any],
) -> OcclusionCurves:
    curves = occlusion_curves(
        forward_func, inputs, attributions, target, additional_forward_args, **settings
    )
    return curves.normalized() if normalize else curves


def _in_steps(
    attributions: Any, images: Tensor, step_size: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each image the relevance of its pixels, and how many each step has reached."""
    relevances, _ = relevances_of(attributions, images, None)
    size = images.shape[-1] if step_size is None else check_int(step_size, "step_size", minimum=1)
    for relevance in relevances:
        count = len(relevance)
        cuts = torch.arange(0, count + size, size).clamp(max=count)
        yield relevance, cuts


def _area(curves: Tensor) -> Tensor:
    return torch.trapezoid(curves, dim=1) / (curves.shape[1] - 1)
