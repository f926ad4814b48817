"""What a model returns, and the tensor in it that is explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

#: Names under which classifiers return their scores.
SCORE_NAMES = ("logits", "output", "scores", "out", "prediction_logits")


def output_form(whole: Any, output: int | str | None = None) -> str:
    """Where in a model's output the explained tensor stands; ``"tensor"``: it is all of it.

    Example:
        >>> import torch
        >>> output_form(torch.ones(1)), output_form({"logits": torch.ones(1)})
        ('tensor', "'logits' of a dict")
    """
    if isinstance(whole, Tensor) and output is None:
        return "tensor"
    place = _place(whole, output)
    return f"{place!r} of a {type(whole).__name__}"


def pick_output(whole: Any, output: int | str | None = None) -> Tensor:
    """The tensor in a model's output.

    Args:
        whole: what the model returned.
        output: its key, its attribute or its place; None takes the only tensor, or what is called
            ``logits``.

    Raises:
        TypeError: there is none, or ``output`` names none.
        ValueError: there are several, and no name says which counts.

    Example:
        >>> import torch
        >>> pick_output({"logits": torch.ones(1), "hidden": torch.zeros(1)})
        tensor([1.])
        >>> pick_output((torch.ones(1), torch.zeros(1)))
        Traceback (most recent call last):
        ...
        ValueError: the model returns a tuple with the tensors 0, 1; pass output= to choose one
    """
    if isinstance(whole, Tensor) and output is None:
        return whole
    return _tensors(whole)[_place(whole, output)]


def _place(whole: Any, output: int | str | None) -> int | str:
    tensors = _tensors(whole)
    names = ", ".join(map(str, tensors))
    kind = type(whole).__name__
    if output is not None:
        if output in tensors:
            return output
        raise ValueError(
            f"output must be one of {names or 'none'}, the tensors in the {kind} that the model "
            f"returns; got {output!r}"
        )
    if not tensors:
        raise TypeError(f"the model must return a tensor; got {kind}")
    named = [name for name in SCORE_NAMES if name in tensors]
    if len(tensors) == 1 or named:
        return named[0] if named else next(iter(tensors))
    raise ValueError(
        f"the model returns a {kind} with the tensors {names}; pass output= to choose one"
    )


def _tensors(whole: Any) -> dict[int | str, Tensor]:
    """The tensors at the first level of a model's output, by key or place."""
    parts: Mapping[Any, Any]
    if isinstance(whole, Mapping):
        parts = whole
    elif hasattr(whole, "_asdict"):
        parts = whole._asdict()
    elif isinstance(whole, list | tuple):
        parts = dict(enumerate(whole))
    elif hasattr(whole, "__dict__"):
        parts = vars(whole)
    else:
        parts = {}
    return {name: value for name, value in parts.items() if isinstance(value, Tensor)}
