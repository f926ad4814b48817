"""What a model's outputs are: logits of classes or of labels, probabilities, or scores.

==================  =======================================  ===================
kind                an output is                             its probability
==================  =======================================  ===================
``"softmax"``       the logit of a class; classes compete    softmax of all
``"sigmoid"``       the logit of a label that stands alone   its sigmoid
``"probabilities"`` a probability already                    the output
``"scores"``        another number, as of a regression       none
==================  =======================================  ===================

``"auto"`` takes outputs outside [0, 1] as ``"softmax"`` and those inside as ``"probabilities"``,
see :func:`output_kind`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from captum_ext.checks import precise

#: Kinds of outputs that are logits.
LOGITS = ("softmax", "sigmoid")
#: Kinds that one output can be: a softmax of one output is always 1.
OF_ONE_OUTPUT = ("sigmoid", "probabilities", "scores")
#: By how much the sum of probabilities may miss one in any precision.
ROUNDING = 1e-4
#: Dtypes that a model may have computed in before it returned another one.
_LOW_PRECISION = (torch.bfloat16, torch.float16)
# Nodes of autograd's graph, by the beginnings of their names: layers whose outputs are not bounded,
# and operations that do not change whether values are probabilities, or that follow such a layer.
_LAYERS = (
    *("Addmm", "Mm", "Bmm", "Addbmm", "Baddbmm", "Mv", "Addmv", "Linear", "Convolution", "Mkldnn"),
    *("Cudnn", "Miopen", "SlowConv", "ThnnConv", "NativeLayerNorm", "NativeBatchNorm"),
)
_NEUTRAL = (
    *("View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Permute", "Transpose", "TBackward"),
    *("Select", "Slice", "Index", "Expand", "Clone", "Alias", "AsStrided", "ToCopy"),
    *("Stack", "Cat", "Mean", "Sum", "Add", "Sub", "Mul", "Div", "Relu", "Amax", "Max"),
    *("AdaptiveAvgPool", "AvgPool", "AdaptiveMaxPool", "NativeDropout"),
)


def output_kind(outputs: Tensor, differentiable: Callable[[], Tensor] | None = None) -> str:
    """The kind of outputs that nobody has named: ``"softmax"`` or ``"probabilities"``.

    Values outside [0, 1] are logits of classes. Values that sum to one are probabilities. Other
    values in [0, 1] are probabilities of independent labels, unless they come straight from a
    linear layer or a convolution, as small logits do, or are all 0.

    Args:
        outputs: ``[B, classes]`` of several classes, finite.
        differentiable: computes them once more, with a graph; called only where the values do not
            tell.

    Example:
        >>> [output_kind(torch.tensor([row])) for row in ([0.2, 0.8], [0.9, 0.8], [0.9, 1.8])]
        ['probabilities', 'probabilities', 'softmax']
    """
    slack = _resolution(outputs)
    low, high = (float(value) for value in outputs.aminmax())
    if low < -slack or high > 1 + slack or high == 0:
        return "softmax"
    if sums_to_one(outputs):
        return "probabilities"
    if differentiable is not None and _come_from_a_layer(differentiable()):
        return "softmax"
    return "probabilities"


def check_kind(outputs: Tensor, kind: str, name: str) -> str:
    """The kind that outputs ``[B, classes]`` are said to be, where they can be that.

    Args:
        outputs: of the model.
        kind: one of :data:`captum_ext.choices.OUTPUT_KINDS`.
        name: of the model, for the message.

    Raises:
        ValueError: one output of a kind that needs several; probabilities outside [0, 1].

    Example:
        >>> check_kind(torch.tensor([[0.2, 1.8]]), "probabilities", "net")
        Traceback (most recent call last):
        ...
        ValueError: outputs='probabilities' must lie in [0, 1]; those of net lie from 0.2 to ...
    """
    if outputs.shape[1] == 0:
        raise ValueError(f"model must give [B, classes]; {name} gives no class")
    if outputs.shape[1] == 1 and kind not in OF_ONE_OUTPUT:
        raise ValueError(
            f"outputs must be 'sigmoid' (the logit of a binary model), 'probabilities' or 'scores' "
            f"for a model of one output; got {kind!r} for {name}"
        )
    low, high = (float(value) for value in outputs.aminmax())
    slack = _resolution(outputs)
    if kind == "probabilities" and (low < -slack or high > 1 + slack):
        raise ValueError(
            f"outputs='probabilities' must lie in [0, 1]; those of {name} lie from {low:g} to "
            f"{high:g}: for logits say outputs='softmax' or 'sigmoid'"
        )
    return kind


def sums_to_one(outputs: Tensor) -> bool:
    """Whether outputs ``[B, classes]`` sum to one, up to the rounding of their precision.

    That of bfloat16 also counts where its values were converted to another dtype.

    Example:
        >>> probabilities = torch.randn(1, 1000).softmax(1)
        >>> sums_to_one(probabilities), sums_to_one(probabilities.bfloat16().float())
        (True, True)
    """
    resolution = _resolution(outputs)
    # Below the smallest normal number, rounding is no longer relative.
    smallest = torch.finfo(_computed_in(outputs)).smallest_normal * resolution
    allowed = max(ROUNDING, 2 * resolution) + outputs.shape[1] * smallest
    return bool(((outputs.double().sum(1) - 1).abs() <= allowed).all())


def probabilities_of(outputs: Tensor, kind: str) -> Tensor | None:
    """The probabilities of outputs ``[B, classes]`` of a kind; None for scores.

    Example:
        >>> [probabilities_of(torch.zeros(1, 4), kind)[0, 0].item() for kind in LOGITS]
        [0.25, 0.5]
    """
    if kind == "softmax":
        return outputs.softmax(1, dtype=precise(outputs))
    if kind == "sigmoid":
        return outputs.to(precise(outputs)).sigmoid()
    return outputs if kind == "probabilities" else None


def _resolution(outputs: Tensor) -> float:
    return float(torch.finfo(_computed_in(outputs)).eps)


def _computed_in(outputs: Tensor) -> torch.dtype:
    """The dtype that holds all values exactly, and may be the one that they were computed in."""
    if not outputs.is_floating_point():
        return torch.float32
    for dtype in _LOW_PRECISION:
        if torch.equal(outputs.to(dtype).to(outputs.dtype), outputs):
            return dtype
    return outputs.dtype


def _come_from_a_layer(outputs: Tensor) -> bool:
    """Whether a linear layer or a convolution gives the outputs, with no sigmoid or softmax after.

    Autograd's graph tells, from the outputs back to the first operation that decides.
    """
    nodes = [outputs.grad_fn]
    visited = set()
    while nodes:
        node = nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        name = node.name()
        if name.startswith(_LAYERS):
            return True
        if name.startswith(_NEUTRAL):
            nodes.extend(parent for parent, _ in node.next_functions)
    return False
