"""What metrics share: the relevance of a pixel, masks, and checks of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import (
    as_tuple,
    check_differentiable,
    check_forward_func,
    check_inputs,
    precise,
)
from captum_ext.forward import predicted_target
from captum_ext.metrics.measurement import remark
from captum_ext.randomness import global_seed
from captum_ext.targets import check_images, plain_target


def pixel_relevance(attributions: Any, inputs: Any, name: str = "attributions") -> Tensor:
    """The relevance of each pixel: the sum of its channels' attributions.

    Args:
        attributions: ``[B, C, H, W]`` or ``[B, 1, H, W]`` of a floating-point dtype.
        inputs: the images ``[B, C, H, W]`` that they explain.
        name: what ``attributions`` are called in error messages.

    Returns:
        ``[B, H, W]`` without graph, in the dtype of ``attributions`` or in float32, if that is
        more precise.

    Raises:
        TypeError: not tensors, or attributions of a dtype that is not floating-point.
        ValueError: inputs that are no images, attributions of another shape or not finite.

    Example:
        >>> images = torch.zeros(1, 3, 1, 2)
        >>> pixel_relevance(torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1) + images, images)
        tensor([[[6., 6.]]])
    """
    shape = image_batch(inputs).shape
    _check_tensor(attributions, name)
    check_differentiable((attributions,), name)
    one_channel = (shape[0], 1, *shape[2:])
    if tuple(attributions.shape) not in (tuple(shape), one_channel):
        shapes = " or ".join(map(str, dict.fromkeys((tuple(shape), one_channel))))
        raise ValueError(
            f"{name} must have the shape of inputs, {shapes}; got "
            f"{tuple(attributions.shape)}{_advice(attributions, name, tuple(shape))}"
        )
    check_inputs(attributions, name)
    relevance = attributions.detach().to(precise(attributions)).sum(1)
    if not torch.isfinite(relevance).all():
        raise ValueError(f"{name} must have a finite sum over the channels; got an infinite one")
    return relevance


def warn_of_equal(relevances: Iterable[Tensor]) -> None:
    """Warn of examples whose relevances ``[P]`` are the same everywhere: they rank nothing."""
    equal = [number for number, each in enumerate(relevances) if bool((each == each[0]).all())]
    if equal:
        remark(f"attributions of examples {equal} are the same everywhere: they rank nothing")


def check_mask(mask: Any, inputs: Tensor) -> Tensor:
    """The pixels where the object lies, as ``[B, H, W]`` of bool.

    Args:
        mask: ``[B, 1, H, W]``, ``[B, H, W]``, or one for all examples (``[1, ...]``); bool, or 0
            and 1.
        inputs: the images ``[B, C, H, W]``.

    Raises:
        TypeError: not a tensor.
        ValueError: another shape, other values; a mask that holds no pixel or all of them, which
            leaves nothing to tell apart.

    Example:
        >>> check_mask(torch.tensor([[[1, 0]]]), torch.zeros(2, 3, 1, 2)).shape
        torch.Size([2, 1, 2])
    """
    _check_tensor(mask, "mask")
    count, _, height, width = inputs.shape
    planes = mask.squeeze(1) if mask.dim() == 4 else mask
    if planes.dim() != 3 or len(planes) not in (1, count) or planes.shape[1:] != (height, width):
        raise ValueError(
            f"mask must have the shape {(count, 1, height, width)} or {(count, height, width)}, or "
            f"be one for all ({(1, height, width)}); got {tuple(mask.shape)}"
            + ("; add a batch dimension: mask[None]" if mask.dim() == 2 else "")
        )
    if not bool(((planes == 0) | (planes == 1)).all()):
        raise ValueError("mask must be bool, or hold 0 and 1 only; got other values")
    planes = planes.detach().bool()
    pixels = planes.flatten(1)
    for kind, at_fault in (("no pixel", ~pixels.any(1)), ("all pixels", pixels.all(1))):
        if bool(at_fault.any()):
            examples = at_fault.nonzero().flatten().tolist()
            raise ValueError(
                f"mask must hold some pixels and leave some out; it holds {kind} for examples "
                f"{examples}"
            )
    return planes.to(inputs.device).expand(count, -1, -1)


def check_model_call(
    forward_func: Any, inputs: Any, attributions: Any, target: Any, additional_forward_args: Any
) -> Tensor:
    """What a metric that runs the model is given, known to be sound before it runs.

    Returns:
        ``inputs`` without graph.

    Raises:
        TypeError, ValueError: no model, inputs that are no images of a floating-point dtype or not
            finite, attributions as in :func:`pixel_relevance`, a target or additional arguments
            that do not fit.

    Example:
        >>> check_model_call(abs, torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), 0, None).shape
        torch.Size([1, 1, 1, 1])
    """
    check_forward_func(forward_func)
    pixel_relevance(attributions, inputs)
    (images,) = check_images(inputs, target, additional_forward_args)
    return images


def target_or_predicted(
    forward_func: Callable[..., Any], inputs: Tensor, target: Any, additional_forward_args: Any
) -> Any:
    """``target``, or where it is None and the model returns ``[B, classes]`` the highest class.

    The class is found once, on the unchanged inputs and model: it must not change with them.

    Example:
        >>> target_or_predicted(torch.nn.Flatten(), torch.tensor([[[[0.2, 0.8]]]]), None, None)
        tensor([1])
    """
    if target is not None:
        return plain_target(target)
    with global_seed(0):
        return predicted_target(forward_func, (inputs,), additional_forward_args)


def of_example(example: int, target: Any, additional_forward_args: Any) -> tuple[Any, Any]:
    """The target of one example, and its additional arguments.

    Example:
        >>> of_example(1, [3, 4], (torch.tensor([5, 6]), "rest"))
        ([4], (tensor([6]), 'rest'))
    """
    row = slice(example, example + 1)
    if isinstance(target, list) or (isinstance(target, Tensor) and target.numel() > 1):
        target = target[row]
    if additional_forward_args is None:
        return target, None
    return target, tuple(
        value[row] if isinstance(value, Tensor) and value.dim() > 0 else value
        for value in as_tuple(additional_forward_args)
    )


def image_batch(inputs: Any) -> Tensor:
    """``inputs``, or the only tensor of a tuple, known to be images.

    Raises:
        TypeError: not a tensor.
        ValueError: not ``[B, C, H, W]``, empty, or not finite.

    Example:
        >>> image_batch(torch.zeros(5, 5))
        Traceback (most recent call last):
        ...
        ValueError: inputs must be images [B, C, H, W]; got shape (5, 5); add the batch and ...
    """
    images = inputs[0] if isinstance(inputs, tuple) and len(inputs) == 1 else inputs
    _check_tensor(images, "inputs")
    if images.dim() != 4:
        raise ValueError(
            f"inputs must be images [B, C, H, W]; got shape {tuple(images.shape)}"
            f"{_advice(images, 'inputs')}"
        )
    check_inputs(images)
    return images


def _check_tensor(value: Any, name: str) -> None:
    if not isinstance(value, Tensor):
        advice = "; use torch.from_numpy" if type(value).__module__ == "numpy" else ""
        raise TypeError(f"{name} must be a tensor; got {type(value).__name__}{advice}")


def _advice(value: Tensor, name: str, wanted: tuple[int, ...] | None = None) -> str:
    """How a tensor might become ``[B, C, H, W]``; ``wanted`` is the shape of the inputs."""
    shape = tuple(value.shape)
    if len(shape) == 2:
        return f"; add the batch and the channel dimension: {name}[None, None]"
    if len(shape) == 3 and wanted is None:
        return f"; add the batch dimension, {name}[None], or that of the channels, {name}[:, None]"
    if wanted is not None and len(shape) == 3:
        if shape == (wanted[0], *wanted[2:]):
            return f"; add the channel dimension: {name}[:, None]"
        if shape == wanted[1:]:
            return f"; add the batch dimension: {name}[None]"
    if wanted is not None and shape in ((wanted[0], *wanted[2:], c) for c in (1, wanted[1])):
        return f"; put the channels first: {name}.movedim(-1, 1)"
    return ""
