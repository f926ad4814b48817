"""A walk of the autograd graph: which operations lie between inputs and an output.

A node is linear, or joins several tensors that depend on the inputs, or is none of these.
Parameters are no inputs: ``x * gamma`` is linear in ``x``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

#: A node of the autograd graph; torch gives its type no public name.
Node = Any

#: What a node does with tensors that depend on the inputs.
LINEAR, ADDITION, PRODUCT, CONCATENATION = "linear", "addition", "product", "concatenation"
RELU, POOLING, NORMALIZATION, OTHER = "ReLU", "max pooling", "normalization", "nonlinearity"
KINDS = (LINEAR, ADDITION, PRODUCT, CONCATENATION, RELU, POOLING, NORMALIZATION, OTHER)

_ADDITIONS = frozenset({"Add", "Sub", "Rsub", "Sum", "Addcmul", "Lerp"})
_PRODUCTS = frozenset(
    {
        *("Mul", "Div", "Mm", "Bmm", "Mv", "Dot", "Addmm", "Addbmm", "Baddbmm", "Addmv", "Addr"),
        *("Convolution", "Matmul", "Linear", "Einsum", "Inner", "Outer", "Tensordot", "Kron"),
        *("ConvolutionOverrideable", "MkldnnConvolution", "Conv2D", "Cross", "Where", "Prod"),
    }
)
_CONCATENATIONS = frozenset({"Cat", "Stack"})
_RELUS = frozenset({"Relu"})
#: Functions that are a ReLU where their only bound is zero.
_BOUNDS = frozenset({"Clamp", "ClampMin", "Threshold", "Maximum", "Fmax"})
_POOLINGS = frozenset({"Amax", "Max", "Topk", "Sort", "Kthvalue"})
_NORMALIZATIONS = frozenset(
    {"NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm", "LinalgVectorNorm", "Norm"}
)
#: Linear in their only input that depends on the inputs; most of them move values about.
_LINEAR = frozenset(
    {
        *("AccumulateGrad", "Identity", "Clone", "ToCopy", "Copy", "CopyBackwards", "CopySlices"),
        *("View", "UnsafeView", "ReshapeAlias", "AsStrided", "AsStridedScatter", "Alias", "Detach"),
        *("Permute", "Transpose", "T", "MT", "Mt", "NumpyT", "Movedim", "Swapaxes", "Adjoint"),
        *("Squeeze", "Unsqueeze", "Expand", "Repeat", "Flip", "Roll", "Rot90", "Unfold", "Fold"),
        *("Slice", "Select", "Index", "IndexSelect", "Gather", "Narrow", "Split", "SplitWithSizes"),
        *("Unbind", "Chunk", "Diagonal", "DiagEmbed", "Trace", "Tril", "Triu", "Take", "Unflatten"),
        *("SliceScatter", "SelectScatter", "IndexPut", "Scatter", "ScatterAdd", "MaskedSelect"),
        *("IndexAdd", "IndexCopy", "IndexFill", "MaskedFill", "MaskedScatter", "Fill", "Zero"),
        *(
            "Neg",
            "Mean",
            "Cumsum",
            "Real",
            "ViewAsReal",
            "ViewAsComplex",
            "Conj",
            "FftR2C",
            "FftC2R",
        ),
        *("ConstantPadNd", "Pad", "Col2Im", "Im2Col", "Thnn_Conv2D", "SlowConvDilated2D"),
        *("PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "GridSampler2D", "Contiguous"),
        *("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "BatchNorm", "Trapezoid"),
        *("BroadcastTensors", "UnsafeSplit", "UnsafeSplitWithSizes"),
    }
)
_LINEAR_STEMS = ("AvgPool", "Upsample", "ReflectionPad", "ReplicationPad", "Im2Col", "Col2Im")
_POOLING_STEMS = ("MaxPool", "MaxUnpool")
_SUFFIX = re.compile(r"Backward\d*$")


def operation_name(node: Node) -> str:
    """What a node computes, without torch's suffixes.

    Example:
        >>> operation_name(torch.ones(1, requires_grad=True).relu().grad_fn)
        'Relu'
    """
    name = str(node.name()).rpartition("::")[2]
    return _SUFFIX.sub("", name) or name


def leaf_node(leaf: Tensor) -> Node:
    """The node in which the gradient of a leaf tensor ends."""
    return torch.autograd.graph.get_gradient_edge(leaf).node


def nodes_of(value: Any) -> list[Node]:
    """The nodes of the tensors in a nest of tuples, lists, dicts and dataclasses."""
    return [x.grad_fn for x in tensors_of(value) if x.grad_fn is not None]


def tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors in a nest of tuples, lists, dicts and dataclasses, in order.

    Example:
        >>> [len(x) for x in tensors_of({"a": torch.ones(2), "b": [torch.ones(3), None]})]
        [2, 3]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_of(list(value.values()))
    elif isinstance(value, list | tuple):
        for element in value:
            yield from tensors_of(element)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        yield from tensors_of(list(vars(value).values()))


def upstream(ends: Iterable[Node], stop: set[Node] | None = None) -> list[Node]:
    """All nodes from which ``ends`` are computed, each after those that it is computed from.

    Args:
        ends: where the walk begins.
        stop: nodes where it goes no further; they are left out.
    """
    stop = stop or set()
    ordered: list[Node] = []
    visited: set[Node] = set(stop)
    stack = [(node, False) for node in ends]
    while stack:
        node, done = stack.pop()
        if done:
            ordered.append(node)
        elif node not in visited:
            visited.add(node)
            stack.append((node, True))
            stack.extend((each, False) for each, _ in node.next_functions if each is not None)
    return ordered


def dependence(ordered: Sequence[Node], leaves: Sequence[Tensor]) -> dict[Node, frozenset[int]]:
    """Of which leaves each node is computed, as their numbers. An empty tensor has none.

    Args:
        ordered: of :func:`upstream`.
        leaves: tensors that require gradients.

    Example:
        >>> x, y = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
        >>> end = (x * y + 1).grad_fn
        >>> dependence(upstream([end]), (x, y))[end]
        frozenset({0, 1})
    """
    numbers = {leaf_node(leaf): frozenset({number}) for number, leaf in enumerate(leaves)}
    found: dict[Node, frozenset[int]] = {}
    for node in ordered:
        if _is_empty(node):
            found[node] = frozenset()
            continue
        own = numbers.get(node, frozenset())
        found[node] = own.union(*(found.get(each, frozenset()) for each, _ in node.next_functions))
    return found


def _is_empty(node: Node) -> bool:
    """Whether all that a node computes are tensors without values."""
    results = getattr(node, "_input_metadata", None) or ()
    return bool(results) and all(0 in getattr(each, "shape", ()) for each in results)


def kind_of(node: Node, depends: dict[Node, frozenset[int]]) -> str:
    """What a node does with tensors that depend on the inputs: one of :data:`KINDS`.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> kinds = []
        >>> for y in (x * 2, x * x, x.relu(), x.exp(), torch.cat([x, x])):
        ...     kinds.append(kind_of(y.grad_fn, dependence(upstream([y.grad_fn]), (x,))))
        >>> kinds
        ['linear', 'product', 'ReLU', 'nonlinearity', 'concatenation']
    """
    name = operation_name(node)
    if name in _BOUNDS:
        return RELU if _bounds_at_zero(node) else OTHER
    several = [bool(depends.get(each)) for each, _ in node.next_functions].count(True) > 1
    for joins, kind in _JOINS.items():
        if name in joins:
            return kind if several or _divides(node, depends) or name == "Prod" else LINEAR
    for names, kind in _KINDS.items():
        if name in names:
            return kind
    if any(stem in name for stem in _POOLING_STEMS):
        return POOLING
    return LINEAR if any(stem in name for stem in _LINEAR_STEMS) else OTHER


_JOINS = {_ADDITIONS: ADDITION, _CONCATENATIONS: CONCATENATION, _PRODUCTS: PRODUCT}
_KINDS = {_RELUS: RELU, _POOLINGS: POOLING, _NORMALIZATIONS: NORMALIZATION, _LINEAR: LINEAR}


def _bounds_at_zero(node: Node) -> bool:
    """Whether a node of :data:`_BOUNDS` computes ``max(x, 0)``."""
    if getattr(node, "_saved_max", None) is not None:
        return False
    bounds = [
        getattr(node, f"_saved_{name}", None) for name in ("min", "threshold", "other", "self")
    ]
    if operation_name(node) not in ("Maximum", "Fmax"):
        bounds = bounds[:2]
    return any(_is_zero(bound) for bound in bounds)


def _is_zero(bound: Any) -> bool:
    if isinstance(bound, Tensor):
        return not bound.requires_grad and not bool(bound.any())
    return bound is not None and bound == 0


def _divides(node: Node, depends: dict[Node, frozenset[int]]) -> bool:
    """Whether a node divides by what depends on the inputs."""
    if operation_name(node) != "Div" or len(node.next_functions) < 2:
        return False
    return bool(depends.get(node.next_functions[1][0]))
