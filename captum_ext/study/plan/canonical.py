"""Settings as plain values: for digests, which differ where settings do, and for reports."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_ext.study.plan.bytecode import digest_of_code, functions_of, globals_of
from captum_ext.study.plan.code import digest_of_module, is_in_source, origin_of
from captum_ext.study.plan.digest import digest_of, digest_of_bytes, digest_of_tensor

#: Between what something is called and a digest of its code.
CODE = " code "
_HIDDEN = ("__", "_abc_")
_NUMBERS = (bool, int, float, str, bytes, type(None))
_ARRAYS = (Tensor, np.ndarray, np.generic, nn.Module)
_TOLD: tuple[type, ...] = (
    *(*_NUMBERS, *_ARRAYS, Mapping, list, tuple, set, frozenset),
    *(ModuleType, FunctionType, MethodType, partial, type),
)
#: What each module of torch has.
_USUAL = set(vars(nn.Module()))


def plain(value: Any) -> Any:
    """A setting as JSON has it; what JSON has no word for, as something that tells it from others.

    Tensors, arrays and modules become digests, functions and classes what :func:`source` tells,
    other objects their class and attributes.

    Raises:
        TypeError: an object that nothing tells from others of its kind.

    Example:
        >>> plain({"strides": (3, 4)}), plain(len)
        ({'strides': [3, 4]}, 'builtins.len')
    """
    return _Reader().plain(value)


def source(thing: Any) -> str:
    """Where a function or class is written, and a version or digest of what is written there.

    The digest is of its module and the modules that this one imports, as far as no distribution
    gives them a version; of what has no source, of the compiled code. What a function is bound to
    and, without a source, what it looks up elsewhere is part of it, as far as it can be told.

    Example:
        >>> source(len), source(nn.ReLU)
        ('builtins.len', 'torch.nn.modules.activation.ReLU')
        >>> scope = {"__name__": "__main__"}
        >>> exec("def twice(x): return 2 * x", scope)
        >>> source(scope["twice"])
        '__main__.twice code ...'
    """
    return _Reader(strict=False).source(thing)


def digest_of_model(model: nn.Module, *more: Any) -> str:
    """Hexadecimal digits of a model: its layers, parameters and buffers; and its layers' code.

    The code is that of their classes, see :func:`source`, and of functions that a layer holds.
    Beside parameters and buffers, numbers that a layer holds are seen.

    Args:
        model: the model.
        more: plain values that its outputs depend on, too.

    Example:
        >>> digest_of_model(nn.ReLU()) == digest_of_model(nn.GELU())
        False
    """
    return _Reader(strict=False).model(model, more)


class _Reader:
    """Reads values; a function or class that it meets again, it knows.

    Args:
        strict: refuse what nothing tells from others.
    """

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.known: dict[int, str] = {}

    def plain(self, value: Any) -> Any:
        if isinstance(value, _NUMBERS) and not isinstance(value, bytes):
            return value
        if isinstance(value, Mapping):
            return {str(key): self.plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            parts = [self.plain(each) for each in value]
            # The order of a set differs from process to process.
            return parts if isinstance(value, list | tuple) else sorted(parts, key=repr)
        if isinstance(value, _ARRAYS):
            return self._digest(value)
        if isinstance(value, ModuleType):
            text = _text_of(value.__name__)
            return f"{value.__name__}{CODE}{text[:16]}" if text else value.__name__
        return self._callable(value) if callable(value) else self._object(value)

    def told(self, value: Any) -> Any:
        """As :meth:`plain`; of an object whose values may change by the way, only its class."""
        if isinstance(value, _TOLD) or is_dataclass(value):
            try:
                return self.plain(value)
            except (TypeError, RecursionError):
                pass
        return self.source(type(value))

    def source(self, thing: Any) -> str:
        if id(thing) not in self.known:
            place = f"{thing.__module__}.{thing.__qualname__}"
            # Until it is read: it may refer to itself.
            self.known[id(thing)] = place
            origin = origin_of(thing.__module__ or "builtins")
            parts = self._class(thing) if isinstance(thing, type) else self._function(thing)
            digest = f"{CODE}{digest_of(parts)[:16]}" if any(parts) else ""
            self.known[id(thing)] = f"{place}{' ' if origin else ''}{origin or ''}{digest}"
        return self.known[id(thing)]

    def _function(self, function: Any) -> list[Any]:
        code = getattr(function, "__code__", None)
        if code is None:
            return []
        read = self.plain if self.strict else self.told
        module = function.__globals__.get("__name__", "")
        parts = [read(each) for each in (function.__defaults__, function.__kwdefaults__) if each]
        parts += [read(each) for each in _bound(function)]
        text = _text_of(module)
        if text is None or not is_in_source(function):
            names = sorted(globals_of(code) & function.__globals__.keys())
            outside = {name: self.told(function.__globals__[name]) for name in names}
            return [*parts, text, digest_of_code(code), outside]
        # Which of several lambdas of a module it is, nothing else tells.
        which = digest_of_code(code) if code.co_name == "<lambda>" else ""
        return [*parts, text, which]

    def _class(self, cls: type) -> list[Any]:
        text = _text_of(cls.__module__)
        if text == "" and "<locals>" not in cls.__qualname__:
            return []
        # What else it holds, its source tells, where it is written in one.
        written = text and getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls
        parts: list[Any] = [text, *(self.source(base) for base in cls.__bases__)]
        for name, value in sorted(vars(cls).items()):
            functions = functions_of(value)
            if functions:
                parts.append([name, [self.told(function) for function in functions]])
            elif (isinstance(value, _NUMBERS) or not written) and not name.startswith(_HIDDEN):
                parts.append([name, self.told(value)])
        return parts

    def model(self, model: nn.Module, more: tuple[Any, ...] = ()) -> str:
        state = {
            name: digest_of_tensor(value)
            for name, value in model.state_dict().items()
            if isinstance(value, Tensor)
        }
        held, code = [], set()
        for place, layer in model.named_modules():
            code.add(self.source(type(layer)))
            if isinstance(layer, torch.fx.GraphModule | torch.jit.ScriptModule):
                code.add(str(layer.code))
            for name, value in vars(layer).items():
                if name in _USUAL or type(layer).__module__.startswith("captum_ext."):
                    continue
                if isinstance(value, FunctionType | MethodType | partial | type):
                    code.add(f"{place}.{name} {self.told(value)}")
                # Texts are paths, too, and lists and objects may keep what was last seen.
                elif isinstance(value, bool | int | float):
                    held.append([place, name, value])
        about = digest_of(type(model).__name__, repr(model), state, held, *more)
        return f"{about}{CODE}{digest_of(sorted(code))[:16]}"

    def _digest(self, value: Tensor | np.ndarray | np.generic | nn.Module) -> str:
        if isinstance(value, Tensor):
            return f"tensor {digest_of_tensor(value)}"
        if isinstance(value, nn.Module):
            return f"model {self.model(value)}"
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            return f"array {self.plain(array.tolist())}"
        about = f"{array.shape} {array.dtype} ".encode()
        return f"array {digest_of_bytes(about, array.tobytes())}"

    def _callable(self, value: Any) -> Any:
        if isinstance(value, partial):
            given = [value.args, value.keywords]
            return {"function": self.plain(value.func), "with": self.plain(given)}
        if isinstance(value, MethodType):
            return {"function": self.source(value.__func__), "of": self.plain(value.__self__)}
        return self.source(value) if hasattr(value, "__qualname__") else self._object(value)

    def _object(self, value: Any) -> Any:
        kind = self.source(type(value))
        if is_dataclass(value):
            names = [each.name for each in fields(value)]
        elif hasattr(value, "__dict__"):
            names = list(vars(value))
        elif " at 0x" not in repr(value):
            return f"{kind}: {value!r}"
        else:
            raise TypeError(
                f"a setting of class {kind.partition(CODE)[0]} cannot be told from others; "
                "give it a __repr__"
            )
        if id(value) in self.known:
            return self.known[id(value)]
        self.known[id(value)] = kind
        told = {"class": kind} | {name: self.plain(getattr(value, name)) for name in names}
        del self.known[id(value)]
        return told


def _text_of(module: str) -> str | None:
    """A digest of a module's source; "" where its version decides; None where it has none."""
    return digest_of_module(module) if origin_of(module) is None else ""


def _bound(function: Any) -> Iterator[Any]:
    """What a function has from the functions around it."""
    for cell in function.__closure__ or ():
        # A recursive function's is empty while it is made.
        with suppress(ValueError):
            yield cell.cell_contents
