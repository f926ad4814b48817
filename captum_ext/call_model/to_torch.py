"""From PAIR's ``call_model_function`` to a torch function, differentiable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES
from torch import Tensor

from captum_ext.call_model.from_torch import TorchCallModel
from captum_ext.call_model.keys import (
    CallModelFunction,
    as_array,
    channels_first,
    channels_last,
)


def forward_func(
    call_model_function: CallModelFunction, call_model_args: Any = None
) -> Callable[[Tensor], Tensor]:
    """A torch function of images that asks ``call_model_function``, on any framework's model.

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
        ctx.asked = (call_model_function, call_model_args)
        return ask(call_model_function, call_model_args, x, [OUTPUT_LAYER_VALUES])[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        function, arguments = ctx.asked
        (jacobian,) = ask(function, arguments, x, [INPUT_OUTPUT_GRADIENTS])
        return gradient.reshape(-1, *[1] * (x.dim() - 1)) * jacobian, None, None


def ask(
    call_model_function: CallModelFunction, call_model_args: Any, x: Tensor, keys: Sequence[str]
) -> list[Tensor]:
    """What ``call_model_function`` answers to some keys, as tensors like ``x``.

    Args:
        call_model_function: is given ``x`` as an array with the channels last. One made by
            :func:`captum_ext.call_model.call_model_function` is called once; any other once for
            each key, because many know only one at a time.
        call_model_args: handed through.
        x: ``[B, ...]``, 4-d tensors with the channels first.
        keys: OUTPUT_LAYER_VALUES, or those whose values are like the input.

    Returns:
        For each key ``[B]``, or the shape of ``x``; in the dtype and on the device of ``x``.

    Raises:
        TypeError: the answer is not a mapping.
        ValueError: a key is not answered, or its value has the wrong shape.
    """
    batch = as_array(channels_last(x))
    if isinstance(call_model_function, TorchCallModel):
        answers: Mapping[str, Any] = call_model_function(batch, call_model_args, keys)
    else:
        answers = {key: answer_of(call_model_function, call_model_args, key, batch) for key in keys}
    return [_like(x, key, answers[key], batch.shape) for key in keys]


def _like(x: Tensor, key: str, answer: Any, batch_shape: tuple[int, ...]) -> Tensor:
    values = np.array(answer.detach().cpu() if isinstance(answer, Tensor) else answer)
    shape = batch_shape[:1] if key == OUTPUT_LAYER_VALUES else batch_shape
    if values.shape != shape:
        raise ValueError(
            f"call_model_function must answer {key} with shape {shape}; got {values.shape}"
        )
    return channels_first(torch.as_tensor(values, dtype=x.dtype, device=x.device))


def answer_of(
    call_model_function: CallModelFunction, call_model_args: Any, key: str, batch: np.ndarray
) -> Any:
    """What ``call_model_function`` answers to one key for an array, as it comes.

    Raises:
        TypeError: the answer is not a mapping.
        ValueError: the key is not in it.
    """
    answer = call_model_function(batch, call_model_args=call_model_args, expected_keys=[key])
    if not isinstance(answer, Mapping):
        raise TypeError(
            f"call_model_function must give a dict of values by key; got {type(answer).__name__}"
        )
    if key not in answer:
        raise ValueError(
            f"call_model_function must answer {key}; it answered {', '.join(answer) or 'nothing'}"
        )
    return answer[key]
