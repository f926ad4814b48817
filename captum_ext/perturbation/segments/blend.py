"""Blends of segments, described to the first-layer shortcut.

A perturbed image is a sum over segments, each with its part of the image or of the fill:

    x' = sum_s w_s (Z_s x + (1 - Z_s) fill),   w_s = masks_s / sum(masks)

so a linear layer makes of it a sum of what it makes of each segment, which is computed once:

    W x' = sum_s Z_s A_s + (1 - Z_s) B_s,   A_s = W (w_s x),   B_s = W (w_s fill)

This takes O(S x hidden) for each row, and less where few segments are removed, or few kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_ext.forward import LazyRows, Once
from captum_ext.perturbation.segments.perturbers import BlendFill
from captum_ext.perturbation.segments.segments import Segments

#: A table of sums is added up row by row where fewer of its rows are needed.
SPARSE = 1 / 8


class BlendedImage:
    """An image, its segments, and what they fade into.

    Args:
        fill: of the image.
        segments: of the image.
    """

    def __init__(self, fill: BlendFill, segments: Segments) -> None:
        self.fill, self.segments = fill, segments
        # A color for each sample is a sum of its channels; few fills are taken as they are.
        fills, channels = fill.fills, fill.image.shape[0]
        self.by_channel = len(fills) > channels and fills.shape[2:] == (1, 1)
        self.sums = Once(_SegmentSums(fill, segments, self.by_channel))

    def pays(self, n_samples: int) -> bool:
        """Whether sums of segments are fewer than the rows."""
        n_sums = 0 if self.segments.hard else len(self.segments) * (1 + self._n_sources)
        few = self.by_channel or len(self.fill.fills) <= self.fill.image.shape[0]
        return few and n_sums < n_samples

    @property
    def _n_sources(self) -> int:
        return self.fill.image.shape[0] if self.by_channel else len(self.fill.fills)

    def colors(self, rows: Tensor) -> Tensor:
        """How much of each of the fills' sources rows have: ``[b, R]``."""
        index = self.fill.index(rows)
        if self.by_channel:
            return self.fill.fills[index].flatten(1)
        return torch.nn.functional.one_hot(index, len(self.fill.fills)).to(self.fill.fills)


@dataclass(frozen=True, eq=False)
class _SegmentSums:
    """What a linear layer makes of each segment; a :class:`BlendedImage` keeps the sums.

    Not a method of that: an object that holds its own method stays until a garbage collection.
    """

    fill: BlendFill
    segments: Segments
    by_channel: bool

    def __call__(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """``A [S, h]`` of the image, and ``B [R, S, h]`` of what the fills consist of."""
        image = self.fill.image
        if self.by_channel:
            sources = torch.eye(len(image)).to(image)[:, :, None, None]
        else:
            sources = self.fill.fills
        return self._sum(image, weight), torch.stack(
            [self._sum(source.expand_as(image), weight) for source in sources]
        )

    def _sum(self, image: Tensor, weight: Tensor) -> Tensor:
        """What the layer makes of each segment of an image ``[C, H, W]``: ``[S, h]``."""
        channels = len(image)
        values = image.reshape(channels, -1).to(weight.dtype)
        columns = weight.reshape(len(weight), channels, -1)
        if self.segments.hard:
            # Channel by channel, to keep the products small.
            total = weight.new_zeros(len(self.segments), len(weight))
            for value, column in zip(values, columns.unbind(1), strict=True):
                total.index_add_(0, self.segments.labels.flatten(), (column * value).T)
            return total
        masks = self.segments.masks.flatten(1).to(weight.dtype)
        return torch.einsum("sp,cp,hcp->sh", masks, values, columns)


class BlendedRows(LazyRows):
    """Rows of one image, of some samples.

    Args:
        image: the image.
        rows: ``[b]``, their numbers, which tell their fills.
        samples: ``[b, S]``, what each keeps.
    """

    def __init__(self, image: BlendedImage, rows: Tensor, samples: Tensor) -> None:
        super().__init__(len(rows), image.fill.image)
        self.image, self.rows, self.samples = image, rows, samples

    def _make(self) -> Tensor:
        masks = self.image.segments.cover(self.samples.to(self.like.dtype))
        return self.image.fill(self.rows, masks)

    def _through(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        kept, removed = self.image.sums(weight, bias)
        total = _add_up(self.samples, kept)
        colors = self.image.colors(self.rows).to(weight.dtype)
        for source, color in zip(removed, colors.T, strict=True):
            total += color[:, None] * _add_up(~self.samples, source)
        return total if bias is None else total + bias


def _add_up(chosen: Tensor, sums: Tensor) -> Tensor:
    """``chosen [b, S] @ sums [S, h]``, by the shorter way where few, or nearly all, are chosen.

    Example:
        >>> _add_up(torch.tensor([[True, True, False]]), torch.tensor([[1.0], [2.0], [4.0]]))
        tensor([[3.]])
    """
    part = float(chosen.sum()) / chosen.numel()
    if part < SPARSE:
        rows, segments = chosen.nonzero(as_tuple=True)
        return sums.new_zeros(len(chosen), sums.shape[1]).index_add_(0, rows, sums[segments])
    if part > 1 - SPARSE:
        return sums.sum(0) - _add_up(~chosen, sums)
    return chosen.to(sums.dtype) @ sums
