"""Removal of pixels or segments in some order: what the occlusion metrics run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from captum_ext.baselines import blur
from captum_ext.checks import check_choice, check_differentiable, check_forward_func, precise
from captum_ext.forward import Evaluator, rows_per_call
from captum_ext.metrics.measurement import finite_or_nan, remark
from captum_ext.metrics.relevance import (
    image_batch,
    pixel_relevance,
    target_or_predicted,
    warn_of_equal,
)
from captum_ext.perturbation import Perturber, Segments, SolidColor, Transformed
from captum_ext.perturbation.rows import PerturbedExample, perturb_each
from captum_ext.perturbation.segments.segments import check_segments
from captum_ext.randomness import GeneratorLike, global_seed, seed_of
from captum_ext.targets import check_images

#: Standard deviation of the blur from which insertion starts, in pixels; that of RISE's authors.
INSERTION_BLUR = 5.0
#: What stands for what is removed, by name.
PERTURBERS: dict[str, Callable[[], Perturber]] = {
    "mean": lambda: SolidColor("mean"),
    "median": lambda: SolidColor("median"),
    "black": lambda: SolidColor(0.0),
    "white": lambda: SolidColor(1.0),
    "blur": lambda: Transformed(blur, sigma=INSERTION_BLUR),
}
#: Rounding errors of an output, in units of its precision, that are no change.
ROUNDING = 32
#: How ties are ordered.
TIES = ("index", "numpy")


def perturber_named(given: Any) -> Perturber | None:
    """A perturber, of one of these names, of a gray level in [0, 1], or itself.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> perturber_named("white").color.item()
        1.0
    """
    if given is None or isinstance(given, Perturber):
        return given
    if isinstance(given, str):
        return PERTURBERS[check_choice(given, "perturber", PERTURBERS)]()
    return SolidColor(given)


class OcclusionCurves(NamedTuple):
    """The model's outputs as more and more is removed.

    Attributes:
        lif: ``[B, K]``, the least relevant removed first.
        mif: ``[B, K]``, the most relevant removed first.
    """

    lif: Tensor
    mif: Tensor

    def normalized(self) -> OcclusionCurves:
        """Each curve from 1 (nothing removed) to 0 (all removed).

        An example whose output is the same with nothing and with all removed becomes NaN, with a
        warning.

        Example:
            >>> OcclusionCurves(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[3.0, 1.0, 1.0]])
            ...     ).normalized().mif
            tensor([[1., 0., 0.]])
        """
        reach = (self.lif[:, 0] - self.lif[:, -1]).abs()
        size = torch.stack(tuple(self)).abs().amax((0, 2))
        flat = reach <= ROUNDING * torch.finfo(self.lif.dtype).eps * size
        if flat.any():
            examples = flat.nonzero().flatten().tolist()
            remark(
                f"the output of examples {examples} is the same with all removed: no normalized "
                "curve (NaN)"
            )
        return OcclusionCurves(*(_normalized(curve, flat) for curve in self))


@dataclass(frozen=True)
class Removal:
    """What is removed from one image in each of N samples.

    Attributes:
        ranks: ``[orders, P]``, at which place each pixel (or segment) is removed.
        cuts: ``[N]``, how many are removed.
        which: ``[N]``, the order that a sample follows.
        segments: where they are removed, and not pixels.
    """

    ranks: Tensor
    cuts: Tensor
    which: Tensor
    segments: Segments | None

    def keep(self, samples: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        """What some samples ``[b]`` keep of ``image [C, H, W]``: ``[b, H, W]``."""
        kept = (self.ranks[self.which[samples]] >= self.cuts[samples][:, None]).to(image.dtype)
        if self.segments is not None:
            return (self.segments.cover(kept),)
        return (kept.reshape(-1, *image.shape[1:]),)


def removal(
    orders: Sequence[Tensor],
    cuts: Tensor,
    which: Tensor | None = None,
    segments: Segments | None = None,
) -> Removal:
    """The removal that follows some orders.

    Args:
        orders: each ``[P]``, the pixels' numbers as they are removed.
        cuts: ``[N]``, how many each sample removes.
        which: ``[N]``, the order that it follows; None takes the first.
        segments: where segments are numbered, not pixels.

    Example:
        >>> steps = removal([torch.tensor([2, 0, 1])], torch.tensor([0, 1, 2]))
        >>> steps.keep(torch.arange(3), torch.zeros(1, 1, 3))[0][:, 0].tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    """
    order = torch.stack(list(orders))
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, places)
    which = torch.zeros_like(cuts) if which is None else which
    return Removal(ranks, cuts.to(order.device), which.to(order.device), segments)


def least_and_most_relevant(
    relevance: Tensor, n_steps: int, ties: str, segments: Segments | None
) -> Removal:
    """The least relevant first in ``n_steps`` samples, then the most relevant in those between."""
    if ties == "numpy":
        least = torch.from_numpy(np.argsort(relevance.cpu().double().numpy())).to(relevance.device)
        most = least.flip(0)
    else:
        least, most = (relevance.argsort(stable=True, descending=down) for down in (False, True))
    # Halves go to even numbers, as Python rounds them.
    cuts = torch.linspace(0, len(relevance), n_steps, dtype=torch.float64).round().long()
    which = torch.tensor([0] * n_steps + [1] * (n_steps - 2))
    return removal([least, most], torch.cat([cuts, cuts[1:-1]]), which, segments)


class Run:
    """The model and its images, and how what is removed looks.

    Args:
        forward_func, inputs, target, additional_forward_args, perturber, perturbations_per_eval,
            generator, show_progress: see :func:`captum_ext.metrics.occlusion.occlusion_curves`.

    Raises:
        TypeError, ValueError: an argument of a wrong type, or out of its range.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        inputs: Tensor,
        target: Any,
        additional_forward_args: Any,
        perturber: Perturber,
        perturbations_per_eval: int | None = None,
        generator: GeneratorLike = None,
        show_progress: bool = False,
    ) -> None:
        check_forward_func(forward_func)
        if not isinstance(perturber, Perturber):
            raise TypeError(f"perturber must be a Perturber; got {type(perturber).__name__}")
        (self.images,) = check_images(image_batch(inputs), target, additional_forward_args)
        self.perturber = perturber
        self.seed = seed_of(generator)
        self.evaluator = Evaluator(
            forward_func,
            target,
            additional_forward_args,
            batch_size=rows_per_call(perturbations_per_eval, len(self.images)),
            show_progress=show_progress,
            description="occlusion",
        )

    def outputs(self, removals: Sequence[Removal]) -> Tensor:
        """The outputs of all samples ``[B, N]``, means over the perturber's versions.

        They are NaN where the model gives NaN or infinite outputs.
        """
        n_samples, versions = len(removals[0].cuts), self.perturber.versions
        examples = [
            PerturbedExample(
                (image,), (self.perturber,), n_samples, partial(each.keep, image=image), self.seed
            )
            for image, each in zip(self.images, removals, strict=True)
        ]
        self.evaluator.target = target_or_predicted(
            self.evaluator.forward_func,
            self.images,
            self.evaluator.target,
            self.evaluator.additional_forward_args,
        )
        rows = [n_samples * versions] * len(examples)
        with global_seed(self.seed):  # of a model that draws
            outputs = torch.stack(self.evaluator.each(self.images, perturb_each(examples), rows))
        # Areas and gains are small differences of outputs, for which half precision will not do.
        outputs = finite_or_nan(outputs).to(precise(outputs))
        return outputs.reshape(len(examples), n_samples, versions).mean(2)


