"""Occlusion metrics: how the model's output falls as relevant, or irrelevant, pixels are removed.

    curve_j = f(x without the first round(j P / (K - 1)) of its P pixels),  j = 0, ..., K - 1
    LIF = mean of the curve that removes the least relevant first        higher is better
    MIF = mean of the curve that removes the most relevant first         lower is better
    SRG = LIF - MIF                                                      higher is better

Each function takes ``(forward_func, inputs, attributions, target, additional_forward_args)`` and
gives one number per example; what is removed fades into what a perturber says. Segments may be
removed in place of pixels. Ties go by the pixel's index (row by row) in both directions, so that an
attribution that is the same everywhere has SRG 0.

Source: Blücher et al., TMLR 2024 (arXiv 2401.06654): LIF, MIF, SRG; Pihlgren and Främling, 2024
(arXiv 2409.04116): segments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import check_choice, check_int
from captum_ext.metric_spec import MetricNeed, MetricSpec
from captum_ext.metrics.measurement import metric
from captum_ext.metrics.removal import (
    TIES,
    OcclusionCurves,
    Run,
    least_and_most_relevant,
    perturber_named,
    relevances_of,
)
from captum_ext.perturbation import Perturber, Segments, SolidColor
from captum_ext.randomness import GeneratorLike
from captum_ext.results import Direction


@metric
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
        perturber: what stands for what is removed, in studies also a gray level or a name ("mean",
            "median", "black", "white", "blur"); None takes the image's mean color.
        segments: of each image, or those of all: what is removed is a segment, with its edges
            hard or soft.
        ties: ``"index"``, or ``"numpy"``: the order of NumPy's unstable sort, and its reverse, as
            in the published evaluation. It scatters ties, and differs between processors.
        perturbations_per_eval: perturbed versions of each example that go into the model together;
            None chooses by device and size.
        generator: seed or torch.Generator of what the perturber draws.
        show_progress: a bar on stderr.

    Returns:
        Curves ``[B, K]``; NaN where the model gives NaN or infinite outputs.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: shapes that do not fit, values that are not finite, more steps than there are
            pixels or segments.

    Warns:
        AttributionWarning: attributions that are the same everywhere rank nothing; the model gives
            NaN or infinite outputs.

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


@metric
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
        ``[B]``, and the curves on request.

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


@metric
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

    Args:
        normalize, return_curves, **settings: as of :func:`lif`, and so is the result.

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


@metric
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

    Args:
        normalize, return_curves, **settings: as of :func:`lif`.

    Returns:
        ``[B]``, and, on request, the curves ``[B, 2, K]``: LIF, then MIF.

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


def _summary(kind: str, curves: OcclusionCurves, *, normalize: bool = False) -> Tensor:
    lif, mif = (curve.mean(1) for curve in (curves.normalized() if normalize else curves))
    return {"srg": lif - mif, "lif": lif, "mif": mif}[kind]


def _spec(name: str, direction: Direction, about: str, function: Callable[..., Any]) -> MetricSpec:
    return MetricSpec(
        name,
        name.upper(),
        direction,
        about,
        function,
        needs={MetricNeed.OUTPUT},
        inner=occlusion_curves,
        summary=partial(_summary, name),
        words={"perturber": perturber_named},
        source="Blücher et al., TMLR 2024",
    )


METRICS = (
    _spec("srg", "higher", "symmetric relevance gain: LIF minus MIF; 0 is chance", srg),
    _spec("lif", "higher", "mean output while the least relevant pixels are removed first", lif),
    _spec("mif", "lower", "mean output while the most relevant pixels are removed first", mif),
)
