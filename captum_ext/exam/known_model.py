"""What all models of the exam share: their outputs, and the answer that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from captum_ext.checks import check_choice, check_int
from captum_ext.choices import EXAM_OUTPUTS as OUTPUTS
from captum_ext.exam.shapley import exact_shapley

HEADS: dict[str, Callable[[], nn.Module]] = {
    "probability": lambda: nn.Softmax(dim=1),
    "log_probability": lambda: nn.LogSoftmax(dim=1),
    "logit": nn.Identity,
}

Known = TypeVar("Known", bound="KnownModel")


class KnownModel(nn.Module):
    """A classifier of gray images, of which it is known what each pixel does.

    A subclass sets ``linear``, its first layer, ``head``, and the attributes below, and computes
    :meth:`logits`. Parameters are made in float64; inputs are converted to their
    dtype.

    Args:
        size: D, height and width of the images, at least 3.
        n_classes: number of classes C, at least 2.
        output: ``"probability"``, ``"log_probability"`` or ``"logit"``.

    Attributes:
        relevant: the flat indices of the pixels that the answer lies in.
        decides: what decides, as the beginning of a sentence.

    Raises:
        ValueError: a size below 3, fewer than 2 classes, or an unknown output.

    Example:
        >>> from captum_ext.exam import AdditiveModel
        >>> isinstance(AdditiveModel(size=5), KnownModel)
        True
    """

    relevant: tuple[int, ...]
    decides: str
    linear: nn.Linear
    head: nn.Module

    def __init__(self, size: int, n_classes: int, output: str) -> None:
        super().__init__()
        self.size = check_int(size, "size", minimum=3)
        self.n_classes = check_int(n_classes, "n_classes", minimum=2)
        self.output = check_choice(output, "output", OUTPUTS)
        self.flatten = nn.Flatten()

    def logits(self, flat: Tensor) -> Tensor:
        """``flat [B, D * D]``, in the parameters' dtype -> ``[B, C]``."""
        raise NotImplementedError

    @property
    def only_relevant_matter(self) -> bool:
        """Whether no other pixel moves the output."""
        return True

    def forward(self, x: Tensor) -> Tensor:
        """``x [B, 1, D, D]`` in [0, 1] -> ``[B, C]``."""
        if x.dim() != 4 or x.shape[1:] != (1, self.size, self.size):
            raise ValueError(
                f"inputs must be [B, 1, {self.size}, {self.size}]; got {tuple(x.shape)}"
            )
        result: Tensor = self.head(self.logits(self.flatten(x.to(self.linear.weight.dtype))))
        return result

    def with_output(self: Known, output: str) -> Known:
        """The same model with another output; the parameters are shared.

        Raises:
            ValueError: an unknown output.

        Example:
            >>> from captum_ext.exam import CenterPixelModel
            >>> model = CenterPixelModel(size=3, n_classes=4)
            >>> model.with_output("logit").linear.weight is model.linear.weight
            True
        """
        other = type(self).__new__(type(self))
        nn.Module.__init__(other)
        # What torch keeps of a module, its hooks for one, is private and stays behind.
        for name, value in [*vars(self).items(), *self.named_children()]:
            if not name.startswith("_"):
                setattr(other, name, value)
        other.output = check_choice(output, "output", OUTPUTS)
        other.head = HEADS[other.output]()
        return other.train(self.training)

    def ground_truth(self) -> Tensor:
        """The pixels that the answer lies in, as ``[1, 1, D, D]`` bool.

        Example:
            >>> from captum_ext.exam import CenterPixelModel
            >>> CenterPixelModel(size=3, n_classes=4).ground_truth()[0, 0].int()
            tensor([[0, 0, 0],
                    [0, 1, 0],
                    [0, 0, 0]], dtype=torch.int32)
        """
        truth = torch.zeros(self.size**2, dtype=torch.bool)
        truth[list(self.relevant)] = True
        return truth.reshape(1, 1, self.size, self.size)

    def shapley_values(self, image: Tensor, target: int, baseline: float | Tensor = 0.0) -> Tensor:
        """Exact Shapley values of the output, with the pixels as players.

        They are what :func:`~captum_ext.exam.shapley.exact_shapley` finds by all coalitions of the
        relevant pixels; every other pixel is a dummy.

        Args:
            image: ``[1, 1, D, D]``.
            target: the class whose output is explained.
            baseline: what stands where a pixel is missing, a number or ``[1, 1, D, D]``.

        Returns:
            ``[1, 1, D, D]`` in float64; they sum to the output's difference between image and
            baseline.

        Raises:
            TypeError: an image or a baseline that is none.
            ValueError: an image of another shape, no such class, or a baseline that does not fit.

        Example:
            >>> from captum_ext.exam import AdditiveModel
            >>> model, image = AdditiveModel(size=5), torch.rand(1, 1, 5, 5)
            >>> values = model.shapley_values(image, target=1)
            >>> torch.allclose(values.sum(), model(image)[0, 1])
            True
        """
        if not isinstance(image, Tensor):
            raise TypeError(f"image must be a tensor; got {type(image).__name__}")
        if image.shape != (1, 1, self.size, self.size):
            raise ValueError(
                f"image must be [1, 1, {self.size}, {self.size}]; got {tuple(image.shape)}"
            )
        if check_int(target, "target", minimum=0) >= self.n_classes:
            raise ValueError(f"target must be from 0 to {self.n_classes - 1}; got {target}")
        return self._shapley_values(image.to(self.linear.weight.dtype), int(target), baseline)

    def _shapley_values(self, x: Tensor, target: int, baseline: float | Tensor) -> Tensor:
        return exact_shapley(self, x, target, baseline, self.ground_truth())
