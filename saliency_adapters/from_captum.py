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
    as_numbers,
    forward_func,
)
from captum_ext.checks import precise
from captum_ext.registry import as_spec
from captum_ext.signatures import accepted_arguments


class FromCaptum(CoreSaliency):  # type: ignore[misc]
    """Any Captum method as a PAIR saliency class.

    Args:
        attribution_class: an ``Attribution`` subclass, Captum's or another; or the name or spec of
            a registered method.
        settings: arguments of the class's constructor (beside the model) and of its
            ``attribute()``; those of ``attribute()`` that are not given take the defaults for
            images that the registered method has.

    A method that needs a torch module or one of its layers runs on a ``call_model_function`` that
    :func:`captum_ext.call_model.call_model_function` has made from such a module, on no other; the
    layers that were chosen there are the default here.

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
        of_attribute, _ = accepted_arguments(method)
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
    ) -> Any:
        """The mask of one input.

        Args:
            x_value: ``[H, W, C]``, or an array of other than 3 dimensions as it is.
            call_model_function: answers OUTPUT_LAYER_VALUES with ``[B]``, and, for gradient
                methods, INPUT_OUTPUT_GRADIENTS, which is all that most of them ask for.
            call_model_args: handed through with every call, never changed.
            settings: arguments of ``attribute()``, for this call. Arrays like ``x_value``, or a
                batch of such, become tensors with the channels first.

        Returns:
            An array of the shape of ``x_value`` (of a layer's, for Captum's layer methods), in its
            precision, or the nearest of single and double precision; or, if ``attribute()``
            returns more than attributions, a tuple of arrays.

        Raises:
            TypeError: the method needs a torch module, and there is none; no real numbers.
            ValueError: a key that is not answered, or with values that are not finite or of a
                wrong shape; a function that wants its channels first; an array without channels,
                where the method needs them.
        """
        x = as_example(x_value)
        # In half precision, sums over a path or over segments lose their digits.
        dtype = precise(x)
        x = x.to(dtype)
        model: Any = forward_func(call_model_function, call_model_args)
        target, layer = None, self.layer
        if self.spec.needs_module:
            if not isinstance(call_model_function, TorchCallModel):
                raise TypeError(
                    f"{self.spec.name} needs a torch module: call_model_function must come from "
                    "captum_ext.call_model.call_model_function"
                )
            model = call_model_function.module()
            target = call_model_function.target_in(call_model_args)
            layer = layer or self._layer_of(call_model_function)
            x = call_model_function.as_input(as_mask(x)[None])
        given = {
            name: _as_tensor(value, x, name) for name, value in (self.settings | settings).items()
        }
        try:
            result = explain(
                model, x, target, self.spec, layer=layer, arguments=given, checks=False
            )
        except ValueError as error:
            if "must be images" not in str(error):
                raise
            advice = "x_value[..., None]" if x.dim() == 3 else "one image at a time"
            raise ValueError(
                f"x_value must be an image [H, W, C] for {self.spec.name}; got shape "
                f"{tuple(x.shape[1:])}: pass {advice}"
            ) from error
        if isinstance(result, tuple):
            return tuple(as_mask(part.to(dtype)) for part in result)
        return as_mask(result.to(dtype))

    def _layer_of(self, function: TorchCallModel) -> Any:
        """The layer that the function's maker has chosen for methods of this kind."""
        if Need.LAYER in self.spec.needs:
            return function.layer
        chosen = self.spec.optional_layer and not function.represent_by_input
        return function.representation_layer if chosen else None


def _as_tensor(value: Any, x: Tensor, name: str) -> Any:
    """An array like the input ``x [1, ...]``, a batch of such, or one without channels."""
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        return value
    if value.size == 0:
        raise ValueError(f"{name} must not be an empty array; got shape {value.shape}")
    value = as_numbers(value, name)
    if value.ndim == x.dim():
        tensor = torch.cat([as_example(each) for each in value])
    elif x.dim() == 4 and value.ndim == 2:
        tensor = torch.from_numpy(value)[None, None]
    else:
        tensor = as_example(value)
    whole = value.dtype.kind in "iub" and name != "baselines"
    return tensor.to(x.device, torch.long if whole else x.dtype)
