"""Regions: the values of an input that are replaced together, by sliding windows or a mask.

Positions count the values of one example, flattened: ``[C, H, W]`` row by row, channel by channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import check_int


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


class Windows(Regions):
    """All positions of a window that slides over an example; the last ones end at the border.

    Args:
        shape: of an example, ``(C, H, W)`` or another.
        size: of the window, for each dimension.
        strides: how far it moves, for each dimension; at most its size, so that no value is left
            out.

    Raises:
        ValueError: a window that is larger than the example, strides that are larger than the
            window.

    Example:
        >>> windows = Windows((1, 1, 5), (1, 1, 2), (1, 1, 2))
        >>> [windows[number].positions.tolist() for number in range(len(windows))]
        [[0, 1], [2, 3], [3, 4]]
        >>> windows.spread(torch.tensor([1.0, 2.0, 4.0]))
        tensor([[[1., 1., 2., 3., 4.]]])
    """

    def __init__(
        self,
        shape: Sequence[int],
        size: Sequence[int],
        strides: Sequence[int],
        device: torch.device | None = None,
    ) -> None:
        self.shape, self.size = tuple(shape), tuple(size)
        if any(side > whole for side, whole in zip(self.size, self.shape, strict=True)):
            raise ValueError(
                "sliding_window_shapes must not be larger than the input; got "
                f"{self.size} for an example of shape {self.shape}"
            )
        if any(step > side for step, side in zip(strides, self.size, strict=True)):
            raise ValueError(
                "strides must not be larger than the window, or values are left out; got "
                f"{tuple(strides)} for a window of {self.size}"
            )
        starts = [
            [*range(0, whole - side, step), whole - side]
            for whole, side, step in zip(self.shape, self.size, strides, strict=True)
        ]
        self.starts = list(product(*starts))
        # How far it is from one value of the flattened example to the next, in each dimension.
        self._steps = [prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        self._first = self._flat(list(product(*map(range, self.size))), device)
        self._corners = self._flat(self.starts, device)

    def _flat(self, places: list[tuple[int, ...]], device: torch.device | None) -> Tensor:
        return (torch.tensor(places, device=device) * torch.tensor(self._steps, device=device)).sum(
            1
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> Region:
        positions = self._first + self._corners[number]
        return Region(positions, self.starts[number], self.size)

    @property
    def sizes(self) -> tuple[int, ...]:
        return (len(self._first),) * len(self)

    def spread(self, scores: Tensor) -> Tensor:
        total = scores.new_zeros(self.shape)
        count = torch.zeros_like(total)
        if len(self) < len(self._first):
            for start, score in zip(self.starts, scores, strict=True):
                place = tuple(
                    slice(first, first + side) for first, side in zip(start, self.size, strict=True)
                )
                total[place] += score
                count[place] += 1
            return total / count
        for offset in self._first:
            # No two windows have the same value at the same place of theirs.
            total.view(-1)[self._corners + offset] += scores
            count.view(-1)[self._corners + offset] += 1
        return total / count


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

    Windows are features of their own; what a mask numbers alike in several inputs is one feature,
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


def window_lengths(value: Any, shape: Sequence[int], name: str, channels: int) -> tuple[int, ...]:
    """A window's size or strides, one number for each dimension of an example.

    Args:
        value: a whole number, for each dimension but that of the channels; as many as there are
            such dimensions; or one for each dimension, as Captum has it.
        shape: of an example: ``(C, H, W)``, ``(C, L)`` or ``(features,)``.
        name: of the argument.
        channels: for the dimension of the channels, where ``value`` does not say.

    Raises:
        TypeError: no whole numbers.
        ValueError: another number of them, or less than 1.

    Example:
        >>> window_lengths(10, (3, 224, 224), "strides", channels=1)
        (1, 10, 10)
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    first = (channels,) if len(shape) > 1 else ()
    n_others = len(shape) - len(first)
    given = tuple(value) if isinstance(value, Sequence | torch.Size) else (value,) * n_others
    if len(given) == n_others:
        given = first + given
    if len(given) != len(shape):
        raise ValueError(
            f"{name} must be one number, {n_others} (without the channels) or {len(shape)}, one "
            f"for each dimension of an example of shape {tuple(shape)}; got {value!r}"
        )
    return tuple(check_int(length, f"each of {name}", minimum=1) for length in given)
