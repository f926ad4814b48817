"""Looking into a model: what passes a layer, and how the input moves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_HEADS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Tap:
    """Catches what goes into a layer, or comes out of it, while a model runs.

    A context manager; the hook is gone when it ends. Where the layer runs several times in one
    pass, the last time counts.

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
        self._caught: Tensor | None = None

    def __enter__(self) -> Tap:
        if self.of_input:
            self._handle = self.layer.register_forward_pre_hook(self._before, with_kwargs=True)
        else:
            self._handle = self.layer.register_forward_hook(self._after)
        return self

    def __exit__(self, *error: Any) -> None:
        self._handle.remove()

    @property
    def values(self) -> Tensor:
        """What was caught, with its graph.

        Raises:
            ValueError: the layer did not run, or what passes it is not a tensor.
        """
        if self._caught is None:
            raise ValueError(
                f"layer must be one that the model runs and that passes a tensor on; the forward "
                f"pass never reaches {self.layer}"
            )
        return self._caught

    def _before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = next(iter((*args, *kwargs.values())), None)
        self._caught = values.clone() if isinstance(values, Tensor) else None

    def _after(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        # The model goes on with a copy, because its next layer may work in place.
        if isinstance(output, Tensor):
            self._caught = output
            return output.clone()
        first = output[0] if type(output) is tuple and output else None
        self._caught = first if isinstance(first, Tensor) else None
        return None if self._caught is None else (self._caught.clone(), *output[1:])


def last_head(model: nn.Module, run: Callable[[], Any]) -> nn.Module:
    """The last linear or convolutional layer that runs.

    Its input is the usual representation of an example.

    Args:
        model: where to look.
        run: runs ``model`` once.

    Raises:
        ValueError: no such layer runs.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Softmax(1))
        >>> last_head(model, lambda: model(torch.ones(1, 2)))
        Linear(in_features=3, out_features=4, bias=True)
    """
    heads: list[nn.Module] = []
    handles = [
        module.register_forward_hook(lambda module, args, output: heads.append(module))
        for module in model.modules()
        if isinstance(module, _HEADS)
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    if not heads:
        raise ValueError(
            f"layer must be given: no linear or convolutional layer of {type(model).__name__} runs"
        )
    return heads[-1]


def gradients_of(
    output: Tensor,
    leaves: tuple[Tensor, ...],
    cotangent: Tensor | None = None,
    *,
    keep_graph: bool = False,
) -> tuple[Tensor, ...]:
    """One vector-Jacobian product: zero where ``output`` does not depend on a leaf.

    Args:
        output: what the leaves went into.
        leaves: tensors that require gradients.
        cotangent: the vector, of the shape of ``output``; None for a scalar output.
        keep_graph: whether another product of the same graph follows.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> gradients_of(x * 3, (x,), torch.tensor([1.0, 0.0]))
        (tensor([3., 0.]),)
    """
    return torch.autograd.grad(
        output,
        leaves,
        cotangent,
        retain_graph=keep_graph,
        allow_unused=True,
        materialize_grads=True,
    )
