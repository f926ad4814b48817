"""What a model says of one class in a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from captum_ext.models.output_kind import LOGITS, probabilities_of


@dataclass(frozen=True)
class TopClass:
    """A class that a model finds in a picture.

    Attributes:
        index: its place among the outputs.
        label: its name, or its index where the model has no names.
        logit: the output; NaN where the model gives probabilities or scores.
        probability: that of the model, by the kind of its outputs; NaN where they are scores.
        outputs: the kind of the outputs, one of :data:`captum_ext.choices.OUTPUT_KINDS`.
        score: the output, of any kind.
    """

    index: int
    label: str
    logit: float
    probability: float
    outputs: str = "softmax"
    score: float = float("nan")

    @property
    def has_logit(self) -> bool:
        """Whether the model gives logits."""
        return self.outputs in LOGITS

    @property
    def has_probability(self) -> bool:
        """Whether the model gives probabilities, or logits, of which they follow."""
        return self.outputs != "scores"

    @property
    def number(self) -> str:
        """The probability and what gives it, or the score, for people.

        Example:
            >>> TopClass(0, "cat", 1.5, 0.818, "sigmoid").number
            'sigmoid p = 0.818'
        """
        if not self.has_probability:
            return f"score = {self.score:.3g}"
        given_by = f"{self.outputs} " if self.has_logit else ""
        return f"{given_by}p = {self.probability:.3g}"


def top_classes(
    outputs: Tensor, kind: str, indices: Iterable[int], label_of: Callable[[int], str]
) -> list[TopClass]:
    """Classes of one picture.

    Args:
        outputs: of the model, ``[1, classes]``.
        kind: of the outputs, one of :data:`captum_ext.choices.OUTPUT_KINDS`.
        indices: of the classes.
        label_of: gives the name of a class.

    Example:
        >>> import torch
        >>> [about.number for about in top_classes(torch.zeros(1, 4), "sigmoid", [2], str)]
        ['sigmoid p = 0.5']
    """
    probabilities, unknown = probabilities_of(outputs, kind), float("nan")
    return [
        TopClass(
            index,
            label_of(index),
            float(outputs[0, index]) if kind in LOGITS else unknown,
            unknown if probabilities is None else float(probabilities[0, index]),
            kind,
            float(outputs[0, index]),
        )
        for index in indices
    ]
