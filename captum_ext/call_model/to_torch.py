"""From PAIR's ``call_model_function`` to a torch function, differentiable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, OUTPUT_LAYER_VALUES
from torch import Tensor
from torch.autograd.function import once_differentiable

from captum_ext.call_model.from_torch import TorchCallModel
from captum_ext.call_model.keys import (
    CallModelFunction,
    as_array,
    as_numbers,
    channels_first,
    channels_last,
    copied,
)
from captum_ext.call_model.lazy_scores import LazyScores


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
        that gives ``[B]``; its backward pass asks for the gradients. Where gradients are taken,
        OUTPUT_LAYER_VALUES is asked for only when something reads the values.

    Raises:
        TypeError: ``call_model_function`` is no function.
        ValueError: when called, if a key is missing, or its value is not finite or of a wrong
            shape; a function that wants its channels first.

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

    return CallModelForward(call_model_function, call_model_args)


class CallModelForward:
    """The function that :func:`forward_func` gives."""

    #: There is no class to choose, which a method would have to look for.
    gives_one_score = True

    def __init__(self, call_model_function: CallModelFunction, call_model_args: Any) -> None:
        check_function(call_model_function)
        self.call_model_function = call_model_function
        self.call_model_args = call_model_args

    def __call__(self, x: Tensor) -> Tensor:
        def values_of(x: Tensor) -> Tensor:
            return ask(self.call_model_function, self.call_model_args, x, [OUTPUT_LAYER_VALUES])[0]

        if not (x.requires_grad and torch.is_grad_enabled()):
            return values_of(x)
        scores = _CallModel.apply(x, self.call_model_function, self.call_model_args)
        # A copy, because the caller may change it before the values are read.
        given = x.detach().clone()
        return LazyScores.of(scores, lambda: values_of(given))


class _CallModel(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, call_model_function: CallModelFunction, call_model_args: Any
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.asked = (call_model_function, call_model_args)
        return x.new_full((len(x),), torch.nan)

    @staticmethod
    @once_differentiable
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
        call_model_function: is given ``x`` as an array with the channels last, which it may
            change. One made by
            :func:`captum_ext.call_model.call_model_function` is called once; any other once for
            each key, because many know only one at a time.
        call_model_args: handed through.
        x: ``[B, ...]``, 4-d tensors with the channels first.
        keys: OUTPUT_LAYER_VALUES, or those whose values are like the input.

    Returns:
        For each key ``[B]``, or the shape of ``x``; in the dtype (if that has fractions) and on
        the device of ``x``.

    Raises:
        TypeError: the answer is not a mapping, or a value in it no array of real numbers.
        ValueError: a key is not answered, or its value is not finite or of a wrong shape; a
            function that wants its channels first.
    """
    check_function(call_model_function)
    arranged = channels_last(x)
    if isinstance(call_model_function, TorchCallModel):
        answers: Mapping[str, Any] = call_model_function(as_array(arranged), call_model_args, keys)
    else:
        asked = (call_model_function, call_model_args)
        answers = {key: answer_of(*asked, key, copied(arranged)) for key in keys}
    return [_like(x, key, answers[key], tuple(arranged.shape)) for key in keys]


def _like(x: Tensor, key: str, answer: Any, batch_shape: tuple[int, ...]) -> Tensor:
    values = as_numbers(answer, f"call_model_function's answer to {key}")
    shape = batch_shape[:1] if key == OUTPUT_LAYER_VALUES else batch_shape
    if values.shape != shape:
        raise ValueError(
            f"call_model_function must answer {key} with shape {shape}; got {values.shape}"
        )
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    tensor = torch.from_numpy(values).to(x.device, dtype)
    check_finite(tensor, key)
    return channels_first(tensor)


def check_finite(values: Tensor | np.ndarray, key: str) -> None:
    """Refuses answers with NaN or infinite values.

    Raises:
        ValueError: some are not finite.
    """
    finite = torch.isfinite(torch.as_tensor(values))
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise ValueError(
            f"call_model_function must answer {key} with finite values; got {bad} NaN or infinite "
            f"of {finite.numel()}"
        )


def check_function(call_model_function: Any) -> None:
    """Refuses what cannot be asked.

    Raises:
        TypeError: no function.
        ValueError: a function that :func:`captum_ext.call_model.call_model_function` has made for
            arrays with the channels first.
    """
    if not callable(call_model_function):
        raise TypeError(
            f"call_model_function must be a function; got {type(call_model_function).__name__}"
        )
    if isinstance(call_model_function, TorchCallModel) and not call_model_function.channels_last:
        raise ValueError(
            "call_model_function must be made with channels_last=True here: PAIR's arrays have "
            "their channels last"
        )


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
            f"call_model_function must answer {key}; it answered "
            f"{', '.join(map(str, answer)) or 'nothing'}"
        )
    return answer[key]
