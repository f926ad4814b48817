"""Rows of a batch that are described, not made.

A perturbation method changes little of an example at a time. Told what, :class:`LazyRows` rows can
say what a linear first layer makes of them without being made:

    W x' + b = (W x + b) + W[:, patch] (x' - x)[patch]

which takes O(patch x hidden) in place of O(D x hidden) for each row.
:mod:`captum_ext.forward.shortcut.first_layer` hands them to models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class LazyRows(ABC):
    """Rows ``[n, ...]`` that are made only where someone asks for them.

    Attributes:
        n_rows: how many.
        like: a tensor ``[...]`` of the shape, dtype and device of one of them.
        made: the rows, once the model has read them.
        width: bytes of the first layer's output for one row, once it has been computed.
    """

    def __init__(self, n_rows: int, like: Tensor) -> None:
        self.n_rows = n_rows
        self.like = like
        self.made: Tensor | None = None
        self.width = 0

    def __len__(self) -> int:
        return self.n_rows

    @property
    def shape(self) -> torch.Size:
        """Of all rows."""
        return torch.Size((self.n_rows, *self.like.shape))

    @property
    def dtype(self) -> torch.dtype:
        return self.like.dtype

    @property
    def device(self) -> torch.device:
        return self.like.device

    def dense(self) -> Tensor:
        """The rows; the same tensor each time."""
        if self.made is None:
            self.made = self._make()
        return self.made

    def forget(self) -> None:
        """Drops the rows that were made, which a model may have changed in place."""
        self.made = None

    def through(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """What a linear layer makes of the rows, flattened, in the dtype of its weight.

        Args:
            weight: ``[h, D]``.
            bias: ``[h]`` or None.

        Returns:
            ``[n, h]``.
        """
        self.width = weight.shape[0] * weight.element_size()
        return self._through(weight, bias)

    @abstractmethod
    def _make(self) -> Tensor: ...

    @abstractmethod
    def _through(self, weight: Tensor, bias: Tensor | None) -> Tensor: ...


class Once:
    """Computes something of a linear layer's parameters, and keeps it while they stay the same.

    Args:
        function: of ``weight`` and ``bias``.

    Example:
        >>> doubled = Once(lambda weight, bias: 2 * weight)
        >>> weight = torch.ones(2)
        >>> doubled(weight, None) is doubled(weight, None)
        True
    """

    def __init__(self, function: Callable[[Tensor, Tensor | None], Any]) -> None:
        self.function = function
        self._known: tuple[Any, Any, Any] | None = None

    def __call__(self, weight: Tensor, bias: Tensor | None) -> Any:
        state = (_state(weight), _state(bias))
        if self._known is None or self._known[0] != state:
            # The parameters are kept as well, so that none can take their place in memory.
            self._known = (state, (weight, bias), self.function(weight, bias))
        return self._known[2]


def _state(tensor: Tensor | None) -> tuple[Any, ...]:
    if tensor is None:
        return ()
    version = 0 if tensor.is_inference() else tensor._version
    return (tensor.data_ptr(), version, tensor.shape, tensor.stride(), tensor.dtype)


class Example:
    """One example, which many rows differ from, and what the first layer makes of it.

    Args:
        x: ``[...]``.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.flat = flat = x.flatten()
        # Not of self: an object that holds a function of itself stays until a collection.
        self.through = Once(
            lambda weight, bias: functional.linear(flat.to(weight.dtype), weight, bias)
        )


class PatchedRows(LazyRows):
    """An example with other values at some positions.

    Args:
        example: all rows are versions of it.
        patches: for each run of rows ``(positions [k], values [m, k])``: where they differ from the
            example, and by what ``m`` rows one after the other have there. Positions count the
            values of the flattened example.

    Example:
        >>> example = Example(torch.zeros(3))
        >>> rows = PatchedRows(example, [(torch.tensor([1]), torch.tensor([[5.0]]))])
        >>> rows.dense(), rows.through(torch.tensor([[1.0, 2.0, 3.0]]), None)
        (tensor([[0., 5., 0.]]), tensor([[10.]]))
    """

    def __init__(self, example: Example, patches: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__(sum(len(values) for _, values in patches), example.x)
        self.example = example
        self.patches = patches

    def _make(self) -> Tensor:
        flat = self.example.flat.expand(self.n_rows, -1).clone()
        start = 0
        for positions, values in self.patches:
            flat[start : start + len(values), positions] = values
            start += len(values)
        return flat.reshape(self.shape)

    def _through(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        base = self.example.through(weight, bias)
        result = base.new_empty(self.n_rows, len(weight))
        start = 0
        for positions, values in self.patches:
            old = self.example.flat[positions].to(weight.dtype)
            change = values.to(weight.dtype) - old
            part = result[start : start + len(values)]
            torch.addmm(base, change, weight[:, positions].T, out=part)
            start += len(values)
        return result


class JoinedRows(LazyRows):
    """Rows of several examples, one after the other.

    Args:
        parts: at least one, with rows of the same shape.
    """

    def __init__(self, parts: Sequence[LazyRows]) -> None:
        super().__init__(sum(map(len, parts)), parts[0].like)
        self.parts = parts

    def forget(self) -> None:
        super().forget()
        for part in self.parts:
            part.forget()

    def _make(self) -> Tensor:
        return torch.cat([part.dense() for part in self.parts])

    def _through(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.cat([part.through(weight, bias) for part in self.parts])


def join(parts: Sequence[Tensor | LazyRows]) -> Tensor | LazyRows:
    """Rows of several examples as those of one batch; described, where all are.

    Example:
        >>> join([torch.zeros(1, 2), torch.ones(1, 2)])
        tensor([[0., 0.],
                [1., 1.]])
    """
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, LazyRows) for part in parts):
        return JoinedRows([part for part in parts if isinstance(part, LazyRows)])
    return torch.cat([dense(part) for part in parts])


def dense(rows: Tensor | LazyRows) -> Tensor:
    """The rows themselves."""
    return rows.dense() if isinstance(rows, LazyRows) else rows
