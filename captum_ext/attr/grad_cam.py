"""Grad-CAM as an attribution of the input: Captum's, upsampled (Selvaraju et al., ICCV 2017)."""

from __future__ import annotations

from typing import Any

from captum.attr import LayerGradCam
from captum.log import log_usage
from torch import Tensor

from captum_ext.checks import check_inputs, detached
from captum_ext.targets import check_target, clear_target_errors

_MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}


class InputGradCam(LayerGradCam):
    """Captum's ``LayerGradCam``, resized to the input so that it reads like any attribution.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> InputGradCam(model, model[0]).attribute(torch.rand(2, 3, 8, 8), target=1).shape
        torch.Size([2, 3, 8, 8])
    """

    @log_usage(part_of_slo=True)
    def attribute(
        self, inputs: Any, target: Any = None, additional_forward_args: Any = None, **kwargs: Any
    ) -> Any:
        """Takes Captum's arguments.

        Returns:
            The heat map ``[B, 1, h, w]`` of the layer, interpolated linearly and repeated for the
            channels: the shape and dtype of ``inputs``.

        Raises:
            ValueError: the layer has no spatial dimensions, or not as many as an input; inputs
                that are not finite or not aligned, or a target that does not fit.
        """
        tensors = check_inputs(inputs)
        check_target(target, tensors[0].shape[0])
        with clear_target_errors(self.forward_func, tensors, target, additional_forward_args):
            heat = super().attribute.__wrapped__(
                self, inputs, target, additional_forward_args, **kwargs
            )
        heat = detached(heat)
        if isinstance(inputs, tuple):
            return tuple(_resize(heat, x) for x in inputs)
        return _resize(heat, inputs)


def _resize(heat: Tensor, x: Tensor) -> Tensor:
    if heat.dim() != x.dim() or heat.dim() not in _MODES:
        raise ValueError(
            "layer must be a convolution with as many dimensions as the input; its Grad-CAM has "
            f"shape {tuple(heat.shape)}, the input {tuple(x.shape)}"
        )
    resized = LayerGradCam.interpolate(heat, tuple(x.shape[2:]), _MODES[heat.dim()])
    return resized.expand(x.shape).to(x.dtype).contiguous()
