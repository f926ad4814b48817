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
    array: np.ndarray = (x.float() if x.dtype == torch.bfloat16 else x).numpy(force=True)
    return array


def as_numbers(values: Any, name: str) -> np.ndarray:
    """A copy that torch can read, in C order: the machine's byte order, at most double precision.

    Args:
        values: an array, a tensor, or what NumPy makes an array of.
        name: of the argument, for error messages.

    Raises:
        TypeError: not real numbers.
        ValueError: rows of different lengths.

    Example:
        >>> as_numbers(np.array([1, 2], dtype=">f4"), "x_value").dtype.isnative
        True
    """
    if isinstance(values, list | tuple):
        values = [as_array(each) if isinstance(each, Tensor) else each for each in values]
    try:
        array = as_array(values) if isinstance(values, Tensor) else np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers; got dtype {array.dtype}")
    wide = array.dtype.kind == "f" and array.dtype.itemsize > 8
    # What is too large for double precision becomes infinite, which the checks will name.
    with np.errstate(over="ignore"):
        return np.array(array, np.float64 if wide else array.dtype.newbyteorder("="), order="C")


def copied(x: Tensor) -> np.ndarray:
    """Like :func:`as_array`, but a copy in C order, which may be changed."""
    return np.array(as_array(x), order="C")


def as_example(x_value: Any, name: str = "x_value") -> Tensor:
    """A PAIR input as a batch of one: ``[1, C, H, W]`` from ``[H, W, C]``, others ``[1, ...]``.

    Args:
        x_value: an array of any byte order and strides. Whole numbers become float64.
        name: of the argument, for error messages.

    Raises:
        TypeError: not real numbers.

    Example:
        >>> as_example(np.zeros((4, 5, 3))).shape
        torch.Size([1, 3, 4, 5])
    """
    array = as_numbers(x_value, name)
    return channels_first(torch.from_numpy(_with_fractions(array))[None])


def _with_fractions(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def as_mask(attribution: Tensor) -> np.ndarray:
    """The attribution of an example as PAIR's masks are: the reverse of :func:`as_example`.

    Example:
        >>> as_mask(torch.zeros(1, 3, 4, 5)).shape
        (4, 5, 3)
    """
    return copied(channels_last(attribution)[0])
