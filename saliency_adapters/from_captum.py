"""Captum's methods on any ``call_model_function``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import torch
from captum.attr import Attribution
from saliency.core.base import CoreSaliency
from torch import Tensor

from captum_ext import MethodSpec, Need, explain
from captum_ext.call_model import (
    CallModelFunction,
    TorchCallModel,
    as_example,
    as_mask,
    forward_func,
)
from captum_ext.registry import as_spec


class FromCaptum(CoreSaliency):  # type: ignore[misc]
    """Any Captum method as a PAIR saliency class.

    Args:
        attribution_class: an ``Attribution`` subclass, Captum's or another; or the name or spec of
            a registered method.
        settings: arguments of the class's constructor (beside the model) and of its
            ``attribute()``; those of ``attribute()`` that are not given take the defaults for
            images that the registered method has.

    A method that needs a torch module or one of its layers runs on a ``call_model_function`` that
    :func:`captum_ext.call_model.call_model_function` has made from such a module, on no other.

    Raises:
        ValueError: an unknown method.
        TypeError: something else than a method.

    Example:
        >>> from captum.attr import Occlusion
        >>> from saliency.core.base import OUTPUT_LAYER_VALUES
        >>> def left_half(x, call_model_args=None, expected_keys=None):
        ...     return {OUTPUT_LAYER_VALUES: x[:, :, :2].sum((1, 2, 3))}
        >>> FromCaptum(Occlusion).GetMask(np.ones((4, 4, 1)), left_half)[0, :, 0]
        array([1., 1., 0., 0.])
    """

    def __init__(
        self, attribution_class: str | MethodSpec | type[Attribution], **settings: Any
    ) -> None:
        self.spec = as_spec(attribution_class)
        self.layer = None
        if self.spec.optional_layer or Need.LAYER in self.spec.needs:
            self.layer = settings.pop("layer", None)
        method: Any = self.spec.attribution
        of_attribute = signature(method.attribute).parameters
        of_class = [
            name
            for name in signature(method).parameters
            if name in settings and name not in of_attribute
        ]
        if of_class:
            build: Any = self.spec.build or self.spec.attribution
            chosen = {name: settings.pop(name) for name in of_class}
            self.spec = replace(self.spec, build=partial(build, **chosen))
        self.settings = settings

    def GetMask(  # noqa: N802
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        **settings: Any,
    ) -> np.ndarray:
        """The mask of one input.

        Args:
            x_value: ``[H, W, C]``, or an array of other than 3 dimensions as it is.
            call_model_function: answers OUTPUT_LAYER_VALUES with ``[B]`` (and
                INPUT_OUTPUT_GRADIENTS for gradient methods).
            call_model_args: handed through with every call, never changed.
            settings: arguments of ``attribute()``, for this call. Arrays like ``x_value``, or a
                batch of such, become tensors with the channels first.

        Returns:
            An array of the shape of ``x_value`` (of a layer's, for Captum's layer methods).

        Raises:
            TypeError: the method needs a torch module, and there is none.
            ValueError: a key that is not answered, or with values of a wrong shape.
        """
        x = as_example(x_value)
        model: Any = forward_func(call_model_function, call_model_args)
        target = None
        if self.spec.needs_module:
            if not isinstance(call_model_function, TorchCallModel):
                raise TypeError(
                    f"{self.spec.name} needs a torch module: call_model_function must come from "
                    "captum_ext.call_model.call_model_function"
                )
            model = call_model_function.module()
            target = call_model_function.target_in(call_model_args)
            x = call_model_function.as_input(as_mask(x)[None])
        given = {name: _as_tensor(value, x) for name, value in (self.settings | settings).items()}
        return as_mask(explain(model, x, target, self.spec, layer=self.layer, **given))


def _as_tensor(value: Any, x: Tensor) -> Any:
    """An array like the input ``x [1, ...]``, or a batch of such, as a tensor."""
    if not isinstance(value, np.ndarray):
        return value
    if value.ndim == x.dim():
        tensor = torch.cat([as_example(each) for each in value]) if len(value) else None
    else:
        tensor = as_example(value) if value.ndim == x.dim() - 1 else torch.from_numpy(value)
    if tensor is None:
        raise ValueError(f"an array of settings must not be empty; got shape {value.shape}")
    integers = value.dtype.kind in "iu"
    return tensor.long() if integers else tensor.to(x)
