"""Regions: the values of an input that are replaced together, by windows or the features of a mask.

Positions count the values of one example, flattened: ``[C, H, W]`` row by row, channel by channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Region:
    """Some values of one input of one example.

    Attributes:
        positions: ``[k]``, of the values in the flattened example.
        start: where a window begins, one number for each dimension of the example; empty for a
            region of another form.
        size: how far it reaches, likewise.
    """

    positions: Tensor
    start: tuple[int, ...] = ()
    size: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)


class Regions(ABC):
    """All regions of one input.

    Attributes:
        shape: of an example.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def __getitem__(self, number: int) -> Region:
        """One of them."""

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Of how many values each consists."""

    @abstractmethod
    def spread(self, scores: Tensor) -> Tensor:
        """Scores ``[F]`` as a map of the shape of an example: the mean where regions overlap."""


class MaskedRegions(Regions):
    """The features of a mask.

    Args:
        labels: ``[...]`` of the shape of an example: which feature each value belongs to. The
            features come in the order of their numbers.

    Attributes:
        numbers: the number that each feature bears.

    Example:
        >>> regions = MaskedRegions(torch.tensor([[[4, 7, 4]]]))
        >>> regions.numbers, regions[0].positions, regions.spread(torch.tensor([5.0, 6.0]))
        ([4, 7], tensor([0, 2]), tensor([[[5., 6., 5.]]]))
    """

    def __init__(self, labels: Tensor) -> None:
        self.shape = tuple(labels.shape)
        numbers, self.labels, counts = labels.unique(return_inverse=True, return_counts=True)
        self.numbers: list[int] = numbers.tolist()
        self._sizes: list[int] = counts.tolist()
        self._parts = self.labels.flatten().argsort(stable=True).split(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, number: int) -> Region:
        return Region(self._parts[number])

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self._sizes)

    def spread(self, scores: Tensor) -> Tensor:
        return scores[self.labels]


class Features:
    """The features of one example: each a region of one input, or regions of several.

    Args:
        regions: of each input.

    Attributes:
        places: for each feature ``(input, region)`` of all its regions.

    Each window is a feature; what a mask numbers alike in several inputs is one feature,
    as in Captum.

    Example:
        >>> masks = MaskedRegions(torch.tensor([0, 1])), MaskedRegions(torch.tensor([1, 2]))
        >>> Features(masks).places
        [[(0, 0)], [(0, 1), (1, 0)], [(1, 1)]]
    """

    def __init__(self, regions: Sequence[Regions]) -> None:
        self.regions = tuple(regions)
        self.places: list[list[tuple[int, int]]] = []
        self._columns: list[list[int]] = []
        by_number: dict[int, int] = {}
        for which, own in enumerate(self.regions):
            columns = []
            for region in range(len(own)):
                column = len(self.places)
                if isinstance(own, MaskedRegions):
                    column = by_number.setdefault(own.numbers[region], column)
                if column == len(self.places):
                    self.places.append([])
                self.places[column].append((which, region))
                columns.append(column)
            self._columns.append(columns)

    def __len__(self) -> int:
        return len(self.places)

    def spread(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Scores ``[F]`` as a map for each input."""
        return tuple(
            own.spread(scores[torch.tensor(columns, device=scores.device)])
            for own, columns in zip(self.regions, self._columns, strict=True)
        )


def features_of(regions: Sequence[Sequence[Regions]]) -> list[Features]:
    """The features of each example, from each input's regions of each example.

    Example:
        >>> own = MaskedRegions(torch.tensor([0, 1]))
        >>> first, second = features_of([[own, own]])
        >>> first is second
        True
    """
    found: list[Features] = []
    for each in zip(*regions, strict=True):
        # The same regions again need not be counted again.
        alike = found and all(new is old for new, old in zip(each, found[-1].regions, strict=True))
        found.append(found[-1] if alike else Features(each))
    return found


def masked_regions(mask: Any, x: Tensor) -> list[MaskedRegions]:
    """The features of each example of a batch, from Captum's form of a mask.

    Args:
        mask: whole numbers ``[1, ...]`` or ``[B, ...]``, of the shape of ``x`` or with 1 in place
            of the channels.
        x: ``[B, ...]``.

    Raises:
        TypeError: not a tensor of whole numbers.
        ValueError: another shape.

    Example:
        >>> mask = torch.arange(4).reshape(1, 1, 2, 2)
        >>> [len(regions) for regions in masked_regions(mask, torch.zeros(2, 3, 2, 2))]
        [4, 4]
    """
    if not isinstance(mask, Tensor) or mask.is_floating_point() or mask.is_complex():
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"feature_mask must be tensors of whole numbers; got {kind}")
    allowed = [(1, x.shape[0]), *((1, side) if axis == 1 else (side,)
               for axis, side in enumerate(x.shape) if axis > 0)]  # fmt: skip
    fits = mask.dim() == x.dim() and all(
        side in sides for side, sides in zip(mask.shape, allowed, strict=True)
    )
    if not fits or (x.dim() == 2 and mask.shape[1] != x.shape[1]):
        raise ValueError(
            f"feature_mask must have the shape of the inputs, {tuple(x.shape)}, or 1 for the batch "
            f"or the channels; got {tuple(mask.shape)}"
        )
    labels = mask.to(x.device).long()
    if labels.shape[0] == 1:
        return [MaskedRegions(labels[0].expand(x.shape[1:]))] * x.shape[0]
    return [MaskedRegions(each.expand(x.shape[1:])) for each in labels]
