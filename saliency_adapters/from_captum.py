"""Captum's methods on any ``call_model_function``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from saliency.core.base import CoreSaliency

from captum_ext import MethodSpec, explain, get_method
from captum_ext.call_model import CallModelFunction, forward_func


class FromCaptum(CoreSaliency):  # type: ignore[misc]
    """A registered method as a PAIR saliency class.

    Args:
        method: its name or spec. Methods that need a torch module or one of its layers cannot run
            on a ``call_model_function``.
        settings: arguments of the method's ``attribute()``, in place of its defaults for images.

    Raises:
        ValueError: an unknown method.
        TypeError: a method that needs a torch module.

    Example:
        >>> from saliency.core.base import OUTPUT_LAYER_VALUES
        >>> def left_half(x, call_model_args=None, expected_keys=None):
        ...     return {OUTPUT_LAYER_VALUES: x[:, :, :2].sum((1, 2, 3))}
        >>> FromCaptum("occlusion").GetMask(np.ones((4, 4, 1)), left_half)[0, :, 0]
        array([1., 1., 0., 0.])
    """

    def __init__(self, method: str | MethodSpec, **settings: Any) -> None:
        self.spec = method if isinstance(method, MethodSpec) else get_method(method)
        if self.spec.needs_module:
            raise TypeError(f"{self.spec.name} needs a torch module, not a call_model_function")
        self.settings = settings

    def GetMask(  # noqa: N802
        self,
        x_value: np.ndarray,
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
            settings: as in the constructor, for this call.

        Returns:
            An array of the shape of ``x_value``.
        """
        array = np.asarray(x_value)
        if not np.issubdtype(array.dtype, np.floating):
            array = array.astype(np.float64)
        x = torch.from_numpy(np.ascontiguousarray(array))[None]
        x = x.movedim(-1, 1) if x.dim() == 4 else x
        model = forward_func(call_model_function, call_model_args)
        mask = explain(model, x, None, self.spec, **(self.settings | settings))
        mask = mask.movedim(1, -1) if x.dim() == 4 else mask
        result: np.ndarray = mask[0].numpy()
        return result
