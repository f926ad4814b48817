"""Count the forward and backward passes of any method, Captum's included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule


@dataclass
class Passes:
    """How many examples went forward through a model, and how many backward."""

    forward: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        return self.forward + self.backward


#: Whether the passes that run now are those of a check.
_checking: ContextVar[bool] = ContextVar("checking", default=False)


@contextmanager
def checking() -> Iterator[None]:
    """Marks the passes inside as those of a check, which :func:`count_passes` counts apart.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> with count_passes(model) as passes, checking():
        ...     _ = model(torch.zeros(8, 3))
        >>> passes
        Passes(forward=0, backward=0)
    """
    token = _checking.set(True)
    try:
        yield
    finally:
        _checking.reset(token)


@contextmanager
def count_passes(model: nn.Module, *, of_checks: bool = False) -> Iterator[Passes]:
    """Counts the examples that any method sends forward and backward through ``model``.

    A batch of 8 counts 8. A backward pass counts once for each forward pass that it goes back
    through, also where it starts or ends at a hidden layer. Passes of other threads do not count.
    The context removes its hooks from the model when it ends.

    Args:
        model: whose passes count.
        of_checks: count those inside of :func:`checking`, and no others.

    Raises:
        TypeError: ``model`` is not a module (a plain function has no hooks), or a scripted one.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> with count_passes(model) as passes:
        ...     model(torch.zeros(8, 3, requires_grad=True)).sum().backward()
        >>> passes
        Passes(forward=8, backward=8)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}")
    if isinstance(model, ScriptModule):
        raise TypeError("model must have hooks, which scripted modules lack; wrap it in a module")
    counter = _PassCounter(of_checks)
    handles = [
        model.register_forward_pre_hook(counter.begin, prepend=True),
        *(
            module.register_forward_hook(counter.watch)
            for module in model.modules()
            if module is model or not (isinstance(module, ScriptModule) or any(module.children()))
        ),
        model.register_forward_hook(counter.count_forward, with_kwargs=True),
    ]
    try:
        yield counter.passes
    finally:
        for handle in handles:
            handle.remove()


@dataclass(eq=False)
class _ForwardCall:
    """One call of the model: its batch size, and the backward passes that have reached it."""

    counts: bool = False
    n_examples: int = 0
    backward_ids: set[int] = field(default_factory=set)


class _PassCounter:
    def __init__(self, of_checks: bool) -> None:
        self.passes = Passes()
        self._of_checks = of_checks
        self._thread = get_ident()
        self._call = _ForwardCall()

    def begin(self, module: nn.Module, args: Any) -> None:
        if get_ident() == self._thread:
            self._call = _ForwardCall(_checking.get() == self._of_checks)

    def count_forward(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if get_ident() != self._thread or not self._call.counts:
            return
        # Counted after the pass: a hook before it may change the batch, as DeepLift's does.
        first = next(_tensors((args, kwargs)), None)
        self._call.n_examples = 1 if first is None or first.dim() == 0 else first.shape[0]
        self.passes.forward += self._call.n_examples

    def watch(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        # Gradients are watched where they pass a layer, not at the model's input or output,
        # because they may start at a hidden layer (a representation) or end there (Grad-CAM).
        if get_ident() != self._thread or not self._call.counts:
            return
        for tensor in _tensors(output):
            if tensor.requires_grad:
                tensor.register_hook(partial(self._count_backward, self._call))

    def _count_backward(self, call: _ForwardCall, gradient: Tensor) -> None:
        backward_id = torch._C._current_graph_task_id()
        if backward_id not in call.backward_ids:
            call.backward_ids.add(backward_id)
            self.passes.backward += call.n_examples


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a nest of tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for element in value:
            yield from _tensors(element)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
