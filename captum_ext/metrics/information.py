"""Performance information curves: how fast the model's answer returns with the information.

A blurred image gets its most relevant pixels back, more and more of them. The curve shows how much
of the model's answer has returned (y) against how much of the image's information has (x), which
is measured as the length of its lossless WebP file; the area under it is the score, higher for
better. Kapishnikov et al., ICCV 2019 (arXiv 1906.02825) and CVPR 2021, as PAIR implements it in
``saliency.metrics.pic``.

The call is that of all metrics, see :mod:`captum_ext.metrics.localization`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from saliency.metrics import pic
from torch import Tensor
from torch.nn import functional

from captum_ext.checks import check_choice, check_number, precise
from captum_ext.forward import Evaluator
from captum_ext.metric_spec import MetricNeed, MetricSpec
from captum_ext.metrics.measurement import NotFiniteError, finite_or_nan, metric, remark
from captum_ext.metrics.relevance import (
    check_model_call,
    of_example,
    pixel_relevance,
    target_or_predicted,
    warn_of_equal,
)
from captum_ext.randomness import GeneratorLike, global_seed, seed_of
from captum_ext.targets import select_target

#: Parts of the pixels, most relevant first, that are given back: those of PAIR's documentation.
SALIENCY_THRESHOLDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.13, 0.21, 0.34, 0.5, 0.75)
# Rounding may carry an image a little beyond [0, 1].
_SLACK = 1e-4
# As in the paper, a curve never falls; points on the information axis, beside its end.
_MONOTONOUS = True
_POINTS = 1000

#: From the model's output ``[b, classes]`` the values of which the target's is followed.
ClassValues = Callable[[Tensor], Tensor]
_PROBABILITIES: dict[str, ClassValues] = {
    "logits": partial(torch.softmax, dim=1),
    "probabilities": torch.clone,
}


@metric
def softmax_information_curve(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    output: str = "logits",
    min_pred_value: float = 0.8,
    mask_fraction: float = 0.01,
    saliency_thresholds: Sequence[float] = SALIENCY_THRESHOLDS,
    generator: GeneratorLike = None,
    return_curves: bool = False,
) -> Any:
    """SIC: the area under the curve of the target's probability against information.

    What PAIR cannot measure is NaN, with a warning that says why: an image that the model is less
    sure of than ``min_pred_value``, or that blurring leaves as informative as it was or as good for
    the model; and one for which the model gives NaN or infinite outputs.

    Args:
        forward_func: the model, which returns ``[B, classes]``.
        inputs: images ``[B, C, H, W]`` of one or three channels, RGB in [0, 1]. The model sees them
            in 256 levels, since information is the length of a file.
        attributions: ``[B, C, H, W]`` or ``[B, 1, H, W]``. The sum over the channels orders the
            pixels; those that tie come back together.
        target: a class, or one per example, in Captum's forms; None: the predicted one.
        additional_forward_args: in Captum's form.
        output: whether the model returns ``"logits"``, or ``"probabilities"`` itself.
        min_pred_value: the probability that the target must have on the whole image.
        mask_fraction: the part of the pixels, drawn at random, that the blurred image is
            interpolated from, beside its corners.
        saliency_thresholds: the parts of the pixels that are given back, ascending, in (0, 1].
        generator: seed or torch.Generator for those random pixels, which are the same for all
            examples and maps, as a fair comparison asks.
        return_curves: the curves, too.

    Returns:
        ``[B]`` in [0, 1] or NaN. With ``return_curves`` a tuple of it, the curves ``[B, P]``, and
        the information ``[P]`` at which they are given, from 0 (blurred) to 1 (the image).

    Raises:
        TypeError, ValueError: an argument of a wrong type, shape or range; a model that does not
            return ``[B, classes]``; a target outside them.

    Example:
        >>> images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> images[..., 8, 8] = 1
        >>> def model(x):
        ...     return torch.stack([0 * x[:, 0, 8, 8], 9 * x[:, 0, 8, 8] - 7], dim=1)
        >>> softmax_information_curve(model, images, images) > 0.9
        tensor([True])
    """
    values = _PROBABILITIES[check_choice(output, "output", _PROBABILITIES)]
    check_number(min_pred_value, "min_pred_value", low=0, high=1)
    call = (forward_func, inputs, attributions, target, additional_forward_args)
    settings = (min_pred_value, mask_fraction, saliency_thresholds, generator, return_curves)
    return _information_curves(*call, values, *settings)


@metric
def accuracy_information_curve(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    additional_forward_args: Any = None,
    *,
    mask_fraction: float = 0.01,
    saliency_thresholds: Sequence[float] = SALIENCY_THRESHOLDS,
    generator: GeneratorLike = None,
    return_curves: bool = False,
) -> Any:
    """AIC: the area under the curve of the model being right (1) or wrong (0) against information.

    Right is whose highest output is the target's. Arguments, result and errors as in
    :func:`softmax_information_curve`; NaN, with a warning, where the model is wrong on the whole
    image, or right on the blurred one.

    Args:
        mask_fraction, saliency_thresholds: as of :func:`softmax_information_curve`.

    Example:
        >>> images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> images[..., 8, 8] = 1
        >>> def model(x):
        ...     return torch.stack([0 * x[:, 0, 8, 8], x[:, 0, 8, 8] - 0.9], dim=1)
        >>> accuracy_information_curve(model, images, images) > 0.9
        tensor([True])
    """
    call = (forward_func, inputs, attributions, target, additional_forward_args)
    settings = (1.0, mask_fraction, saliency_thresholds, generator, return_curves)
    return _information_curves(*call, _is_highest, *settings)


def _is_highest(outputs: Tensor) -> Tensor:
    highest = outputs.amax(1, keepdim=True).double()
    right = functional.one_hot(outputs.argmax(1), outputs.shape[1])
    # Among NaN or infinite outputs there is no highest one.
    return torch.where(highest.isfinite(), right, math.nan)


def _information_curves(
    forward_func: Callable[..., Any],
    inputs: Tensor,
    attributions: Tensor,
    target: Any,
    additional_forward_args: Any,
    values: ClassValues,
    min_pred_value: float,
    mask_fraction: float,
    saliency_thresholds: Sequence[float],
    generator: GeneratorLike,
    return_curves: bool,
) -> Any:
    images = check_model_call(forward_func, inputs, attributions, target, additional_forward_args)
    _check_rgb(images)
    check_number(mask_fraction, "mask_fraction", low=0, high=1)
    settings = (_check_thresholds(saliency_thresholds), min_pred_value, _MONOTONOUS, _POINTS)
    pixels = pixel_relevance(attributions, inputs)
    warn_of_equal(pixels.flatten(1))
    relevance = pixels.cpu().double().numpy()
    seed, reasons, results = seed_of(generator), {}, []
    target = target_or_predicted(forward_func, images, target, additional_forward_args)
    with global_seed(seed):
        random_mask = pic.generate_random_mask(*images.shape[2:], fraction=mask_fraction)
        for example, array in enumerate(_as_uint8(images)):
            chosen, additional = of_example(example, target, additional_forward_args)
            predict = _prediction(Evaluator(forward_func, None, additional), images, chosen, values)
            maps = relevance[example], random_mask
            try:
                results.append(_compute_pic_metric(array, *maps, predict, *settings))
            except pic.ComputePicMetricError as error:
                reasons[example] = str(error)
                results.append(None)
            except NotFiniteError:
                results.append(None)
    if reasons:
        why = "; ".join(f"example {example}: {reason}" for example, reason in reasons.items())
        remark(f"no information curve (NaN) for some examples. {why}")
    like = torch.zeros(0, dtype=precise(attributions), device=attributions.device)
    # Rounding may carry an area a little beyond 1.
    areas = like.new_tensor([np.nan if each is None else min(each.auc, 1) for each in results])
    if not return_curves:
        return areas
    information = np.linspace(0, 1, _POINTS + 1)
    missing = np.full(len(information), np.nan)
    curves = np.stack([missing if each is None else each.curve_y for each in results])
    return areas, like.new_tensor(curves), like.new_tensor(information)


def _check_rgb(images: Tensor) -> None:
    if images.shape[1] not in (1, 3) or min(images.shape[2:]) < 2:
        raise ValueError(
            "inputs must be images of one or three channels and at least 2 x 2 pixels; got shape "
            f"{tuple(images.shape)}"
        )
    low, high = float(images.min()), float(images.max())
    if low < -_SLACK or high > 1 + _SLACK:
        raise ValueError(
            f"inputs must be RGB in [0, 1] (captum_ext.forward.Preprocessed wraps a model that "
            f"wants other values); got {low:g} to {high:g}"
        )


def _check_thresholds(saliency_thresholds: Any) -> list[float]:
    name = "each of saliency_thresholds"
    parts = [check_number(part, name, 0, 1, above=True) for part in saliency_thresholds]
    if not parts or parts != sorted(parts):
        raise ValueError(f"saliency_thresholds must be numbers in ascending order; got {parts}")
    return parts


def _as_uint8(images: Tensor) -> np.ndarray:
    """``[B, H, W, 3]``: PAIR's code stumbles over a gray image that is given back as a whole."""
    levels = (images.cpu().double().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.expand(-1, 3, -1, -1).movedim(1, -1).numpy())