def relevances_of(
    attributions: Any, images: Tensor, segments: Segments | Sequence[Segments] | None
) -> tuple[list[Tensor], list[Segments | None]]:
    """For each image the relevance ``[P]`` of its pixels or segments, and the segments.

    Warns:
        UserWarning: a relevance that is the same everywhere.

    Raises:
        TypeError, ValueError: attributions or segments that do not fit the images.
    """
    found: list[Segments | None] = [None] * len(images)
    if segments is None:
        relevances = list(pixel_relevance(attributions, images).flatten(1).to(images.device))
    else:
        for name, value in (("attributions", attributions), ("segments", segments)):
            if not isinstance(value, Segments | Sequence) and not _has_rows(value):
                raise TypeError(f"{name} must be one for each image; got {type(value).__name__}")
        several = [segments] * len(images) if isinstance(segments, Segments) else list(segments)
        if len(several) != len(images) or len(attributions) != len(images):
            raise ValueError(
                f"attributions and segments must be as many as the {len(images)} images; got "
                f"{len(attributions)} and {len(several)}"
            )
        found = [
            check_segments(each, x, "segments") for each, x in zip(several, images, strict=True)
        ]
        relevances = [
            _check_scores(scores, own) for scores, own in zip(attributions, several, strict=True)
        ]
    warn_of_equal(relevances)
    return relevances, found


def _check_scores(scores: Any, segments: Segments) -> Tensor:
    if not isinstance(scores, Tensor) or scores.shape != (len(segments),):
        what = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(
            f"attributions must be one score for each of the {len(segments)} segments; got {what}"
        )
    check_differentiable((scores,), "attributions")
    if not torch.isfinite(scores).all():
        raise ValueError("attributions must be finite; got NaN or infinite values")
    return scores.detach().to(segments.labels.device)


def _has_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0


def _normalized(curve: Tensor, flat: Tensor) -> Tensor:
    scaled = (curve - curve[:, -1:]) / (curve[:, :1] - curve[:, -1:])
    return scaled.masked_fill(flat[:, None], math.nan)
