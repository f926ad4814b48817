"""Access to the layers of a model: their inputs, outputs and gradients."""

from __future__ import annotations

from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

_NOTHING = object()
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
HEADS = (nn.Linear, *CONVOLUTIONS)


class Tap:
    """Catches what goes into a layer, or comes out of it, while a model runs.

    A context manager; the hook is gone when it ends. Where the layer runs several times in one
    pass, the last time counts. What runs in other threads is not caught.

    Args:
        layer: a module somewhere in the model.
        of_input: catch the input of the layer instead of its output.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with Tap(model[0]) as tap:
        ...     output = model(torch.ones(1, 2))
        >>> torch.equal(tap.values.relu(), output)
        True
    """

    def __init__(self, layer: nn.Module, *, of_input: bool = False) -> None:
        self.layer = layer
        self.of_input = of_input
        self._caught: Any = _NOTHING

    def __enter__(self) -> Tap:
        self._thread = get_ident()
        if self.of_input:
            self._handle = self.layer.register_forward_pre_hook(self._before, with_kwargs=True)
        else:
            self._handle = self.layer.register_forward_hook(self._after)
        return self

    def __exit__(self, *error: Any) -> None:
        self._handle.remove()

    @property
    def values(self) -> Tensor:
        """The caught tensor, with its graph.

        Raises:
            ValueError: the layer did not run.
            TypeError: the layer's value is not a tensor.
        """
        if self._caught is _NOTHING:
            raise ValueError(
                "layer must be one that the model runs; the forward pass never reaches "
                f"{self.layer}. To use a separate module, pass its forward method"
            )
        if not isinstance(self._caught, Tensor):
            verb, kind = "take" if self.of_input else "return", type(self._caught).__name__
            raise TypeError(f"layer must {verb} a tensor; {self.layer} {verb}s {kind}")
        return self._caught

    def _before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if get_ident() != self._thread:
            return
        values = next(iter((*args, *kwargs.values())), None)
        self._caught = values.clone() if isinstance(values, Tensor) else values

    def _after(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if get_ident() != self._thread:
            return None
        # The model goes on with a copy, because its next layer may work in place.
        if isinstance(output, Tensor):
            self._caught = output
            return output.clone()
        if type(output) is tuple and output and isinstance(output[0], Tensor):
            self._caught = output[0]
            return (output[0].clone(), *output[1:])
        self._caught = output
        return None


def gradients_of(
    output: Tensor,
    leaves: tuple[Tensor, ...],
    cotangent: Tensor | None = None,
    *,
    keep_graph: bool = False,
    name: str = "forward_func",
) -> tuple[Tensor, ...]:
    """One vector-Jacobian product: zero for a leaf that ``output`` does not depend on.

    Args:
        output: what the leaves went into.
        leaves: tensors that require gradients.
        cotangent: the vector, of the shape of ``output``; None for a scalar output.
        keep_graph: whether another product of the same graph follows.
        name: what ``output`` is, for the error message.

    Raises:
        ValueError: ``output`` depends on no leaf.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> gradients_of(x * 3, (x,), torch.tensor([1.0, 0.0]))
        (tensor([3., 0.]),)
    """
    gradients: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if output.requires_grad:
        if cotangent is not None:
            # The gradient of this sum is the product. Handed to torch, the cotangent would have it
            # import sympy first, and an interruption in that breaks all later calls.
            with torch.enable_grad():
                output = (output * cotangent.to(output)).sum()
        gradients = torch.autograd.grad(output, leaves, retain_graph=keep_graph, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        why = "its output has no gradient of inputs"
        if torch.is_inference_mode_enabled():
            why = "no gradients exist under torch.inference_mode()"
        raise ValueError(f"{name} must be differentiable; {why}")
    return tuple(
        torch.zeros_like(leaf) if gradient is None else gradient
        for gradient, leaf in zip(gradients, leaves, strict=True)
    )
