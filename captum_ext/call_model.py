"""From PAIR's ``call_model_function`` to a torch function, differentiable.

PAIR saliency asks a model for named values through one function (see ``saliency.core.base``). Any
framework's model can be wrapped so; here it becomes a function that Captum's methods can run on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES
from torch import Tensor

#: ``function(x_value_batch, call_model_args=..., expected_keys=[...])`` -> values by key.
CallModelFunction = Callable[..., dict[str, Any]]


def forward_func(
    call_model_function: CallModelFunction, call_model_args: Any = None
) -> Callable[[Tensor], Tensor]:
    """A torch function of images that asks ``call_model_function``.

    Args:
        call_model_function: answers OUTPUT_LAYER_VALUES with the explained output ``[B]``, and,
            where gradients are wanted, INPUT_OUTPUT_GRADIENTS with an array like its input. It
            gets NumPy arrays with the channels last: ``[B, H, W, C]``.
        call_model_args: handed through with every call.

    Returns:
        A function of ``[B, C, H, W]`` (inputs of other than 4 dimensions go through as they are)
        that gives ``[B]``; its backward pass asks for the gradients.

    Raises:
        ValueError: when called, if a key is missing or its value has the wrong shape.

    Example:
        >>> def half_sum(x, call_model_args=None, expected_keys=None):
        ...     return {
        ...         OUTPUT_LAYER_VALUES: x.sum((1, 2, 3)) / 2,
        ...         INPUT_OUTPUT_GRADIENTS: np.full_like(x, 0.5),
        ...     }
        >>> x = torch.ones(1, 3, 2, 2, requires_grad=True)
        >>> forward_func(half_sum)(x).sum().backward()
        >>> x.grad.unique()
        tensor([0.5000])
    """

    def forward(x: Tensor) -> Tensor:
        result: Tensor = _CallModel.apply(x, call_model_function, call_model_args)
        return result

    return forward


class _CallModel(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, call_model_function: CallModelFunction, call_model_args: Any
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ask = (call_model_function, call_model_args)
        return _ask(x, OUTPUT_LAYER_VALUES, (x.shape[0],), call_model_function, call_model_args)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        channels_last = _channels_last(x).shape
        jacobian = _ask(x, INPUT_OUTPUT_GRADIENTS, tuple(channels_last), *ctx.ask)
        jacobian = jacobian.movedim(-1, 1) if x.dim() == 4 else jacobian
        return gradient.reshape(-1, *[1] * (x.dim() - 1)) * jacobian, None, None


def _ask(
    x: Tensor,
    key: str,
    shape: tuple[int, ...],
    call_model_function: CallModelFunction,
    call_model_args: Any,
) -> Tensor:
    batch = _channels_last(x).detach().cpu().numpy()
    answer = call_model_function(batch, call_model_args=call_model_args, expected_keys=[key])
    if key not in answer:
        raise ValueError(
            f"call_model_function must answer {key}; it answered {', '.join(answer) or 'nothing'}"
        )
    values = np.array(answer[key])
    if values.shape != shape:
        raise ValueError(
            f"call_model_function must answer {key} with shape {shape}; got {values.shape}"
        )
    return torch.as_tensor(values, dtype=x.dtype, device=x.device)


def _channels_last(x: Tensor) -> Tensor:
    return x.movedim(1, -1) if x.dim() == 4 else x
