"""AttributionMixin: what most methods would repeat beside Captum's base classes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from captum_ext.checks import check_forward_func
from captum_ext.soundness.caller_state import keeps_caller_state


class AttributionMixin:
    """Checks the model, leaves it as it was, and answers Captum's two questions about a method.

    Stands before Captum's class: ``class IG2(AttributionMixin, GradientAttribution)``.

    Args:
        forward_func: the model.

    Raises:
        TypeError: what is no model.

    Example:
        >>> from captum.attr import GradientAttribution
        >>> class Sums(AttributionMixin, GradientAttribution):
        ...     _multiply_by_inputs = True
        ...     def attribute(self, inputs, return_convergence_delta=False): ...
        >>> method = Sums(sum)
        >>> method.multiplies_by_inputs, method.has_convergence_delta()
        (True, True)
    """

    #: Whether attributions are gradients times a difference of inputs.
    _multiply_by_inputs = False
    attribute: Callable[..., Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "attribute" in vars(cls):
            cls.attribute = keeps_caller_state(cls.attribute)

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        check_forward_func(forward_func)
        super().__init__(forward_func)  # type: ignore[call-arg]

    @property
    def multiplies_by_inputs(self) -> bool:
        return self._multiply_by_inputs

    def has_convergence_delta(self) -> bool:
        return "return_convergence_delta" in signature(self.attribute).parameters
