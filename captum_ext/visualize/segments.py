"""The image with its best segments kept and the rest perturbed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from captum_ext.checks import check_differentiable, check_inputs, check_int, check_number
from captum_ext.perturbation import Perturber, Segments, SolidColor
from captum_ext.randomness import GeneratorLike


def keep_segments(
    image: Tensor,
    segments: Segments,
    scores: Tensor,
    *,
    top: int | None = None,
    fraction: float | None = None,
    share: float | None = None,
    threshold: float | None = None,
    perturber: Perturber | None = None,
    generator: GeneratorLike = None,
) -> Tensor:
    """Keeps an image's best segments, with their own hard or soft edges, and perturbs the rest.

    Exactly one of ``top``, ``fraction``, ``share`` and ``threshold`` says which are kept; of
    segments with the same score the first ones are the better ones.

    Args:
        image: ``[C, H, W]`` of a floating-point dtype.
        segments: the image's S segments.
        scores: ``[S]``, of :meth:`captum_ext.attr.SegmentPerturbation.attribute_segments` or
            another.
        top: how many segments.
        fraction: which part of all segments, above 0 and at most 1; rounded up to a whole segment.
        share: as few of the best segments as hold at least this part, above 0 and at most 1, of
            the sum of all positive scores.
        threshold: those with a score of at least this; there may be none.
        perturber: what stands where a segment is removed, in one version; None takes the image's
            mean color.
        generator: seed or torch.Generator of what the perturber draws.

    Returns:
        ``[C, H, W]`` without graph.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: none or several of the four; one out of its range; shapes that do not fit;
            values that are not finite; a share where no score is positive; a perturber that makes
            several versions.

    Example:
        >>> image = torch.tensor([[[0.0, 0.25, 1.0, 0.75]]])
        >>> segments = Segments(torch.tensor([[0, 0, 1, 2]]))
        >>> keep_segments(image, segments, torch.tensor([3.0, 1.0, 2.0]), top=2)
        tensor([[[0.0000, 0.2500, 0.5000, 0.7500]]])
    """
    _check_image(image, segments)
    _check_scores(scores, segments)
    perturber = _check_perturber(perturber)
    criteria = {"top": top, "fraction": fraction, "share": share, "threshold": threshold}
    kept = _choose(scores.detach().cpu(), criteria)
    sample = kept.to(segments.labels.device, image.dtype)
    masks = segments.cover(sample[None]).to(image.device)
    return perturber(image.detach(), masks, generator)[0]


def _choose(scores: Tensor, criteria: dict[str, float | None]) -> Tensor:
    """Which segments one criterion keeps: ``[S]`` of bool."""
    given = [name for name, value in criteria.items() if value is not None]
    if len(given) != 1:
        raise ValueError(
            f"exactly one of {', '.join(criteria)} must say which segments are kept; got "
            f"{' and '.join(given) or 'none'}"
        )
    (name,) = given
    value = criteria[name]
    if name == "threshold":
        return scores >= check_number(value, name)
    scores = scores.double()
    best = scores.argsort(descending=True, stable=True)
    count = {"top": _count_top, "fraction": _count_fraction, "share": _count_share}[name]
    kept = torch.zeros(len(scores), dtype=torch.bool)
    kept[best[: count(scores[best], value)]] = True
    return kept


def _count_top(ordered: Tensor, top: float | None) -> int:
    count = check_int(top, "top", minimum=1)
    if count > len(ordered):
        raise ValueError(f"top must be at most the {len(ordered)} segments; got {count}")
    return count


def _count_fraction(ordered: Tensor, fraction: float | None) -> int:
    part = check_number(fraction, "fraction", low=0, high=1, above=True)
    # 0.07 * 100 is slightly more than 7, which is no reason to keep an eighth.
    return max(1, math.ceil(round(part * len(ordered), 9)))


def _count_share(ordered: Tensor, share: float | None) -> int:
    part = check_number(share, "share", low=0, high=1, above=True)
    held = ordered.clamp(min=0).cumsum(0)
    if held[-1] == 0:
        raise ValueError(
            "share must be of positive scores, of which there is none; the highest is "
            f"{ordered[0].item():g}"
        )
    # As with fraction: a rounding error of the sum is no reason to keep one more.
    return int((held < part * held[-1] * (1 - 1e-9)).sum()) + 1


def _check_image(image: Tensor, segments: Segments) -> None:
    check_inputs(image, "image")
    check_differentiable((image,), "image")
    if image.dim() != 3:
        raise ValueError(f"image must be [C, H, W]; got shape {tuple(image.shape)}")
    if not isinstance(segments, Segments):
        raise TypeError(f"segments must be Segments; got {type(segments).__name__}")
    if segments.labels.shape != image.shape[1:]:
        raise ValueError(
            f"segments must be of the image's size {tuple(image.shape[1:])}; got "
            f"{tuple(segments.labels.shape)}"
        )


def _check_scores(scores: Tensor, segments: Segments) -> None:
    check_inputs(scores, "scores")
    if tuple(scores.shape) != (len(segments),):
        raise ValueError(
            f"scores must be one for each of the {len(segments)} segments; got shape "
            f"{tuple(scores.shape)}"
        )


def _check_perturber(perturber: Perturber | None) -> Perturber:
    perturber = SolidColor("mean") if perturber is None else perturber
    if not isinstance(perturber, Perturber):
        raise TypeError(f"perturber must be of the class Perturber; got {type(perturber).__name__}")
    if perturber.versions != 1:
        raise ValueError(
            f"perturber must make one version of the image; got {perturber!r}, which makes "
            f"{perturber.versions}"
        )
    return perturber
