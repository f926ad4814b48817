"""The segments of a batch, and their columns in the samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from captum_ext.perturbation.feature_masks import check_feature_mask, one_for_each
from captum_ext.perturbation.segments.segmenters import Segmenter
from captum_ext.perturbation.segments.segments import Segments, check_segments
from captum_ext.perturbation.segments.segments_or_grid import (
    CELLS,
    SegmentsFound,
    SegmentsOrGrid,
    warn_of_grids,
)


class SegmentedExample(NamedTuple):
    """One example.

    Attributes:
        images: for each input ``[C, H, W]``.
        segments: of each image.
        columns: for each image ``[S_k]``, which of the example's features its segments are.
        n_features: in all images; some may be segments of several.
    """

    images: tuple[Tensor, ...]
    segments: tuple[Segments, ...]
    columns: tuple[Tensor, ...]
    n_features: int


def partition(
    tensors: tuple[Tensor, ...],
    segmenter: Segmenter | tuple[Segmenter, ...],
    feature_mask: Any,
    most_cells: int = CELLS,
) -> Iterator[SegmentedExample]:
    """Parts each example of a batch into segments.

    Args:
        tensors: images ``[B, C, H, W]``.
        segmenter: one, or one for each input.
        feature_mask: in Captum's form, in place of a segmenter; None, or a tuple with None for
            inputs that the segmenter parts.
        most_cells: of a grid, where a :class:`SegmentsOrGrid` takes one.

    Raises:
        TypeError, ValueError: masks or segments that do not fit, fewer than two features.

    Warns:
        AttributionWarning: a :class:`SegmentsOrGrid` divides some examples by a grid.

    Example:
        >>> from captum_ext.perturbation import Grid
        >>> (one,) = partition((torch.rand(1, 3, 4, 4),), Grid(2, 2), None)
        >>> one.n_features, one.columns
        (4, (tensor([0, 1, 2, 3]),))
    """
    masks = [
        None if mask is None else check_feature_mask(mask, x)
        for mask, x in zip(one_for_each(feature_mask, tensors), tensors, strict=True)
    ]
    segmenters = one_for_each_of(segmenter, tensors, "segmenter")
    found_in: list[list[SegmentsFound]] = [[] for _ in tensors]
    before: Sequence[Segments | None] = [None] * len(tensors)
    for number in range(len(tensors[0])):
        images = tuple(x[number] for x in tensors)
        own: list[Tensor | Segments] = []
        parts = zip(segmenters, images, masks, found_in, strict=True)
        for each_segmenter, image, mask, noted in parts:
            if mask is not None:
                own.append(mask[number])
            elif isinstance(each_segmenter, SegmentsOrGrid):
                noted.append(each_segmenter.find(image, most_cells))
                own.append(noted[-1].segments)
            else:
                own.append(_found(each_segmenter, image, number))
        found, columns, total = _of_example(images, own)
        # Reuse the tensors of equal segments to save memory.
        segments = tuple(
            old if old is not None and new.same_as(old) else new
            for new, old in zip(found, before, strict=True)
        )
        before = segments
        yield SegmentedExample(images, segments, columns, total)
    for each_segmenter, noted in zip(segmenters, found_in, strict=True):
        if noted:
            told = [(number, each.n_found, each.grid) for number, each in enumerate(noted)]
            warn_of_grids(each_segmenter.segmenter, told)


def one_for_each_of(part: Any, images: tuple[Tensor, ...], name: str) -> tuple[Any, ...]:
    """One part for each image: the one for all, or as many as given.

    Example:
        >>> one_for_each_of("all", (torch.zeros(1), torch.zeros(1)), "part")
        ('all', 'all')
    """
    return one_for_each(part, images, name) if isinstance(part, tuple) else (part,) * len(images)


def _of_example(
    images: tuple[Tensor, ...], own: Sequence[Tensor | Segments]
) -> tuple[list[Segments], tuple[Tensor, ...], int]:
    """The segments of each image, their columns, and the number of all features.

    Args:
        images: ``[C, H, W]`` each.
        own: the numbers of a mask ``[H, W]``, or segments, of each.
    """
    given = [each.unique() for each in own if isinstance(each, Tensor)]
    shared = torch.cat(given).unique() if given else torch.zeros(0)
    if len(shared) and int(shared[-1] - shared[0]) != len(shared) - 1:
        raise ValueError(
            f"feature_mask must number its features without a gap; got {len(shared)} numbers from "
            f"{int(shared[0])} to {int(shared[-1])}"
        )
    found, columns, total = [], [], len(shared)
    for image, each in zip(images, own, strict=True):
        if isinstance(each, Segments):
            columns.append(torch.arange(total, total + len(each), device=image.device))
            total += len(each)
            found.append(each)
        else:
            # As in Captum, a number that several inputs bear is one feature.
            numbers, labels = each.unique(return_inverse=True)
            columns.append((numbers - shared[0]).to(image.device))
            found.append(Segments(labels.to(image.device)))
    if total < 2:
        raise ValueError(f"inputs and feature_mask must give at least 2 features; got {total}")
    return found, tuple(columns), total


def _found(segmenter: Segmenter, image: Tensor, number: int) -> Segments:
    segments = check_segments(segmenter(image), image)
    if len(segments) < 2:
        raise ValueError(
            f"segmenter must find at least 2 segments; {segmenter} found one in example {number}: "
            "change its settings, or pass a feature_mask"
        )
    return segments
