"""Perturbation of segments: segmenter -> sampler -> perturber -> model -> attributer.

The image is split into S segments, whose edges may be soft. N samples ``Z_n`` choose the segments
to keep; a fill replaces the others. The attributer computes a score of each segment from the
model's outputs:

    m_n = Z_n @ masks / sum(masks)
    f_n = f(m_n * x + (1 - m_n) * fill)
    scores = attributer(f, Z)

RISE, LIME, KernelSHAP, CIU and PDA are presets of it: :mod:`captum_ext.attr.segment_presets`.

Paper: Pihlgren and Främling, 2024 (arXiv 2409.04116).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from captum.attr import PerturbationAttribution
from torch import Tensor

from captum_ext._captum import log_usage
from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.checks import MOST_ROWS, as_tuple, check_choice, check_int, described
from captum_ext.forward import Evaluator, in_standard_layout, rows_per_call
from captum_ext.perturbation import Attributer, Perturber, Sampler, Segmenter, Segments
from captum_ext.perturbation.rows import perturb_each
from captum_ext.perturbation.segments.partition import partition
from captum_ext.perturbation.segments.sample_rows import SampledExample, sampled_examples
from captum_ext.perturbation.segments.segments_or_grid import CELLS, LEAST_SEGMENTS
from captum_ext.randomness import GeneratorLike
from captum_ext.targets import check_images


@dataclass(frozen=True)
class SegmentAttribution:
    """What is known of one example's segments.

    Attributes:
        scores: ``[S]``; of several inputs, the segments of the first one come first (with a
            feature mask, the features by their number).
        segments: of the image; a tuple, where inputs is one.
        samples: ``[N, S]`` of bool, True where a segment was kept.
        outputs: ``[N]``, the model's.
    """

    scores: Tensor
    segments: Segments | tuple[Segments, ...]
    samples: Tensor
    outputs: Tensor


class SegmentPerturbation(AttributionMixin, PerturbationAttribution):
    """Perturbs segments of images, by any combination of the four parts.

    Args:
        forward_func: the model.
        segmenter: parts one image ``[C, H, W]`` into segments; of several inputs, one for all or a
            tuple with one for each.
        sampler: chooses the segments that each sample keeps.
        perturber: what stands where a segment is removed; or a tuple, as ``segmenter``.
        attributer: what the outputs say about each segment.

    Raises:
        TypeError: something that is not what it should be.

    Example:
        >>> from torch import nn
        >>> from captum_ext import perturbation as p
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 2), nn.Softmax(dim=1))
        >>> method = SegmentPerturbation(
        ...     model, p.Grid(2, 2), p.BernoulliSampler(), p.SolidColor(), p.RiseAttributer()
        ... )
        >>> method.attribute(torch.rand(5, 3, 4, 4), target=1, n_samples=20).shape
        torch.Size([5, 3, 4, 4])
    """

    #: Samples, where neither ``attribute`` nor the sampler says how many.
    n_samples: int = 1000

    def __init__(
        self,
        forward_func: Callable[..., Any],
        segmenter: Segmenter | tuple[Segmenter, ...],
        sampler: Sampler,
        perturber: Perturber | tuple[Perturber, ...],
        attributer: Attributer,
    ) -> None:
        super().__init__(forward_func)
        _check_parts("segmenter", as_tuple(segmenter), Callable)
        _check_parts("sampler", (sampler,), Callable)
        _check_parts("perturber", as_tuple(perturber), Perturber)
        _check_parts("attributer", (attributer,), Attributer)
        self.segmenter = segmenter
        self.sampler = sampler
        self.perturber = perturber
        self.attributer = attributer

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        n_samples: int | None = None,
        per: str = "pixel",
        feature_mask: Any = None,
        perturbations_per_eval: int | None = None,
        generator: GeneratorLike = None,
        shortcut: bool = True,
        show_progress: bool = False,
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: images ``[B, C, H, W]`` of a floating-point dtype, or a tuple of such tensors,
                whose segments are sampled together.
            n_samples: samples for each example; None takes all of a sampler that has a number of
                its own, of others as many as the paper does (in general 1,000). One that keeps all
                segments, and one that keeps none, come on top where the attributer needs them and
                the sampler gives none.
            per: ``"pixel"`` blends the scores where soft segments overlap, ``"segment"`` gives
                each pixel the score of the segment to which it belongs most.
            feature_mask: segments with hard edges in Captum's form, in place of the segmenter's; a
                number that several inputs bear is one feature.
            perturbations_per_eval: perturbed versions of each example that go into the model
                together; None chooses by device and size.
            generator: seed or torch.Generator of the samples and of what the perturber draws.
            shortcut: use that a model which begins with (Flatten,) Linear makes of a blend the sum
                of what it makes of each segment. The results are equal up to rounding.
            show_progress: a bar on stderr.

        Returns:
            Attributions like ``inputs``, the same for all channels.

        Raises:
            TypeError: inputs of another type or dtype.
            ValueError: inputs that are not images or not finite; segments, samples or a number of
                samples that do not do (before the model runs); outputs that are not one finite
                number for each image.
        """
        (attributions,) = self.attribute_many(
            inputs,
            [self.attributer],
            target,
            additional_forward_args,
            per,
            n_samples=n_samples,
            feature_mask=feature_mask,
            perturbations_per_eval=perturbations_per_eval,
            generator=generator,
            shortcut=shortcut,
            show_progress=show_progress,
        )
        return attributions

    def attribute_many(
        self,
        inputs: Any,
        attributers: Sequence[Attributer],
        target: Any = None,
        additional_forward_args: Any = None,
        per: str = "pixel",
        **settings: Any,
    ) -> list[Any]:
        """What several attributers say, from one set of model passes.

        Each says what :meth:`attribute` would give with it in place of the method's own.

        Args:
            attributers: at least one.
            **settings: the other arguments of :meth:`attribute`.

        Returns:
            A list with the attributions of each, like ``inputs``.

        Raises:
            TypeError, ValueError: as :meth:`attribute`; none, or something else than attributers.

        Example:
            >>> from captum_ext.attr import RISE
            >>> from captum_ext.perturbation import LinearLimeAttributer, RiseAttributer
            >>> method = RISE(lambda x: x.sum((1, 2, 3)))
            >>> images, both = torch.rand(1, 3, 14, 14), [RiseAttributer(), LinearLimeAttributer()]
            >>> [each.shape for each in method.attribute_many(images, both, n_samples=100)]
            [torch.Size([1, 3, 14, 14]), torch.Size([1, 3, 14, 14])]
        """
        check_choice(per, "per", ("pixel", "segment"))
        if not isinstance(attributers, Sequence) or not attributers:
            raise TypeError(
                f"attributers must be a list of at least one; got {described(attributers)}"
            )
        _check_parts("attributers", tuple(attributers), Attributer)
        tensors = check_images(inputs, target, additional_forward_args)
        answers = self._ask(tensors, attributers, target, additional_forward_args, **settings)
        results = []
        for attributer in attributers:
            maps = zip(
                *(example.maps(attributer, out, per) for example, out in answers), strict=True
            )
            attributions = tuple(
                in_standard_layout(torch.stack(each)[:, None].to(x).expand_as(x))
                for each, x in zip(maps, tensors, strict=True)
            )
            results.append(attributions if isinstance(inputs, tuple) else attributions[0])
        return results

    def attribute_segments(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        **settings: Any,
    ) -> list[SegmentAttribution]:
        """The scores of the segments, and what they come from, for each example.

        Args:
            **settings: the other arguments of :meth:`attribute`, but ``per``.

        Raises:
            TypeError, ValueError: as :meth:`attribute`.

        Example:
            >>> from captum_ext.attr import CIU
            >>> method = CIU(lambda x: x.sum((1, 2, 3)))
            >>> mask = torch.arange(4).reshape(1, 1, 2, 2)
            >>> (result,) = method.attribute_segments(torch.rand(1, 3, 2, 2), feature_mask=mask)
            >>> result.scores.shape, result.samples.shape, result.outputs.shape
            (torch.Size([4]), torch.Size([5, 4]), torch.Size([5]))
        """
        tensors = check_images(inputs, target, additional_forward_args)
        results = []
        for example, everything in self._ask(
            tensors, [self.attributer], target, additional_forward_args, **settings
        ):
            outputs, samples = example.told(self.attributer, everything)
            scores = self.attributer(outputs, samples)
            segments = example.segments if isinstance(inputs, tuple) else example.segments[0]
            results.append(SegmentAttribution(scores, segments, samples, outputs))
        return results

    def _segmenters(self) -> Segmenter | tuple[Segmenter, ...]:
        """What divides the images."""
        return self.segmenter

    def _ask(
        self,
        tensors: tuple[Tensor, ...],
        attributers: Sequence[Attributer],
        target: Any,
        additional_forward_args: Any,
        n_samples: int | None = None,
        feature_mask: Any = None,
        perturbations_per_eval: int | None = None,
        generator: GeneratorLike = None,
        shortcut: bool = True,
        show_progress: bool = False,
    ) -> list[tuple[SampledExample, Tensor]]:
        """Every example with its samples, and the model's outputs for them."""
        if n_samples is not None:
            check_int(n_samples, "n_samples", minimum=1, maximum=MOST_ROWS)
        elif not getattr(self.sampler, "decides_count", False):
            n_samples = self.n_samples
        most_cells = CELLS
        if n_samples is not None and not getattr(self.sampler, "decides_count", False):
            # A fit wants more samples than segments.
            most_cells = min(CELLS, max(LEAST_SEGMENTS, n_samples // 2))
        examples = sampled_examples(
            partition(tensors, self._segmenters(), feature_mask, most_cells),
            self.sampler,
            n_samples,
            self.perturber,
            attributers,
            generator,
        )

        def check(scores: Tensor) -> None:
            for attributer in attributers:
                attributer.check_outputs(scores)

        evaluator = Evaluator(
            self.forward_func,
            target,
            additional_forward_args,
            batch_size=rows_per_call(perturbations_per_eval, len(tensors[0])),
            shortcut=shortcut,
            show_progress=show_progress,
            description=type(self).__name__,
        )
        outputs = evaluator.each(
            tensors,
            perturb_each(examples),
            [example.n_rows for example in examples],
            check,
        )
        return [
            (example, output.to(tensors[0].device))
            for example, output in zip(examples, outputs, strict=True)
        ]


def _check_parts(name: str, parts: tuple[Any, ...], kind: Any) -> None:
    """Refuses parts that are not of their kind."""
    for each in parts:
        if not isinstance(each, kind) or isinstance(each, type):
            what = "a function" if kind is Callable else f"of the class {kind.__name__}"
            raise TypeError(f"{name} must be {what}; got {type(each).__name__}")
