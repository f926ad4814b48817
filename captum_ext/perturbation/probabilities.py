"""Probabilities from a model's outputs, and measures of the difference of two probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import check_choice, precise

#: The ways in which two probabilities can be compared.
MODES = ("evidence", "probability", "information")
#: The most training examples, and classes, that a correction counts.
MOST_EXAMPLES = 10**12
#: By how much probabilities may leave [0, 1], or their sum miss one, by rounding.
ROUNDING = 1e-5

#: How probabilities come from outputs: see :class:`Probabilities`.
ProbabilitiesLike = str | Callable[[Tensor], Tensor]


def difference(whole: Tensor, without: Tensor, mode: str, n_train: int, n_classes: int) -> Tensor:
    """How a probability differs from that without some part of the input.

        probability:  p - p_s
        information:  log2 p - log2 p_s
        evidence:     log2 (p / (1 - p)) - log2 (p_s / (1 - p_s))

    The last two take corrected probabilities, ``p <- (p N + 1) / (N + K)`` (Laplace), which are
    never 0 or 1.

    Args:
        whole: p.
        without: p_s, of a shape that fits.
        mode: one of the three.
        n_train: N, the number of examples that the model was trained on.
        n_classes: K.

    Source: Robnik-Šikonja and Kononenko, IEEE TKDE 2008.

    Example:
        >>> difference(torch.tensor(0.75), torch.tensor([0.75, 0.5]), "probability", 100, 2)
        tensor([0.0000, 0.2500])
    """
    measures = (_measure(p, mode, n_train, n_classes) for p in (whole, without))
    return next(measures) - next(measures)


def _measure(p: Tensor, mode: str, n_train: int, n_classes: int) -> Tensor:
    if mode == "probability":
        return p
    total = n_train + n_classes
    corrected = (p * n_train + 1) / total
    if mode == "evidence":
        # Not 1 - corrected, which loses digits where p is nearly 1.
        corrected = corrected / (((1 - p) * n_train + n_classes - 1) / total)
    return corrected.log2()


class Probabilities:
    """What makes probabilities of a model's outputs.

    Args:
        kind: ``"softmax"`` of the outputs ``[B, classes, ...]``; ``"given"``, where they are
            probabilities, which sum to one, or that of one class ``[B]``; ``"independent"``, where
            they are probabilities that need not sum to one; ``"auto"``, one of the first two, as
            all outputs that are first checked suggest; or a function of the outputs.

    Raises:
        ValueError: something else.

    Example:
        >>> Probabilities("softmax")(torch.zeros(1, 4))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    def __init__(self, kind: ProbabilitiesLike) -> None:
        if not callable(kind):
            check_choice(kind, "probabilities", ("softmax", "given", "independent", "auto"))
        self.kind = kind

    def __call__(self, outputs: Tensor) -> Tensor:
        """Probabilities of the outputs' shape (or of that which the function gives them)."""
        if callable(self.kind):
            return self.kind(outputs)
        if self.kind in ("given", "independent"):
            return outputs
        if outputs.dim() < 2 or outputs.shape[1] < 2:
            raise ValueError(
                "probabilities='softmax' needs outputs [B, classes]; got shape "
                f"{tuple(outputs.shape)}: let forward_func return all classes, or a probability, "
                "with probabilities='given'"
            )
        return outputs.softmax(1, dtype=precise(outputs))

    def check(self, outputs: Tensor) -> Tensor:
        """The probabilities of some outputs, known to be such.

        Raises:
            TypeError: the function gives something else than a tensor.
            ValueError: they are not finite, not in [0, 1], or do not sum to one where that was
                promised; outputs that may be anything, where they shall tell.
        """
        if self.kind == "auto":
            self.kind = _kind_of(outputs)
        found: Any = self(outputs)
        if not isinstance(found, Tensor):
            raise TypeError(f"probabilities must give a tensor; got {type(found).__name__}")
        self.check_range(found)
        if self.kind == "given" and found[0].numel() > 1:
            sums = _sums(found)
            if not _near_one(sums, found):
                raise ValueError(
                    "outputs must sum to one over the classes where probabilities='given'; got "
                    f"sums from {float(sums.min()):g} to {float(sums.max()):g}; for logits pass "
                    "probabilities='softmax'; for independent classes probabilities='independent'"
                )
        if self.kind == "softmax" and _sum_to_one(outputs):
            warnings.warn(
                "the outputs already sum to one: if the model ends in a softmax, pass "
                "probabilities='given'",
                stacklevel=2,
            )
        return found

    def n_classes(self, probabilities: Tensor) -> int:
        """How many classes compete: of a class that stands alone, it and its absence."""
        alone = self.kind == "independent" and not _sum_to_one(probabilities)
        return 2 if alone else n_classes_of(probabilities)

    def check_range(self, values: Tensor) -> None:
        """Refuses values that are no probabilities.

        Raises:
            ValueError: not finite, or not in [0, 1].
        """
        given = self.kind in ("given", "independent")
        what = "outputs" if given else "probabilities"
        hint = "; for logits take probabilities='softmax'" if given else ""
        low, high = map(float, values.aminmax())  # NaN, if there is one
        if not (isfinite(low) and isfinite(high)):
            raise ValueError(f"{what} must be finite; got NaN or infinite values{hint}")
        slack = _slack(values)
        if low < -slack or high > 1 + slack:
            raise ValueError(
                f"{what} must be probabilities in [0, 1]; got values from {low:g} to {high:g}{hint}"
            )


def n_classes_of(probabilities: Tensor) -> int:
    """How many classes ``[B, classes, ...]`` tells of; two, where it is one number for each row.

    Example:
        >>> n_classes_of(torch.zeros(5, 10)), n_classes_of(torch.zeros(5))
        (10, 2)
    """
    if probabilities.dim() < 2 or probabilities[0].numel() < 2:
        return 2
    whole = _spread_over_all(probabilities)
    return probabilities[0].numel() if whole else max(2, probabilities.shape[1])


def _sums(p: Tensor) -> Tensor:
    """Over the classes; classes of more than one dimension are all taken together."""
    return p.double().flatten(1).sum(1) if _spread_over_all(p) else p.double().sum(1)


def _spread_over_all(p: Tensor) -> bool:
    return _near_one(p.double().flatten(1).sum(1), p)


def _near_one(sums: Tensor, p: Tensor) -> bool:
    return bool(((sums - 1).abs() <= _slack(p)).all())


def _slack(p: Tensor) -> float:
    """The rounding that probabilities may show, in their precision."""
    return max(ROUNDING, 4 * torch.finfo(p.dtype).eps)


def _kind_of(outputs: Tensor) -> str:
    """What outputs are, as far as they show it."""
    one_number = outputs[0].numel() < 2
    if one_number or not bool(torch.isfinite(outputs).all()) or _sum_to_one(outputs):
        return "given"
    if bool((outputs < 0).any()) or bool((outputs > 1).any()):
        return "softmax"
    raise ValueError(
        "probabilities must be 'softmax' or a function of the outputs, or 'independent': they "
        "lie in [0, 1] without summing to one, and may be logits or probabilities of independent "
        "classes"
    )


def _sum_to_one(outputs: Tensor) -> bool:
    return bool((outputs >= 0).all()) and _near_one(_sums(outputs), outputs)
