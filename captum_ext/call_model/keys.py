"""The names that PAIR's methods ask for, and how their arrays and torch's tensors correspond."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from saliency.core.base import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    OUTPUT_LAYER_VALUES,
)
from torch import Tensor

#: IG2's keys: the representation of the inputs, and the gradient of *minus* the mean squared
#: distance between it and ``call_model_args["layer_baseline"]`` (so it points to the reference).
REP_LAYER_VALUES = "REP_LAYER_VALUES"
REP_DISTANCE_GRADIENTS = "REP_DISTANCE_GRADIENTS"
LAYER_BASELINE = "layer_baseline"

KEYS = (
    OUTPUT_LAYER_VALUES,
    INPUT_OUTPUT_GRADIENTS,
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    REP_LAYER_VALUES,
    REP_DISTANCE_GRADIENTS,
)

#: ``function(x_value_batch, call_model_args=..., expected_keys=[...])`` -> values by key.
CallModelFunction = Callable[..., Mapping[str, Any]]


def channels_last(x: Tensor) -> Tensor:
    """PAIR's order of the dimensions: 4-d tensors with the channels last."""
    return x.movedim(1, -1) if x.dim() == 4 else x


def channels_first(x: Tensor) -> Tensor:
    """Torch's order of the dimensions: 4-d tensors with the channels first."""
    return x.movedim(-1, 1) if x.dim() == 4 else x


def as_array(x: Tensor) -> np.ndarray:
    """NumPy has no bfloat16: such tensors become float32."""
    x = x.detach().cpu()
    array: np.ndarray = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    return array


def copied(x: Tensor) -> np.ndarray:
    """Like :func:`as_array`, but a copy in C order, which may be changed."""
    return np.array(as_array(x), order="C")


def as_example(x_value: Any) -> Tensor:
    """A PAIR input as a batch of one: ``[1, C, H, W]`` from ``[H, W, C]``, others ``[1, ...]``.

    Raises:
        TypeError: not numbers.

    Example:
        >>> as_example(np.zeros((4, 5, 3))).shape
        torch.Size([1, 3, 4, 5])
    """
    array = np.asarray(x_value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"x_value must be an array of numbers; got dtype {array.dtype}")
    x = torch.from_numpy(array.astype(array.dtype if array.dtype.kind == "f" else np.float64))[None]
    return channels_first(x)


def as_mask(attribution: Tensor) -> np.ndarray:
    """The attribution of an example as PAIR's masks are: the reverse of :func:`as_example`.

    Example:
        >>> as_mask(torch.zeros(1, 3, 4, 5)).shape
        (4, 5, 3)
    """
    return copied(channels_last(attribution)[0])
