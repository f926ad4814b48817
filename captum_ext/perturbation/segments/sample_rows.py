"""Examples with their segments and samples: perturbed rows, and scores from their outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_ext.forward import LazyRows
from captum_ext.perturbation.rows import PerturbedExample
from captum_ext.perturbation.segments.attributers import Attributer
from captum_ext.perturbation.segments.blend import BlendedImage, BlendedRows
from captum_ext.perturbation.segments.partition import SegmentedExample, one_for_each_of
from captum_ext.perturbation.segments.perturbers import BlendFill, Perturber
from captum_ext.perturbation.segments.samplers import Sampler, check_samples
from captum_ext.perturbation.segments.segments import Segments
from captum_ext.randomness import GeneratorLike, example_generator, seed_of


class SampledExample:
    """One example, its samples, and the rows that they make.

    A sample that keeps all segments and one that keeps none follow those drawn, where an attributer
    needs them and they are not among the drawn; other attributers do not get them.

    Args:
        images: for each input ``[C, H, W]``.
        segments: of each image.
        columns: for each image ``[S_k]``, the columns of the samples that are its segments; images
            may share some.
        perturbers: for each image.
        drawn: ``[N, S]`` of bool.
        attributers: those that will get the outputs.
        generator: of what the perturbers draw.

    Raises:
        ValueError: samples that say too little to an attributer, or that a perturber cannot serve.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        segments: tuple[Segments, ...],
        columns: tuple[Tensor, ...],
        perturbers: Sequence[Perturber],
        drawn: Tensor,
        attributers: Sequence[Attributer],
        generator: GeneratorLike = None,
    ) -> None:
        self.segments = segments
        self.columns = columns
        self.n_drawn = len(drawn)
        no_whole, no_empty = not drawn.all(1).any(), bool(drawn.any(1).all())
        self.n_whole = int(no_whole and any(each.needs_kept for each in attributers))
        self.n_empty = int(no_empty and any(each.needs_removed for each in attributers))
        ones = drawn.new_ones(self.n_whole, drawn.shape[1])
        zeros = drawn.new_zeros(self.n_empty, drawn.shape[1])
        more = self.n_whole + self.n_empty
        samples = torch.cat([drawn, ones, zeros]) if more else drawn
        self.samples = samples.to(images[0].device)
        for attributer in attributers:
            attributer.check(self.samples[self._rows_for(attributer)])
        # Colors and the like are drawn for two more, so that attributers do not affect the draws.
        keep = _Keep(self.samples, segments, columns, [image.dtype for image in images])
        self.rows = PerturbedExample(images, perturbers, self.n_drawn, keep, generator, spare=2)
        blends = (
            BlendedImage(fill, own) if isinstance(fill, BlendFill) else None
            for fill, own in zip(self.rows.fills, segments, strict=True)
        )
        self._blends = [
            blend if blend is not None and blend.pays(self.n_rows) else None for blend in blends
        ]

    def __call__(self, rows: Tensor) -> tuple[Tensor | LazyRows, ...]:
        """The perturbed inputs of rows ``[b]``, described where that is of use."""
        if None in self._blends:
            return self.rows(rows)
        samples = self.samples[rows // self.rows.versions]
        return tuple(
            BlendedRows(blend, rows, samples[:, own])
            for blend, own in zip(self._blends, self.columns, strict=True)
            if blend is not None
        )

    @property
    def n_rows(self) -> int:
        """How many perturbed images there are."""
        return len(self.samples) * self.rows.versions

    def told(self, attributer: Attributer, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs and samples that are an attributer's business, of all ``[n_rows]``."""
        chosen, versions = self._rows_for(attributer), self.rows.versions
        if versions == 1 and chosen.all():
            return outputs, self.samples
        samples = self.samples[chosen].repeat_interleave(versions, dim=0)
        return outputs[chosen.repeat_interleave(versions)], samples

    def scores(self, attributer: Attributer, outputs: Tensor) -> Tensor:
        """The scores ``[S]``."""
        return attributer(*self.told(attributer, outputs))

    def maps(self, attributer: Attributer, outputs: Tensor, per: str) -> list[Tensor]:
        """For each image the scores as a map ``[H, W]``, per ``"pixel"`` or per ``"segment"``."""
        scores = self.scores(attributer, outputs)
        return [
            each.per_pixel(scores[own]) if per == "pixel" else each.per_segment(scores[own])
            for each, own in zip(self.segments, self.columns, strict=True)
        ]

    def _rows_for(self, attributer: Attributer) -> Tensor:
        chosen = torch.ones(len(self.samples), dtype=torch.bool)
        end_of_whole = self.n_drawn + self.n_whole
        chosen[self.n_drawn : end_of_whole] = attributer.needs_kept
        chosen[end_of_whole:] = attributer.needs_removed
        return chosen.to(self.samples.device)


@dataclass(frozen=True, eq=False)
class _Keep:
    """What samples keep of each image: see :data:`captum_ext.perturbation.rows.Keep`.

    Not a method of the example: an object that holds its own method stays until a garbage
    collection.
    """

    samples: Tensor
    segments: tuple[Segments, ...]
    columns: tuple[Tensor, ...]
    dtypes: Sequence[torch.dtype]

    def __call__(self, numbers: Tensor) -> tuple[Tensor, ...]:
        samples = self.samples[numbers]
        return tuple(
            each.cover(samples[:, own].to(dtype))
            for each, own, dtype in zip(self.segments, self.columns, self.dtypes, strict=True)
        )


def sampled_examples(
    parted: Iterable[SegmentedExample],
    sampler: Sampler,
    n_samples: int | None,
    perturber: Perturber | tuple[Perturber, ...],
    attributers: Sequence[Attributer],
    generator: GeneratorLike,
) -> list[SampledExample]:
    """Draws the samples of each example of a batch: the same for as many segments.

    Args:
        parted: the examples' segments.
        sampler, n_samples: which segments each sample keeps; None takes the sampler's number.
        perturber: for all inputs, or one for each.
        attributers: those that will get the outputs.
        generator: seed or torch.Generator.

    Raises:
        ValueError: samples that do not fit.
    """
    # Every example reads the same streams, so that none depends on its batch mates.
    stream = example_generator(seed_of(generator))
    sampler_seed, perturber_seed = seed_of(stream), seed_of(stream)
    drawn: dict[int, Tensor] = {}
    examples = []
    for images, segments, columns, total in parted:
        if total not in drawn:
            samples = sampler(total, n_samples, sampler_seed)
            drawn[total] = check_samples(samples, total).to(images[0].device)
        perturbers = one_for_each_of(perturber, images, "perturber")
        own = segments, columns, perturbers, drawn[total]
        examples.append(SampledExample(images, *own, attributers, perturber_seed))
    return examples
