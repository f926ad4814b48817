"""Whether a model has the layers that a method works on.

Some methods change the backward pass of one kind of layer. Without layers of that kind they
silently return the plain gradient. The functions here report that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from captum_ext._captum import (
    SUPPORTED_LAYERS_WITH_RULES,
    SUPPORTED_NON_LINEAR,
    SUPPORTED_NON_LINEAR_LAYERS,
)
from captum_ext.layers import CONVOLUTIONS

#: An error lists at most this many kinds of layers.
MOST_KINDS = 3
#: Layers that are not linear in evaluation mode, beside activations.
NORMALIZATIONS = (nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)


def without_relu(model: nn.Module) -> str | None:
    """Why a method that changes how ReLU passes gradients does nothing, or None where it does.

    Example:
        >>> without_relu(nn.Sequential(nn.Linear(2, 2), nn.GELU()))
        'it needs ReLU layers, and there is none: it would be the plain gradient'
    """
    if any(isinstance(module, nn.ReLU) for module in model.modules()):
        return None
    return "it needs ReLU layers, and there is none: it would be the plain gradient"


def without_deep_lift_rules(model: nn.Module) -> str | None:
    """Why DeepLift's attributions would not add up, as far as layers show it, or None.

    Example:
        >>> without_deep_lift_rules(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.GELU()))
        'it has no rule for GELU, which it would take for linear'
    """
    ruled = tuple(SUPPORTED_NON_LINEAR)
    leaves = [module for module in model.modules() if not any(module.children())]
    others = [
        module
        for module in leaves
        if (_is_activation(module) or isinstance(module, NORMALIZATIONS))
        and not isinstance(module, ruled)
    ]
    if others:
        return f"it has no rule for {_kinds(others)}, which it would take for linear"
    convolutional = any(isinstance(module, CONVOLUTIONS) for module in leaves)
    if convolutional and not any(isinstance(module, ruled) for module in leaves):
        return "it finds no activation that it has a rule for: it would be input x gradient"
    return None


def without_lrp_rules(model: nn.Module, ruled: tuple[type[nn.Module], ...]) -> str | None:
    """Which layers LRP has no rule for, or None.

    Args:
        model: the model.
        ruled: kinds of layers with a rule beside those that Captum has one for.

    Example:
        >>> without_lrp_rules(nn.Sequential(nn.Linear(2, 2), nn.GELU()), (nn.Linear,))
        'it has no rule for GELU'
    """
    captum_layers = (*SUPPORTED_LAYERS_WITH_RULES, *SUPPORTED_NON_LINEAR_LAYERS)
    others = [
        module
        for module in model.modules()
        if not any(module.children())
        and type(module) not in captum_layers
        and not isinstance(module, ruled)
        and not hasattr(module, "rule")
    ]
    return f"it has no rule for {_kinds(others)}" if others else None


def embeds_patches(convolutions: Iterable[Any]) -> bool:
    """Whether the only convolution is one that cuts an image into patches, as in transformers.

    Example:
        >>> embeds_patches([nn.Conv2d(3, 8, 16, stride=16)]), embeds_patches([nn.Conv2d(3, 8, 3)])
        (True, False)
    """
    layers = list(convolutions)
    if len(layers) != 1:
        return False
    window, stride = tuple(layers[0].kernel_size), tuple(layers[0].stride)
    return window == stride and max(window) > 1


def _is_activation(module: nn.Module) -> bool:
    """Torch, timm and transformers define activations in files named like this."""
    return "activation" in type(module).__module__.rpartition(".")[2]


def _kinds(modules: Iterable[nn.Module]) -> str:
    names = list(dict.fromkeys(type(module).__name__ for module in modules))
    more = len(names) - MOST_KINDS
    return ", ".join(names[:MOST_KINDS]) + (f" and {more} more" if more > 0 else "")
