"""Settings as plain values: for digests, which differ where settings do, and for reports."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import MethodType
from typing import Any

import numpy as np
from torch import Tensor, nn

from captum_ext.study.plan.digest import digest_of_bytes, digest_of_model, digest_of_tensor


def plain(value: Any) -> Any:
    """A setting as JSON has it; what JSON has no word for, as something that tells it from others.

    Tensors, arrays and modules become digests, functions the place and a digest of their source,
    other objects their class and attributes. What a function calls or reads beside its own source
    is not seen.

    Raises:
        TypeError: an object that nothing tells from others of its kind.

    Example:
        >>> plain({"strides": (3, 4)}), plain(len)
        ({'strides': [3, 4]}, 'builtins.len')
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        parts = [plain(each) for each in value]
        # The order of a set differs from process to process.
        return parts if isinstance(value, list | tuple) else sorted(parts, key=repr)
    if isinstance(value, Tensor | np.ndarray | np.generic | nn.Module):
        return _digest(value)
    return _callable(value) if callable(value) else _object(value)


def source(function: Any) -> str:
    """Where a function or class is written, and a digest of what is written there.

    Example:
        >>> source(len)
        'builtins.len'
    """
    place = f"{function.__module__}.{function.__qualname__}"
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        return place
    bound = [plain(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ()]
    given = plain([getattr(function, "__defaults__", None)])
    return f"{place} {digest_of_bytes(text.encode(), repr([bound, given]).encode())[:12]}"


def _digest(value: Tensor | np.ndarray | np.generic | nn.Module) -> str:
    if isinstance(value, Tensor):
        return f"tensor {digest_of_tensor(value)}"
    if isinstance(value, nn.Module):
        return f"model {digest_of_model(value)}"
    array = np.ascontiguousarray(value)
    if array.dtype.hasobject:
        return f"array {plain(array.tolist())}"
    about = f"{array.shape} {array.dtype} ".encode()
    return f"array {digest_of_bytes(about, array.tobytes())}"


def _callable(value: Any) -> Any:
    if isinstance(value, partial):
        return {"function": plain(value.func), "with": plain([value.args, value.keywords])}
    if isinstance(value, MethodType):
        return {"function": source(value.__func__), "of": plain(value.__self__)}
    return source(value) if hasattr(value, "__qualname__") else _object(value)


def _object(value: Any) -> Any:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if is_dataclass(value):
        names = [each.name for each in fields(value)]
    elif hasattr(value, "__dict__"):
        names = list(vars(value))
    elif " at 0x" not in repr(value):
        return f"{kind}: {value!r}"
    else:
        raise TypeError(f"a setting of class {kind} cannot be told from others; give it a __repr__")
    return {"class": kind} | {name: plain(getattr(value, name)) for name in names}
