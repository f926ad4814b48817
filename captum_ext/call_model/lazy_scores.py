"""Output values that are asked for when they are first read.

A gradient method calls the model, and looks at nothing but the gradient of what it returns. A
``call_model_function`` that only answers gradients is enough for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: What says something of a tensor, or of its gradient, without its values.
_WITHOUT_VALUES = {
    *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "requires_grad")),
    *(getattr(Tensor, name).__get__ for name in ("grad_fn", "is_leaf", "ndim", "layout")),
    *(getattr(Tensor, name).__get__ for name in ("is_cuda", "is_sparse", "is_mps")),
    *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.nelement, Tensor.__len__, torch.numel),
    *(Tensor.is_floating_point, torch.is_floating_point, Tensor.is_complex, torch.is_complex),
    *(Tensor.backward, torch.autograd.backward, torch.autograd.grad, Tensor.register_hook),
    *(torch.ones_like, torch.zeros_like, torch.empty_like),
}
#: What is the same for the values that come later; the gradient is that of the tensor before.
_LATER = {
    *(Tensor.__getitem__, Tensor.unbind, torch.unbind, Tensor.sum, torch.sum),
    *(Tensor.mean, torch.mean, Tensor.flatten, torch.flatten, Tensor.reshape, torch.reshape),
    *(Tensor.view, Tensor.squeeze, torch.squeeze, Tensor.unsqueeze, torch.unsqueeze),
}


class LazyScores(Tensor):
    """A tensor with a graph, whose values are computed when something reads them.

    Anything that is not known to do without the values reads them.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> scores = LazyScores.of(2 * x, lambda: print("asked") or torch.tensor([2.0, 2.0]))
        >>> torch.autograd.grad(scores.sum(), x)
        (tensor([2., 2.]),)
        >>> scores + 1
        asked
        tensor([3., 3.], grad_fn=<AddBackward0>)
    """

    _compute: Callable[[], Tensor] | None

    @staticmethod
    def of(tensor: Tensor, compute: Callable[[], Tensor]) -> LazyScores:
        """``tensor`` with its graph, but with values that ``compute`` gives."""
        scores = tensor.as_subclass(LazyScores)
        scores._compute = compute
        return scores

    def fill(self) -> Tensor:
        """The values, as a plain tensor with the graph."""
        with torch._C.DisableTorchFunctionSubclass():
            compute, self._compute = getattr(self, "_compute", None), None
            if compute is not None:
                # Of the values alone: the graph, and what it has saved, does not know of them.
                self.data.copy_(compute())
            return self.as_subclass(Tensor)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        later = func in _LATER and isinstance(args[0], LazyScores)
        if not later and func not in _WITHOUT_VALUES:
            return func(*_filled(args), **_filled(kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
            if not later:
                return result
            whole, *rest = args

            def part(number: int | None) -> Tensor:
                filled = func(whole.fill().detach(), *rest, **kwargs)
                return filled if number is None else filled[number]  # type: ignore[no-any-return]

            if isinstance(result, Tensor):
                return LazyScores.of(result, lambda: part(None))
            return tuple(
                LazyScores.of(each, lambda number=number: part(number))  # type: ignore[misc]
                for number, each in enumerate(result)
            )


def _filled(value: Any) -> Any:
    if isinstance(value, LazyScores):
        return value.fill()
    if type(value) in (tuple, list):
        return type(value)(_filled(each) for each in value)
    if type(value) is dict:
        return {key: _filled(each) for key, each in value.items()}
    return value
