"""MetricSpec: what captum_ext knows of a metric beside its code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any, get_args

from captum_ext.checks import check_choice
from captum_ext.results import Direction
from captum_ext.signatures import Argument, arguments_of, settable, takes_any
from captum_ext.spec_files import check_name


class MetricNeed(str, Enum):
    """What a metric needs beside model, image and attribution."""

    OUTPUT = "output"  #: a choice: the setting ``output``, the model's probability or its logit
    MASK = "mask"  #: the object's pixels, as ``mask``
    KNOWN_ANSWER = "known_answer"  #: exact Shapley values, as ``shapley_values`` and ``floor``
    METHOD = "method"  #: the method, as ``method``, and the model that it explains
    GRADIENTS = "gradients"  #: a differentiable model
    SEED = "seed"  #: a seed, as ``generator``, whatever its settings are
    CONTEXT = "context"  #: all that a study knows: the call is ``function(context, **settings)``

    def __str__(self) -> str:
        return self.value


#: Outputs that metrics look at; the first is the default.
METRIC_OUTPUTS = ("probability", "logit")
#: Arguments that a study supplies, or does not use.
_SUPPLIED = {
    *("forward_func", "inputs", "attributions", "target", "additional_forward_args"),
    *("mask", "shapley_values", "floor", "method", "arguments", "generator", "output"),
    *("return_curves", "return_convergence_delta", "show_progress", "segments", "baselines"),
}


@dataclass(frozen=True)
class MetricSpec:
    """A metric and what one must know to measure an attribution by it.

    Args:
        name: identifier, lower case with underscores, unique (``"relevance_mass"``).
        title: name for tables and figures.
        direction: ``"higher"`` or ``"lower"``: which is better; or ``"none"``.
        about: one line of what it measures.
        function: called as those of :mod:`captum_ext.metrics`, with one image.
        range: its lowest and highest value; None where there is no bound.
        needs: what it needs; each comes as the argument that :class:`MetricNeed` says.
        defaults: settings in place of the function's own defaults.
        inner: what ``function`` hands its ``**settings`` to, which are settings, too.
        summary: ``summary(result, **settings)`` makes the number of what ``inner`` gives; a study
            calls both in place of ``function``, and ``inner`` once for metrics that share it.
        words: for settings that a file can only write as words or numbers, what makes the argument
            of them.
        source: authors, venue, year.
        origin: the distribution that it comes from; None: the package of the function.

    Raises:
        TypeError: the function is none.
        ValueError: the name is not an identifier; an unknown direction or need.

    Example:
        >>> def smallness(context, below=0.01):
        ...     return (context.attribution.abs() < below).double().mean()
        >>> spec = MetricSpec(
        ...     "small", "Smallness", "none", "part of small values", smallness, needs={"context"}
        ... )
        >>> sorted(spec.settings)
        ['below']
    """

    name: str
    title: str
    direction: Direction
    about: str
    function: Callable[..., Any]
    range: tuple[float | None, float | None] = (None, None)
    needs: Iterable[MetricNeed | str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    inner: Callable[..., Any] | None = None
    summary: Callable[..., Any] | None = None
    words: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    source: str = "-"
    origin: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_choice(self.direction, "direction", get_args(Direction))
        if not callable(self.function):
            raise TypeError(f"function must be a function; got {type(self.function).__name__}")
        object.__setattr__(self, "needs", frozenset(MetricNeed(need) for need in self.needs))
        if self.origin is None:
            written = self.function.func if isinstance(self.function, partial) else self.function
            object.__setattr__(self, "origin", (written.__module__ or "").partition(".")[0])

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The function, and what it hands its settings to."""
        return (self.function,) if self.inner is None else (self.function, self.inner)

    @property
    def settings(self) -> frozenset[str] | None:
        """Which settings it takes; None: any."""
        if self.inner is None and takes_any(self.function):
            return None
        names = [name for function in self.functions for name in settable(function)]
        if MetricNeed.CONTEXT in self.needs:
            return frozenset(names[1:])
        output = {"output"} if MetricNeed.OUTPUT in self.needs else set()
        return frozenset(names) - _SUPPLIED | output

    @property
    def takes_seed(self) -> bool:
        """Whether it takes a seed, as ``generator``."""
        return any("generator" in inspect.signature(each).parameters for each in self.functions)

    def arguments(self) -> list[Argument]:
        """Its settings, with their defaults."""
        functions = [*self.functions, *([self.summary] if self.summary else [])]
        arguments = [
            replace(each, default=repr(self.defaults[each.name]))
            if each.name in self.defaults
            else each
            for each in arguments_of(*functions)
            if self.settings is None or each.name in self.settings
        ]
        if MetricNeed.OUTPUT not in self.needs:
            return arguments
        about = f"the model's output that it looks at: {' or '.join(METRIC_OUTPUTS)}"
        return [*arguments, Argument("output", "str", repr(METRIC_OUTPUTS[0]), about)]

    def as_dict(self) -> dict[str, Any]:
        """The spec's facts as plain values, for JSON."""
        written = self.function.func if isinstance(self.function, partial) else self.function
        return {
            "name": self.name,
            "title": self.title,
            "direction": self.direction,
            "about": self.about,
            "range": list(self.range),
            "source": self.source,
            "function": f"{written.__module__}.{written.__qualname__}",
            "needs": sorted(str(need) for need in self.needs),
            "origin": self.origin,
        }
