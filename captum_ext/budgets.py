"""Budgets: what a method costs in passes, and the arguments that set it.

Passes are those of one example and one target, forward and backward together, as
:func:`captum_ext.forward.count_passes` counts them for a batch of one. What a method computes
beside its heat map, such as a convergence delta, is not included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isqrt, prod
from typing import Any, Literal

import torch
from torch import Tensor

from captum_ext.checks import as_tuple
from captum_ext.perturbation.feature_masks import grid_masks
from captum_ext.perturbation.windows import window_lengths

#: One feature per pixel, or a coarse grid of segments as is usual on photographs.
Resolution = Literal["pixel", "image"]

#: Windows side by side along a photograph's side, where the number of passes is limited.
CELLS = 7
#: Draws for each window, of methods that draw what stands there, where the budget has as many.
DRAWS = 3


@dataclass(frozen=True)
class Call:
    """What ``attribute()`` is called with.

    Attributes:
        inputs: a tensor ``[B, ...]`` for each input.
        arguments: the others, defaults included.
        given: the names of those that must stay as they are.
        resolution: as of :meth:`captum_ext.spec.MethodSpec.arguments`.
    """

    inputs: tuple[Tensor, ...]
    arguments: Mapping[str, Any]
    given: frozenset[str] = frozenset()
    resolution: Resolution = "image"

    @property
    def coarse(self) -> bool:
        """Whether windows and segments may be of any size: images, not pixel by pixel."""
        return self.resolution == "image" and all(x.dim() == 4 for x in self.inputs)

    @property
    def n_features(self) -> int:
        """Features of ``feature_mask``; without one, the values of an example."""
        masks = self.arguments.get("feature_mask")
        if masks is None:
            return sum(x[0].numel() for x in self.inputs)
        return len(torch.cat([mask.flatten() for mask in as_tuple(masks)]).unique())

    @property
    def n_baselines(self) -> int:
        """Baselines, or references, of each example."""
        baselines = as_tuple(self.arguments.get("baselines"))[0]
        if not isinstance(baselines, Tensor):
            return 1
        return int(baselines.shape[0 if baselines.dim() == self.inputs[0].dim() else 1])


#: A number of passes, or what gives it for a call.
Count = int | Callable[[Call], int]


def _number(count: Count, call: Call) -> int:
    return count(call) if callable(count) else count


class Budget(ABC):
    """The cost of a method, and the arguments that change it."""

    @abstractmethod
    def cost(self, call: Call) -> int:
        """The most passes that a call takes for each example."""

    @abstractmethod
    def choose(self, passes: int, call: Call) -> dict[str, Any]:
        """Arguments with which the cost is at most ``passes``, and near it.

        Where no arguments are cheap enough, the cheapest ones.
        """


@dataclass(frozen=True)
class Fixed(Budget):
    """A method whose cost is fixed.

    Args:
        passes: that it takes.

    Example:
        >>> Fixed(2).choose(100, Call((torch.zeros(1, 3),), {}))
        {}
    """

    passes: Count

    def cost(self, call: Call) -> int:
        return _number(self.passes, call)

    def choose(self, passes: int, call: Call) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Knob(Budget):
    """A method that takes ``base + each * n`` passes, with ``n`` as one of its arguments.

    Args:
        name: of the argument.
        each, base: see above.
        least: the smallest ``n``.

    Example:
        >>> Knob("n_steps", each=2, base=10).choose(101, Call((torch.zeros(1, 3),), {}))
        {'n_steps': 45}
    """

    name: str
    each: Count = 1
    base: Count = 0
    least: int = 1

    def cost(self, call: Call) -> int:
        each, base = _number(self.each, call), _number(self.base, call)
        return base + each * int(call.arguments[self.name])

    def choose(self, passes: int, call: Call) -> dict[str, Any]:
        each, base = _number(self.each, call), _number(self.base, call)
        return {self.name: max(self.least, (passes - base) // each)}


def grid_of(inputs: tuple[Tensor, ...], most: int) -> tuple[Tensor, ...]:
    """Feature masks of as many rows as columns, and of no more than ``most`` cells for each input.

    Example:
        >>> grid_of((torch.zeros(1, 3, 32, 32),), 20)[0].unique().numel()
        16
    """
    side = max(1, isqrt(most))
    return grid_masks(inputs, side, side)


@dataclass(frozen=True)
class Cells(Budget):
    """A method that removes one feature of a feature mask at a time.

    Args:
        each: passes for a feature.
        make: gives the masks of images: ``make(inputs, most)``, with no more than ``most`` features
            for each input.
        least: features of each input.

    Example:
        >>> masks = Cells().choose(50, Call((torch.zeros(1, 3, 32, 32),), {}))["feature_mask"]
        >>> masks[0].unique().numel()
        49
    """

    each: int = 1
    make: Callable[[tuple[Tensor, ...], int], tuple[Tensor, ...]] = grid_of
    least: int = 1

    def cost(self, call: Call) -> int:
        return 1 + self.each * call.n_features

    def choose(self, passes: int, call: Call) -> dict[str, Any]:
        if not call.coarse or "feature_mask" in call.given:
            return {}
        most = (passes - 1) // self.each // len(call.inputs)
        return {"feature_mask": self.make(call.inputs, max(self.least, most))}


@dataclass(frozen=True)
class SlidingWindows(Budget):
    """A method that slides windows over images, with the argument names of Occlusion.

    Args:
        draws: it draws what stands in a window, ``n_samples`` times, from ``marginal``.

    Example:
        >>> chosen = SlidingWindows().choose(500, Call((torch.zeros(1, 3, 224, 224),), {}))
        >>> chosen["sliding_window_shapes"], chosen["strides"]
        (((3, 32, 32),), ((3, 10, 10),))
    """

    draws: bool = False

    def cost(self, call: Call) -> int:
        if call.arguments.get("feature_mask") is not None:
            return 1 + call.n_features * int(call.arguments["n_samples"])
        return 1 + sum(
            self._n_windows(call, number) * self._draws(call, number)
            for number in range(len(call.inputs))
        )

    def choose(self, passes: int, call: Call) -> dict[str, Any]:
        most = max(1, (passes - 1) // len(call.inputs))
        chosen: dict[str, Any] = {}
        if call.arguments.get("feature_mask") is not None:
            n_regions = call.n_features
        else:
            if call.coarse and not {"sliding_window_shapes", "strides"} & call.given:
                draws = min(DRAWS, most) if self.draws else 1
                if self.draws and "n_samples" in call.given:
                    draws = call.arguments["n_samples"]
                pairs = [_windows(tuple(x.shape[1:]), most // draws) for x in call.inputs]
                sizes, strides = zip(*pairs, strict=True)
                chosen = {"sliding_window_shapes": sizes, "strides": strides}
            sized = replace(call, arguments={**call.arguments, **chosen})
            n_regions = max(self._n_windows(sized, number) for number in range(len(call.inputs)))
        return chosen | ({"n_samples": max(1, most // n_regions)} if self.draws else {})

    def _n_windows(self, call: Call, number: int) -> int:
        size, steps = self._lengths(call, number)
        return _count(call.inputs[number].shape[1:], size, steps)

    def _draws(self, call: Call, number: int) -> int:
        if not self.draws:
            return 1
        marginals = as_tuple(call.arguments["marginal"])
        n_values = prod(self._lengths(call, number)[0])
        marginal = marginals[min(number, len(marginals) - 1)]
        return int(marginal.count(n_values, int(call.arguments["n_samples"])))

    def _lengths(self, call: Call, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Window and strides of an input, one length for each dimension."""
        shape = call.inputs[number].shape[1:]
        size = window_lengths(
            _for_input(call.arguments.get("sliding_window_shapes", 1), number),
            shape,
            "sliding_window_shapes",
            channels=shape[0],
        )
        steps = _for_input(call.arguments.get("strides"), number)
        return size, window_lengths(steps or 1, shape, "strides", channels=size[0])


def _for_input(lengths: Any, number: int) -> Any:
    """Of a tuple of tuples, those of one input."""
    nested = isinstance(lengths, tuple) and any(isinstance(each, tuple) for each in lengths)
    return lengths[number] if nested else lengths


def _windows(shape: tuple[int, ...], most: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The window of a cell's size, and the smallest stride with no more than ``most`` windows.

    The window is larger than a cell where cells side by side are too many.
    """
    channels, *sides = shape
    side, stride = max(1, min(sides) // CELLS), 1
    while True:
        window, steps = (
            (channels, *(min(length, longest) for longest in sides))
            for length in (max(side, stride), stride)
        )
        if stride >= max(sides) or _count(shape, window, steps) <= most:
            return window, steps
        stride += 1


def _count(shape: Sequence[int], window: Sequence[int], strides: Sequence[int]) -> int:
    lengths = zip(shape, window, strides, strict=True)
    return prod(-(-(side - size) // stride) + 1 for side, size, stride in lengths)
