"""What every call of a metric passes through: it watches the model's outputs, and warns once.

A public metric is decorated with :func:`metric`. Inside, outputs go through :func:`finite_or_nan`,
and what the caller should know goes to :func:`remark`: the call ends with one warning of all that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from captum_ext.soundness.caller_state import (
    keep_caller_state,
    training_message,
    training_modules,
)
from captum_ext.targets import select_target
from captum_ext.value_checks import AttributionWarning, as_tuple

P = ParamSpec("P")
R = TypeVar("R")


class NotFiniteError(ValueError):
    """The model or a method gave NaN or infinite values for an example; others may be valid."""


@dataclass
class Measurement:
    """What is known of a metric's call so far.

    Attributes:
        outputs: how many numbers of the model were looked at.
        broken: how many of them were NaN or infinite.
        remarks: what the caller should know beside that.
    """

    outputs: int = 0
    broken: int = 0
    remarks: list[str] = field(default_factory=list)

    def add(self, outputs: Tensor) -> None:
        """Count some outputs of the model."""
        self.outputs += outputs.numel()
        self.broken += int((~torch.isfinite(outputs)).sum())

    def message(self) -> str:
        """All that the caller should know; empty if that is nothing."""
        remarks = list(dict.fromkeys(self.remarks))
        if self.broken:
            remarks.insert(
                0,
                f"the model gave NaN or infinite outputs, {self.broken} of {self.outputs}: the "
                "result is NaN for the examples concerned. Check weights, dtype "
                "and preprocessing of the model",
            )
        return "; ".join(remarks)


_current: ContextVar[Measurement | None] = ContextVar("measurement", default=None)


def metric(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a metric: its call ends with one warning, if there is anything to warn of.

    A metric that another one calls adds to the warning of the outer one.

    Args:
        function: the metric, ``(forward_func, inputs, attributions, target, ...)``; its result is
            ``[B]``, or a tuple that begins with it.

    Example:
        >>> @metric
        ... def mean_output(forward_func, inputs, attributions):
        ...     return finite_or_nan(forward_func(inputs)).mean(1)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     mean_output(torch.log, torch.tensor([[0.0, 1.0]]), None)
        tensor([nan])
        >>> str(caught[0].message)
        'mean_output: the model gave NaN or infinite outputs, 1 of 2: ...'
    """

    @wraps(function)
    def measured(*args: P.args, **kwargs: P.kwargs) -> R:
        if _current.get() is not None:
            return function(*args, **kwargs)
        measurement = Measurement()
        token = _current.set(measurement)
        model = args[0] if args else kwargs.get("forward_func")
        if trains := training_modules(model):
            measurement.remarks.append(training_message(trains))
        try:
            with keep_caller_state(model, warns=False):
                result = function(*args, **kwargs)
            if not measurement.message():
                measurement.remarks += _not_finite(result)
        finally:
            _current.reset(token)
            if message := measurement.message():
                text = f"{getattr(function, '__name__', 'metric')}: {message}"
                warnings.warn(text, AttributionWarning, stacklevel=2)
        return result

    return measured


def remark(message: str, stacklevel: int = 2) -> None:
    """Warn the caller of the metric that runs; or at once, where none does.

    Args:
        message: what to know.
        stacklevel: of the warning where no metric runs.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     remark("nothing is ranked")
        >>> caught[0].category.__name__
        'AttributionWarning'
    """
    measurement = _current.get()
    if measurement is None:
        warnings.warn(message, AttributionWarning, stacklevel=stacklevel + 1)
    else:
        measurement.remarks.append(message)


def finite_or_nan(outputs: Tensor) -> Tensor:
    """Outputs of the model with NaN for what is infinite, counted for the metric that runs.

    Raises:
        TypeError: complex outputs.

    Example:
        >>> finite_or_nan(torch.tensor([1.0, float("inf")]))
        tensor([1., nan])
    """
    if outputs.is_complex():
        raise TypeError(f"forward_func must return real numbers; got {outputs.dtype}")
    measurement = _current.get()
    if measurement is not None:
        measurement.add(outputs)
    if not outputs.is_floating_point():
        return outputs
    return outputs.masked_fill(~torch.isfinite(outputs), math.nan)


@contextmanager
def finite_model(forward_func: Callable[..., Any], target: Any) -> Iterator[Callable[..., Any]]:
    """The model for a method, known to give finite scores of ``target`` as long as this lasts.

    Yields:
        ``forward_func`` itself, if it is a module; else a function that answers alike.

    Raises:
        NotFiniteError: at the end, if a score was NaN or infinite, also in place of the error that
            this has led to.

    Example:
        >>> with finite_model(torch.log, None) as model:
        ...     model(torch.zeros(1))
        Traceback (most recent call last):
        ...
        captum_ext.metrics.measurement.NotFiniteError: the model gave NaN or infinite outputs
    """
    seen = Measurement()
    chosen = target[0] if isinstance(target, list) and len(target) == 1 else target

    def look(output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            scores = output.detach()
            # Where it does not fit, the method explains something else, or will name it.
            with suppress(ValueError):
                scores = select_target(scores, chosen)
            seen.add(scores)

    def watched(*args: Any) -> Any:
        output = forward_func(*args)
        look(output)
        return output

    handle = None
    if isinstance(forward_func, nn.Module):
        handle = forward_func.register_forward_hook(lambda module, args, output: look(output))
    problem: Exception | None = None
    try:
        yield watched if handle is None else forward_func
    except Exception as error:
        problem = error
        if not seen.broken:
            raise
    finally:
        if handle is not None:
            handle.remove()
        measurement = _current.get()
        if measurement is not None:
            measurement.outputs += seen.outputs
            measurement.broken += seen.broken
    if seen.broken:
        raise NotFiniteError("the model gave NaN or infinite outputs") from problem


def _not_finite(result: Any) -> list[str]:
    """That a metric's result has no number for some examples."""
    values = as_tuple(result)[0]
    if not isinstance(values, Tensor) or bool(torch.isfinite(values).all()):
        return []
    broken = ~torch.isfinite(torch.atleast_1d(values))
    examples = broken.reshape(len(broken), -1).any(1).nonzero().flatten().tolist()
    return [f"the result is not finite for examples {examples}"]
