"""Windows that slide over an input: regions that may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import MOST_ROWS, check_int, described
from captum_ext.perturbation.feature_masks import one_for_each
from captum_ext.perturbation.regions import Features, Region, Regions, features_of, masked_regions


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


def window_features(
    tensors: tuple[Tensor, ...], shapes: Any, strides: Any, feature_mask: Any = None
) -> list[Features]:
    """The features of each example: a mask's where there is one, else windows.

    Args:
        tensors: for each input ``[B, ...]``.
        shapes, strides: see :func:`window_lengths`; a tuple of tuples has one for each input.
        feature_mask: in Captum's form; a tuple has None for inputs with windows.

    Raises:
        TypeError, ValueError: masks, sizes or strides that do not fit.

    Example:
        >>> first, second = window_features((torch.zeros(2, 1, 4, 4),), 2, 2)
        >>> len(first)
        4
    """
    columns: list[Sequence[Regions]] = []
    given = [
        _lengths_of_each(value, name, len(tensors))
        for value, name in ((shapes, "sliding_window_shapes"), (strides, "strides"))
    ]
    masks = one_for_each(feature_mask, tensors)
    for x, mask, shape, stride in zip(tensors, masks, *given, strict=True):
        if mask is not None:
            columns.append(masked_regions(mask, x))
            continue
        one = x.shape[1:]
        size = window_lengths(shape, one, "sliding_window_shapes", channels=one[0])
        steps = window_lengths(stride, one, "strides", channels=size[0])
        columns.append([Windows(one, size, steps, x.device)] * len(x))
    return features_of(columns)


def _lengths_of_each(value: Any, name: str, n_inputs: int) -> tuple[Any, ...]:
    """Lengths of each input: a tuple of tuples, or the same for all."""
    if isinstance(value, tuple) and any(isinstance(each, tuple) for each in value):
        if len(value) != n_inputs:
            raise ValueError(
                f"{name} must hold one for each of the {n_inputs} inputs; got {described(value)}"
            )
        return value
    return (value,) * n_inputs


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
            f"for each dimension of an example of shape {tuple(shape)}; got {described(value)}"
        )
    return tuple(check_int(length, f"each of {name}", 1, MOST_ROWS) for length in given)
