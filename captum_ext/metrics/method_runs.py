"""Runs of the method that a metric examines, one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import torch
from captum.attr import Attribution
from torch import Tensor, nn

from captum_ext.asking import Request, run_method
from captum_ext.metrics.measurement import NotFiniteError, finite_model
from captum_ext.metrics.relevance import pixel_relevance
from captum_ext.randomness import global_seed
from captum_ext.registry import as_spec
from captum_ext.spec import MethodSpec

#: A registered method's name, a spec, a class of Captum's, or a function that explains.
Method = str | MethodSpec | type[Attribution] | Callable[..., Tensor]


def is_function(method: Any) -> TypeGuard[Callable[..., Tensor]]:
    """Whether ``method`` is a function that explains, not the name of a method, class or spec."""
    return callable(method) and not isinstance(method, type)


def check_method(method: Any, forward_func: Any) -> None:
    """Refuses what cannot explain ``forward_func``.

    Raises:
        TypeError: something else than a method; a function as the model of one that needs a module.
        ValueError: an unknown name.

    Example:
        >>> check_method("salience", torch.nn.Flatten())
        Traceback (most recent call last):
        ...
        ValueError: unknown method 'salience'; did you mean 'saliency'? ...
    """
    if not is_function(method):
        spec = as_spec(method)
        if spec.needs_module and not isinstance(forward_func, nn.Module):
            kind = type(forward_func).__name__
            raise TypeError(f"{spec.name} needs model to be a torch.nn.Module; got {kind}")


def explanation(
    method: Method,
    forward_func: Callable[..., Any],
    inputs: Tensor,
    target: Any,
    additional_forward_args: Any,
    seed: int,
    arguments: Mapping[str, Any] | None,
) -> Tensor:
    """What ``method`` says about one example.

    Examples are explained alone and from the same seed, because some of Captum's methods draw one
    example's noise after the other's: what an example gets must not depend on its batch mates.

    Args:
        method: a function is called as ``method(forward_func, inputs, target)``.
        forward_func: the model.
        inputs: ``[1, C, H, W]``.
        target, additional_forward_args: those of the example.
        seed: of the method.
        arguments: of the method's ``attribute()``.

    Returns:
        ``[1, C, H, W]`` or ``[1, 1, H, W]`` without graph.

    Raises:
        TypeError, ValueError: the method gives something else.
        NotFiniteError: the method's values, or the model's outputs, are not finite.

    Example:
        >>> explanation("saliency", torch.nn.Flatten(), torch.ones(1, 1, 1, 2), 1, None, 0, None)
        tensor([[[[0., 1.]]]])
    """
    # Captum's metrics run under no_grad, where a function of the user's could take no gradient.
    with finite_model(forward_func, target) as model, torch.enable_grad(), global_seed(seed):
        if is_function(method):
            result = method(model, inputs.clone(), target)
        else:
            settings = dict(arguments or {})
            if additional_forward_args is not None:
                settings["additional_forward_args"] = additional_forward_args
            request = Request(target, settings=settings, seed=seed, checks=False)
            result = run_method(as_spec(method), model, inputs, request).heat  # type: ignore[arg-type]
    if isinstance(result, Tensor) and not torch.isfinite(result).all():
        raise NotFiniteError("the result of method must be finite; got NaN or infinite values")
    pixel_relevance(result, inputs, "the result of method")
    return result.detach()
