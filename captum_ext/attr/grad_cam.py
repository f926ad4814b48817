"""Grad-CAM as an attribution of the input: Captum's, upsampled (Selvaraju et al., ICCV 2017).

A transformer's layer has tokens ``[B, N, C]`` in place of a map ``[B, C, h, w]``: there, those of
the image's patches are laid out as the patches are. Swin's have a map ``[B, h, w, C]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from captum._utils.gradient import compute_layer_gradients_and_eval
from captum.attr import LayerGradCam
from captum.log import log_usage
from torch import Tensor

from captum_ext.checks import check_inputs, detached
from captum_ext.targets import check_target, clear_target_errors

_MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}
#: Tokens that stand before those of the patches: the class, a distilled class, registers.
MOST_OTHER_TOKENS = 8
#: How much longer than the image's, for its width, a layer's map may be.
MOST_STRETCHED = 2


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
            heat = super().attribute.__wrapped__(
                self, inputs, target, additional_forward_args, **kwargs
            )
        image = tuple(tensors[0].shape[2:])
        if len(image) == 2 and isinstance(heat, Tensor) and not _is_map(heat, image):
            heat = self._of_tokens(tensors, target, additional_forward_args, **kwargs)
        heat = detached(heat)
        if isinstance(inputs, tuple):
            return tuple(_resize(heat, x) for x in inputs)
        return _resize(heat, inputs)

    def _of_tokens(
        self,
        inputs: tuple[Tensor, ...],
        target: Any,
        additional_forward_args: Any,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        """``[B, 1, h, w]`` of a layer with tokens ``[B, N, C]`` or a map ``[B, h, w, C]``."""
        gradients, values = compute_layer_gradients_and_eval(
            self.forward_func,
            self.layer,
            inputs,
            target,
            additional_forward_args,
            device_ids=self.device_ids,
            attribute_to_layer_input=attribute_to_layer_input,
        )
        gradient, value = gradients[0], values[0]
        image = tuple(inputs[0].shape[2:])
        if value.dim() == 4:
            if not _channels_last(value, image):
                gradient, value = gradient.movedim(1, 3), value.movedim(1, 3)
            rows, columns = value.shape[1:3]
            gradient, value = gradient.flatten(1, 2), value.flatten(1, 2)
        else:
            rows, columns = _patches(value.shape[1], image)
            gradient, value = gradient[:, -rows * columns :], value[:, -rows * columns :]
        heat = (gradient.mean(1, keepdim=True) * value).sum(2).reshape(-1, 1, rows, columns)
        return torch.relu(heat) if relu_attributions else heat


def _is_map(heat: Tensor, image: tuple[int, ...]) -> bool:
    """Whether a layer's heat has the image's proportions: it has not where channels come last."""
    return heat.dim() not in (3, 4) or (heat.dim() == 4 and _alike(heat.shape[2:], image))


def _channels_last(value: Tensor, image: tuple[int, ...]) -> bool:
    return _alike(value.shape[1:3], image) and value.shape[3] > max(value.shape[1:3])


def _alike(sides: Sequence[int], image: tuple[int, ...]) -> bool:
    proportion = sides[0] * image[1] / (sides[1] * image[0])
    return 1 / MOST_STRETCHED <= proportion <= MOST_STRETCHED


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
