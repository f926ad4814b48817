r"""The centre-pixel model: a classifier that looks at one pixel, and whose logits hide it.

:math:`f(x) = \mathrm{softmax}(W x + b)` over C gray levels names the level of the image's center
pixel. With an intensity of v levels at the center,

.. math:: b_c + v (2c - 2(C - 1)) = -(c - v)^2 + \text{terms without } c

is largest for :math:`c = v`. Every other pixel has one random weight that all classes share: it
moves all logits alike, which the softmax cannot see. So for the probability only the center
matters, while the logit is full of that nuisance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from captum_ext.checks import check_choice, check_int

_HEADS: dict[str, Callable[[], nn.Module]] = {
    "probability": lambda: nn.Softmax(dim=1),
    "log_probability": lambda: nn.LogSoftmax(dim=1),
    "logit": nn.Identity,
}
#: What the model can return.
OUTPUTS = tuple(_HEADS)

# Level v is the input v / 255, also with fewer or more classes than 256.
WHITE = 255
MIN_ALPHA, MAX_ALPHA = 1e-6, 1e6


class CenterPixelModel(nn.Module):
    """Names the gray level of the center pixel ``[D // 2, D // 2]`` of any natural image.

    The parameters are made in float64, in which neighboring classes differ by ``alpha`` and
    rounding by 1e-8. ``.float()`` works too: the logits, of size 3e7, are then rounded to 2, which
    leaves the class right but the probability only to about 1 %. Inputs are converted to the
    parameters' dtype.

    Args:
        size: D, at least 3; even or odd. (For even D the published flat index ``D * D // 2`` is not
            the center but the first pixel of the row ``D // 2``; this model takes the center.)
        n_classes: number of gray levels C, at least 2; level c is the input c / 255.
        alpha: contrast; 10 gives a probability of 0.9999.
        relu: pass the logits through a ReLU. An offset keeps them positive on photographs, noise,
            black and white; only an image composed to collect negative weights (or, far above 227
            pixels, one that is half white) can fall below it and be cut. Without the ReLU the
            model is right on every image.
        seed: of the nuisance weights.
        output: ``"probability"``, ``"log_probability"`` or ``"logit"``.

    Raises:
        ValueError: a size below 3, fewer than 2 classes, an alpha out of range, or an
            unknown output.

    Example:
        >>> model = CenterPixelModel(size=5)
        >>> image = torch.rand(1, 1, 5, 5)
        >>> image[0, 0, 2, 2] = 200 / 255
        >>> model(image).argmax(1).item()
        200
    """

    def __init__(
        self,
        size: int = 227,
        n_classes: int = 256,
        alpha: float = 10,
        relu: bool = True,
        seed: int = 0,
        output: str = "probability",
    ) -> None:
        super().__init__()
        self.size = check_int(size, "size", minimum=3)
        self.n_classes = check_int(n_classes, "n_classes", minimum=2)
        if not MIN_ALPHA <= alpha <= MAX_ALPHA:
            raise ValueError(f"alpha must be from {MIN_ALPHA:g} to {MAX_ALPHA:g}; got {alpha}")
        self.alpha = alpha
        self.output = check_choice(output, "output", OUTPUTS)
        self.flatten = nn.Flatten()
        self.linear = nn.utils.skip_init(
            nn.Linear, self.size**2, self.n_classes, dtype=torch.float64
        )
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.head = _HEADS[self.output]()
        self._set_parameters(seed)
        self.eval()

    def _set_parameters(self, seed: int) -> None:
        classes = np.arange(self.n_classes)
        nuisance = np.random.RandomState(seed).uniform(-1, 1, self.size**2)
        weight = np.tile(nuisance * 2 * self.n_classes / 15, (self.n_classes, 1))
        weight[:, self.center_index] = 2 * classes - 2 * (self.n_classes - 1)
        weight *= WHITE * self.alpha
        bias = self.n_classes**2 + 1 - classes**2
        # 3e6 as published keeps the logits of images of 227 x 227 clear of the ReLU. Larger
        # images gather more nuisance: double the offset until an all-white one is clear of it.
        offset = 3e6
        while (weight.sum(1) + (bias + offset) * self.alpha).min() <= 0:
            offset *= 2
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight))
            self.linear.bias.copy_(torch.from_numpy((bias + offset) * self.alpha))
        self.requires_grad_(False)

    @property
    def center_index(self) -> int:
        """The center's index in the flattened image."""
        return (self.size // 2) * self.size + self.size // 2

    def forward(self, x: Tensor) -> Tensor:
        """``x [B, 1, D, D]`` in [0, 1] -> ``[B, C]``."""
        if x.dim() != 4 or x.shape[1:] != (1, self.size, self.size):
            raise ValueError(
                f"inputs must be [B, 1, {self.size}, {self.size}]; got {tuple(x.shape)}"
            )
        logits = self.relu(self.linear(self.flatten(x.to(self.linear.weight.dtype))))
        result: Tensor = self.head(logits)
        return result

    def with_output(self, output: str) -> CenterPixelModel:
        """The same model with another output; the parameters are shared.

        Example:
            >>> model = CenterPixelModel(size=3, n_classes=4)
            >>> model.with_output("logit").linear.weight is model.linear.weight
            True
        """
        other = CenterPixelModel.__new__(CenterPixelModel)
        nn.Module.__init__(other)
        other.size, other.n_classes, other.alpha = self.size, self.n_classes, self.alpha
        other.output = check_choice(output, "output", OUTPUTS)
        other.flatten, other.linear, other.relu = self.flatten, self.linear, self.relu
        other.head = _HEADS[other.output]()
        return other.train(self.training)

    def ground_truth(self) -> Tensor:
        """Which pixels the probability depends on: ``[1, 1, D, D]`` bool, true at the center.

        Example:
            >>> CenterPixelModel(size=3, n_classes=4).ground_truth()[0, 0].int()
            tensor([[0, 0, 0],
                    [0, 1, 0],
                    [0, 0, 0]], dtype=torch.int32)
        """
        truth = torch.zeros(self.size**2, dtype=torch.bool)
        truth[self.center_index] = True
        return truth.reshape(1, 1, self.size, self.size)
