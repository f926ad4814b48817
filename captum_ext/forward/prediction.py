"""The class that a model predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from captum_ext.forward.evaluator import Evaluator


def predicted_target(
    model: Callable[..., Any], inputs: tuple[Tensor, ...], additional_forward_args: Any = None
) -> Any:
    """The target where none is given: each example's highest output ``[B]``.

    Returns:
        None where the model returns one score for each example; without a run of the model, if it
        says so itself (``gives_one_score``).

    Raises:
        ValueError: outputs of more than two dimensions.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> predicted_target(nn.Identity(), (torch.tensor([[0.2, 0.8]]),))
        tensor([1])
    """
    if getattr(model, "gives_one_score", False):
        return None
    evaluator = Evaluator(model, additional_forward_args=additional_forward_args)
    outputs = evaluator(inputs, lambda examples, _: tuple(x[examples] for x in inputs), 1)[:, 0]
    if outputs.dim() == 1:
        return None
    if outputs.dim() == 2:
        return outputs.argmax(1)
    raise ValueError(
        "target must be given for a model whose output has more than two dimensions; its shape is "
        f"{tuple(outputs.shape)}"
    )
