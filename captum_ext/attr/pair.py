"""PAIR saliency's methods as Captum attributions: any ``CoreSaliency`` on any torch model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import saliency.core as pair
import torch
from captum.attr import Attribution
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency
from torch import Tensor, nn

from captum_ext._captum import log_usage
from captum_ext.attr.guided_ig import GuidedPath
from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.call_model import (
    CallModelFunction,
    as_example,
    as_mask,
    as_numbers,
    ask,
    call_model_function,
    check_function,
)
from captum_ext.checks import MOST_STEPS, as_tuple, check_inputs, check_int, described, precise
from captum_ext.forward import Evaluator, in_standard_layout
from captum_ext.path import integrate
from captum_ext.soundness import observe
from captum_ext.soundness.suitability import last_convolution
from captum_ext.targets import check_call


class FromSaliency(AttributionMixin, Attribution):
    """Any PAIR method on any torch model.

    PAIR explains one array at a time, so the examples of a batch are explained in turn, and of a
    tuple of inputs each one, while the others stay as they are.

    Args:
        core: a ``CoreSaliency``, or a class of them. In place of PAIR's own ``GuidedIG``, which
            raises on NumPy 2, :class:`MendedGuidedIG` runs.
        forward_func: the model.
        layer: the convolution that PAIR's Grad-CAM looks at; None takes the last one.

    Raises:
        TypeError: ``core`` is no ``CoreSaliency``, ``forward_func`` no function.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
        >>> method = FromSaliency(pair.IntegratedGradients(), model)
        >>> method.attribute(torch.rand(2, 3, 4, 4), target=1, x_steps=10).shape
        torch.Size([2, 3, 4, 4])
    """

    def __init__(
        self,
        core: CoreSaliency | type[CoreSaliency],
        forward_func: Callable[..., Any],
        layer: nn.Module | None = None,
    ) -> None:
        core = core() if isinstance(core, type) and issubclass(core, CoreSaliency) else core
        if not isinstance(core, CoreSaliency):
            raise TypeError(f"core must be a saliency.core.CoreSaliency; got {described(core)}")
        super().__init__(forward_func)
        self.core = MendedGuidedIG() if type(core) is pair.GuidedIG else core
        self.layer = layer

    @log_usage(part_of_slo=True)
    def attribute(
        self, inputs: Any, target: Any = None, additional_forward_args: Any = None, **settings: Any
    ) -> Any:
        """Takes Captum's arguments, and those of the method's ``GetMask``.

        Args:
            inputs: ``[B, ...]`` of a floating-point dtype, or a tuple of such tensors.
            target: in any of Captum's forms.
            additional_forward_args: in Captum's form.
            settings: for ``GetMask``. A tensor ``[B, ...]`` like an input is handed over as each
                example's array with the channels last; everything else as it is.

        Returns:
            Attributions like ``inputs``. A mask without channels is repeated for each of them.

        Raises:
            TypeError: inputs that are not of a floating-point dtype.
            ValueError: inputs that are not finite or not aligned, a target that does not fit, or a
                mask of another size than the input.
        """
        tensors = check_call(inputs, target, additional_forward_args)

        def of_example(number: int, example: int) -> dict[str, Any]:
            return {
                name: as_mask(value[example : example + 1])
                if isinstance(value, Tensor) and value.shape == tensors[number].shape
                else value
                for name, value in settings.items()
            }

        return self.masks(inputs, target, additional_forward_args, of_example)

    def masks(
        self,
        inputs: Any,
        target: Any,
        additional_forward_args: Any,
        settings: Callable[[int, int], dict[str, Any]],
    ) -> Any:
        """The masks of all examples, as attributions.

        Args:
            inputs, target, additional_forward_args: see :meth:`attribute`.
            settings: ``settings(number of the input, number of the example)``, for ``GetMask``.
        """
        tensors = tuple(x.detach() for x in as_tuple(inputs))
        evaluator = Evaluator(self.forward_func, target, additional_forward_args)
        masks = []
        for number, x in enumerate(tensors):
            rows = [
                self._mask(evaluator, tensors, number, example, settings(number, example))
                for example in range(len(x))
            ]
            masks.append(torch.cat(rows))
        return tuple(masks) if isinstance(inputs, tuple) else masks[0]

    def _mask(
        self,
        evaluator: Evaluator,
        inputs: tuple[Tensor, ...],
        number: int,
        example: int,
        settings: dict[str, Any],
    ) -> Tensor:
        x = inputs[number][example : example + 1]

        def score(batch: Tensor) -> Tensor:
            batch = batch.to(x)
            examples = torch.full((len(batch),), example, device=x.device)
            rows = tuple(each[examples] for each in inputs)
            rows = (*rows[:number], batch, *rows[number + 1 :])
            return evaluator.one_score_each(rows, examples)

        layer = self.layer
        if layer is None and isinstance(self.core, pair.GradCam):
            facts = observe(self.forward_func, inputs, evaluator.additional_forward_args)
            layer = facts.module(last_convolution(facts))
        function = call_model_function(score, layer=layer)
        if isinstance(self.core, pair.GradCam):
            # It would make three channels, whatever the image has.
            settings = {"three_dims": False} | settings
        # SciPy and scikit-image know no half precision.
        array = as_mask(x.to(precise(x)))
        mask = as_numbers(self.core.GetMask(array, function, **settings), "the mask of core")
        return _as_attribution(mask, x)


class MendedGuidedIG(pair.GuidedIG):  # type: ignore[misc]
    """PAIR's Guided IG as it works on any NumPy: the same algorithm, from :class:`GuidedPath`."""

    def GetMask(  # noqa: N802
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        x_baseline: Any = None,
        x_steps: int = 200,
        fraction: float = 0.25,
        max_dist: float = 0.02,
    ) -> np.ndarray:
        """Takes PAIR's arguments.

        Args:
            x_value: ``[H, W, C]``, or an array of other than 3 dimensions.
            call_model_function: answers INPUT_OUTPUT_GRADIENTS.
            call_model_args: handed through with every call.
            x_baseline: where the path begins, an array like ``x_value`` or a number; None is zero.
            x_steps: steps of the path.
            fraction, max_dist: see :meth:`captum_ext.attr.GuidedIG.attribute`.

        Returns:
            An array of the shape of ``x_value``, in float64.
        """
        x = as_example(x_value).double()
        (x,) = check_inputs(x, "x_value")
        check_function(call_model_function)
        check_int(x_steps, "x_steps", minimum=1, maximum=MOST_STEPS)
        if x_baseline is not None and np.shape(x_baseline) not in ((), np.shape(x_value)):
            raise ValueError(
                f"x_baseline must have the shape of x_value, {np.shape(x_value)}, or be a number; "
                f"got shape {np.shape(x_baseline)}"
            )
        start = torch.zeros_like(x)
        if x_baseline is not None:
            start = start + as_example(x_baseline, "x_baseline").double()
        check_inputs(start, "x_baseline")

        def gradients(points: tuple[Tensor, ...], paths: Tensor) -> tuple[Tensor, ...]:
            asked = (call_model_function, call_model_args, points[0])
            return tuple(ask(*asked, [INPUT_OUTPUT_GRADIENTS]))

        path = GuidedPath((x,), (start,), x_steps, fraction, max_dist, gradients)
        return as_mask(integrate(path, (x,), 1, x_steps, batch_size=1).attributions[0])


def _as_attribution(mask: np.ndarray, x: Tensor) -> Tensor:
    """A mask of one example as a tensor like ``x [1, ...]``."""
    values = mask[..., None] if mask.ndim == x.dim() - 2 else mask
    shape = tuple(as_mask(x).shape)
    if values.shape[:-1] != shape[:-1] or values.shape[-1:] not in ((1,), shape[-1:]):
        raise ValueError(f"core must give a mask of shape {shape}; got {mask.shape}")
    return in_standard_layout(as_example(np.broadcast_to(values, shape)).to(x))
