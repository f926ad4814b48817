"""The caller's model and program stay as they are, whatever a call does to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from torch import Tensor, nn

from captum_ext.value_checks import AttributionWarning

#: Where torch keeps a module's hooks.
_HOOKS = (
    *("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks"),
    *("_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    "_forward_pre_hooks_with_kwargs",
)
#: What Captum's DeepLift and LRP leave on modules.
_CAPTUMS_ATTRIBUTES = {"input", "output", "input_ref", "rule", "activations"}
#: A warning lists at most this many names.
MOST_NAMES = 3
#: The models that a call in progress looks after; a call inside it need not warn again.
_kept: ContextVar[frozenset[int]] = ContextVar("kept", default=frozenset())


def training_modules(model: Any) -> list[str]:
    """The names of the submodules in training mode that behave differently there.

    Example:
        >>> training_modules(nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train())
        ['1 (Dropout)']
    """
    if not isinstance(model, nn.Module):
        return []
    return [
        f"{name or 'model'} ({type(module).__name__})"
        for name, module in model.named_modules()
        if module.training and _differs_in_training(module)
    ]


@contextmanager
def keep_caller_state(model: Any, *, warns: bool = True) -> Iterator[None]:
    """Puts back what a call changes on a model: its buffers in training mode, and what is left.

    BatchNorm moves its statistics in each forward pass in training mode. Captum's methods leave
    hooks and attributes on modules where they are interrupted. The model's mode stays as it is: in
    training mode an :class:`~captum_ext.AttributionWarning` says so, once for a call.

    Args:
        model: a module; with a function nothing happens.
        warns: whether to warn of training mode.

    Example:
        >>> import torch
        >>> model = nn.BatchNorm1d(2).train()
        >>> with warnings.catch_warnings(record=True) as caught, keep_caller_state(model):
        ...     warnings.simplefilter("always")
        ...     _ = model(torch.rand(4, 2))
        >>> model.running_mean, len(caught)
        (tensor([0., 0.]), 1)
    """
    if not isinstance(model, nn.Module) or id(model) in _kept.get():
        yield
        return
    token = _kept.set(_kept.get() | {id(model)})
    modules = list(model.modules())
    trains = training_modules(model)
    if warns and trains and len(_kept.get()) == 1:
        warnings.warn(training_message(trains), AttributionWarning, stacklevel=4)
    buffers = _buffers(model) if trains else []
    attributes = [set(vars(module)) for module in modules]
    try:
        yield
    finally:
        _kept.reset(token)
        for module, name, buffer, value in buffers:
            if module._buffers.get(name) is not buffer:
                module._buffers[name] = buffer
            buffer.data.copy_(value)
        for module, names in zip(modules, attributes, strict=True):
            _remove_leftovers(module, names)


def _buffers(model: nn.Module) -> list[tuple[nn.Module, str, Tensor, Tensor]]:
    return [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]


def keeps_caller_state(attribute: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates ``attribute()``: the model of the method stays as it was.

    Example:
        >>> class Method:
        ...     forward_func = nn.Dropout()
        ...     @keeps_caller_state
        ...     def attribute(self, inputs):
        ...         return self.forward_func(inputs)
        >>> import torch
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     _ = Method().attribute(torch.ones(1))
        >>> caught[0].category.__name__
        'AttributionWarning'
    """

    @wraps(attribute)
    def kept(self: Any, *args: Any, **kwargs: Any) -> Any:
        with keep_caller_state(self.forward_func):
            return attribute(self, *args, **kwargs)

    return kept


def training_message(names: list[str]) -> str:
    """What to say of a model in training mode, whose buffers are put back.

    Args:
        names: of :func:`training_modules`.
    """
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (
        f"the model is in training mode: {', '.join(names[:MOST_NAMES])}{more}; what it gives is "
        "that of a model that trains. Call model.eval() first. Its buffers were put back"
    )


def _differs_in_training(module: nn.Module) -> bool:
    """Dropout, and normalization that has statistics of its own."""
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return True
    drops = type(module).__name__.lower()
    return "drop" in drops and not isinstance(module, nn.Identity)


def _remove_leftovers(module: nn.Module, names: set[str]) -> None:
    """Captum's attributes that are new, and its hooks."""
    for name in _CAPTUMS_ATTRIBUTES & (set(vars(module)) - names):
        delattr(module, name)
    for kind in _HOOKS:
        hooks = vars(module).get(kind)
        if hooks:
            for key in [key for key, hook in hooks.items() if _is_captums(hook)]:
                hooks.pop(key, None)


def _is_captums(hook: Any) -> bool:
    function = getattr(hook, "func", hook)
    owner = getattr(function, "__module__", None) or ""
    return owner.partition(".")[0] == "captum"
