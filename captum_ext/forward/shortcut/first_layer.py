"""The first-layer shortcut: described rows on their way into a model.

:class:`LazyBatch` is a tensor that a model takes for its batch. As long as the model only asks for
its shape, converts it to a wider dtype or flattens it, nothing is computed; handed to a linear
layer, it gives that layer's output by way of
:class:`captum_ext.forward.shortcut.lazy_rows.LazyRows`.
Whatever else the model does with it happens to the rows themselves, which are made at that moment.
So the result is right whatever the model is, and quick where it begins with (Flatten,) Linear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from captum_ext.forward.shortcut.lazy_rows import LazyRows


class LazyBatch(Tensor):
    """A batch ``[n, ...]`` whose rows are made when something else than a linear layer asks.

    Args:
        rows: what they are.
        shape: their shape now, ``[n, ...]``; None takes that of ``rows``.
        dtype: their dtype now.

    Example:
        >>> from captum_ext.forward.shortcut.lazy_rows import Example, PatchedRows
        >>> rows = PatchedRows(
        ...     Example(torch.zeros(1, 2, 2)), [(torch.tensor([3]), torch.tensor([[7.0]]))]
        ... )
        >>> layer = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False))
        >>> with torch.no_grad():
        ...     torch.equal(layer(LazyBatch(rows)), 7 * layer[1].weight[:, 3:]), rows.made
        (True, None)
        >>> (LazyBatch(rows) + 1).sum().item()
        11.0
    """

    rows: LazyRows

    @staticmethod
    def __new__(
        cls, rows: LazyRows, shape: torch.Size | None = None, dtype: torch.dtype | None = None
    ) -> LazyBatch:
        made: LazyBatch = Tensor._make_wrapper_subclass(
            cls,
            rows.shape if shape is None else shape,
            dtype=dtype or rows.dtype,
            device=rows.device,
        )
        made.rows = rows
        return made

    def dense(self) -> Tensor:
        """The rows themselves, in this shape and dtype."""
        return self.rows.dense().to(self.dtype).reshape(self.shape)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _QUESTIONS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if func in _LAZILY and isinstance(args[0], cls) and args[0].rows.made is None:
            result = _LAZILY[func](func, *args, **kwargs)
            if result is not None:
                return result
        return func(*_made(args), **_made(kwargs))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # Those who do not come by way of Python's functions, as TorchScript.
        return func(*_made(args), **_made(dict(kwargs or {})))


def _made(value: Any) -> Any:
    """``value`` with rows in place of those that are lazy."""
    if isinstance(value, LazyBatch):
        with torch._C.DisableTorchFunctionSubclass():
            return value.dense()
    if isinstance(value, dict):
        return {name: _made(each) for name, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_made(each) for each in value)
    return value


def _reshaped(func: Callable[..., Any], x: LazyBatch, *args: Any, **kwargs: Any) -> Any:
    """A view that keeps the rows apart."""
    shown = func(torch.empty(x.shape, dtype=x.dtype, device="meta"), *args, **kwargs)
    if shown.shape[:1] != x.shape[:1] or shown.dtype != x.dtype:
        return None
    return LazyBatch(x.rows, shown.shape, x.dtype)


def _converted(func: Callable[..., Any], x: LazyBatch, *args: Any, **kwargs: Any) -> Any:
    """The same values in a dtype that holds them all."""
    if kwargs.get("memory_format") is not None:
        return None
    shown = func(torch.empty(0, dtype=x.dtype, device=x.device), *args, **kwargs)
    if shown.device != x.device or torch.promote_types(x.dtype, shown.dtype) != shown.dtype:
        return None
    return LazyBatch(x.rows, x.shape, shown.dtype)


def _multiplied(
    func: Callable[..., Any], x: LazyBatch, other: Any, *more: Any, **named: Any
) -> Any:
    """``x @ other``."""
    plain = isinstance(other, Tensor) and other.dim() == 2 and not (more or named)
    return _through(x, other.T, None) if plain else None


def _linear(
    func: Callable[..., Any], x: LazyBatch, weight: Any, bias: Tensor | None = None
) -> Tensor | None:
    return _through(x, weight, bias)


def _through(x: LazyBatch, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    fits = x.dim() == 2 and weight.dim() == 2 and x.shape[1] == weight.shape[1]
    alike = x.dtype == weight.dtype and x.device == weight.device
    if not fits or not alike or torch.is_autocast_enabled(x.device.type):
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    return x.rows.through(weight, bias)


_PROPERTIES = (
    "shape dtype device layout ndim requires_grad is_leaf grad_fn is_cuda is_cpu is_meta is_nested "
    "is_sparse is_quantized"
)
#: What can be answered without the rows.
_QUESTIONS = {getattr(Tensor, name).__get__ for name in _PROPERTIES.split()} | {
    Tensor.dim,
    Tensor.size,
    Tensor.numel,
    Tensor.nelement,
    Tensor.stride,
    Tensor.is_contiguous,
    Tensor.is_floating_point,
    Tensor.is_complex,
    Tensor.__len__,
    torch.numel,
    torch.is_floating_point,
    torch.is_complex,
}

_RESHAPE = (
    torch.flatten,
    torch.reshape,
    torch.detach,
    Tensor.flatten,
    Tensor.reshape,
    Tensor.reshape_as,
    Tensor.view,
    Tensor.view_as,
    Tensor.detach,
    Tensor.contiguous,
)
_CONVERT = (Tensor.to, Tensor.float, Tensor.double, Tensor.type, Tensor.type_as)
_MULTIPLY = (torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__)
#: What can be done without the rows; a result of None says that it cannot.
_LAZILY: dict[Callable[..., Any], Callable[..., Any]] = {
    **dict.fromkeys(_RESHAPE, _reshaped),
    **dict.fromkeys(_CONVERT, _converted),
    **dict.fromkeys(_MULTIPLY, _multiplied),
    functional.linear: _linear,
}