def _prediction(
    evaluator: Evaluator, images: Tensor, target: Any, values: ClassValues
) -> Callable[[np.ndarray], list[float]]:
    """PAIR's ``pred_func`` for one example."""

    def predict(batch: np.ndarray) -> list[float]:
        rows = torch.from_numpy(batch).movedim(-1, 1)[:, : images.shape[1]].to(images) / 255
        with torch.no_grad():
            outputs = evaluator.outputs(rows, torch.zeros_like(rows[:, 0, 0, 0]).long())
        if outputs.dim() != 2:
            raise ValueError(
                f"forward_func must return [B, classes]; got shape {tuple(outputs.shape)}"
            )
        predictions = finite_or_nan(select_target(values(outputs), target))
        if bool(predictions.isnan().any()):
            raise NotFiniteError("the model gave NaN or infinite outputs")
        return predictions.tolist()

    return predict


def _on_any_numpy(function: Any) -> Callable[..., Any]:
    """``function``, or where NumPy has no ``np.trapz`` any more, a copy that finds it.

    The library's own module, which others may use, stays as it is.
    """
    if hasattr(np, "trapz") or "trapz" not in function.__code__.co_names:
        return function  # type: ignore[no-any-return]
    numpy = ModuleType("numpy")
    vars(numpy).update(vars(np), trapz=np.trapezoid)
    surroundings = {**vars(pic), "np": numpy}
    return FunctionType(function.__code__, surroundings, argdefs=function.__defaults__)


_compute_pic_metric = _on_any_numpy(pic.compute_pic_metric)


# Which picture is right does not depend on the output; PAIR's SIC follows the probability.
METRICS = (
    MetricSpec(
        "aic",
        "AIC",
        "higher",
        "area under the curve of being right against the picture's information",
        accuracy_information_curve,
        range=(0, 1),
        needs={MetricNeed.SEED},
        source="Kapishnikov et al., ICCV 2019",
    ),
    MetricSpec(
        "sic",
        "SIC",
        "higher",
        "area under the curve of the probability against the picture's information",
        softmax_information_curve,
        range=(0, 1),
        needs={MetricNeed.SEED},
        defaults={"output": "probabilities"},
        source="Kapishnikov et al., ICCV 2019",
    ),
)
