"""Grad-CAM as an attribution of the input: Captum's, upsampled (Selvaraju et al., ICCV 2017).

A transformer's layer has tokens ``[B, N, C]`` in place of a map ``[B, C, h, w]``: there, those of
the image's patches are laid out as the patches are. Swin's have a map ``[B, h, w, C]``.
"""

from __future__ import annotations

from math import log, prod
from typing import Any

import torch
from captum.attr import LayerGradCam
from torch import Tensor

from captum_ext._captum import compute_layer_gradients_and_eval, log_usage
from captum_ext.checks import check_inputs
from captum_ext.soundness.caller_state import keeps_caller_state
from captum_ext.targets import check_target, clear_target_errors

_MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}
#: Tokens that stand before those of the patches: the class, a distilled class, registers.
MOST_OTHER_TOKENS = 8
#: By how much rounding may change a map's proportions, as a logarithm.
ROUNDED_SIDES = 0.2


class InputGradCam(LayerGradCam):
    """Captum's ``LayerGradCam``, resized to the input so that it reads like any attribution.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> InputGradCam(model, model[0]).attribute(torch.rand(2, 3, 8, 8), target=1).shape
        torch.Size([2, 3, 8, 8])
    """

    @keeps_caller_state
    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        grad_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Takes Captum's arguments.

        Returns:
            The heat map ``[B, 1, h, w]`` of the layer, interpolated linearly and repeated for the
            channels: the shape and dtype of ``inputs``. Of tokens, ``h`` and ``w`` are the numbers
            of patches.

        Raises:
            ValueError: the layer has no spatial dimensions, or not as many as an input, and no
                tokens of an image's patches; inputs that are not finite or not aligned, or a
                target that does not fit.
        """
        tensors = check_inputs(inputs)
        check_target(target, tensors[0].shape[0])
        with clear_target_errors(self.forward_func, tensors, target, additional_forward_args):
            gradients, values = compute_layer_gradients_and_eval(
                self.forward_func,
                self.layer,
                tensors,
                target,
                additional_forward_args,
                device_ids=self.device_ids,
                attribute_to_layer_input=attribute_to_layer_input,
                grad_kwargs=grad_kwargs,
            )
        if values[0].dim() < 3:
            raise ValueError(
                "layer must be a convolution, or have tokens; what it gives has shape "
                f"{tuple(values[0].shape)}"
            )
        heat = _heat(gradients[0].detach(), values[0].detach(), tuple(tensors[0].shape[2:]))
        if relu_attributions:
            heat = torch.relu(heat)
        if isinstance(inputs, tuple):
            return tuple(_resize(heat, x) for x in inputs)
        return _resize(heat, inputs)


def _heat(gradient: Tensor, value: Tensor, image: tuple[int, ...]) -> Tensor:
    """``[B, 1, h, w]``: the channels of each place, weighted by the means of their gradients.

    Args:
        gradient: of the target, like ``value``.
        value: of the layer: a map ``[B, C, h, w]`` (or of other dimensions), a map
            ``[B, h, w, C]``, or tokens ``[B, N, C]``.
        image: height and width of the input.
    """
    spatial, channels = tuple(value.shape[2:]), 1
    if len(image) == 2 and value.dim() == 3:
        spatial, channels = _patches(value.shape[1], image), 2
    elif len(image) == 2 and value.dim() == 4 and _channels_last(value, image):
        spatial, channels = tuple(value.shape[1:3]), 3
    n_places = prod(spatial)
    # Of tokens, the last are those of the patches.
    weights, places = (
        part.movedim(channels, -1).flatten(1, -2)[:, -n_places:]
        if part.dim() > 2
        else part[:, None]
        for part in (gradient, value)
    )
    heat = (weights.mean(1, keepdim=True) * places).sum(2)
    return heat.reshape(-1, 1, *spatial)


def _channels_last(value: Tensor, image: tuple[int, ...]) -> bool:
    """Whether the sides before the last are an image's, more so than the last two."""
    first, last = (
        abs(log(sides[0] * image[1] / (sides[1] * image[0])))
        for sides in (value.shape[1:3], value.shape[2:4])
    )
    return first < min(last, ROUNDED_SIDES)


def _patches(n_tokens: int, image: tuple[int, ...]) -> tuple[int, int]:
    """Into how many rows and columns of patches an image is cut, square ones, as a rule.

    Example:
        >>> _patches(197, (224, 224)), _patches(9, (32, 64))
        ((14, 14), (2, 4))
    """
    height, width = image
    for others in range(MOST_OTHER_TOKENS + 1):
        patches = n_tokens - others
        rows = round((max(patches, 0) * height / width) ** 0.5)
        if rows and patches % rows == 0 and round(rows * width / height) == patches // rows:
            return rows, patches // rows
    raise ValueError(
        f"layer must be a convolution, or have a token for each patch of the image; it has "
        f"{n_tokens} for {height} x {width} pixels"
    )


def _resize(heat: Tensor, x: Tensor) -> Tensor:
    if heat.dim() != x.dim() or heat.dim() not in _MODES:
        raise ValueError(
            "layer must be a convolution with as many dimensions as the input; its Grad-CAM has "
            f"shape {tuple(heat.shape)}, the input {tuple(x.shape)}"
        )
    resized = LayerGradCam.interpolate(heat, tuple(x.shape[2:]), _MODES[heat.dim()])
    return resized.expand(x.shape).to(x.dtype).contiguous()
