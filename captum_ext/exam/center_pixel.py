r"""The centre-pixel model: a classifier that looks at one pixel, and whose logits hide it.

:math:`f(x) = \mathrm{softmax}(W x + b)` over C gray levels names the level of the image's center
pixel. With an intensity of v levels at the center,

.. math:: b_c + v (2c - 2(C - 1)) = -(c - v)^2 + \text{terms without } c

is largest for :math:`c = v`. Every other pixel has one random weight that all classes share: it
moves all logits alike, which the softmax cannot see. So for the probability only the center
matters, while the logit is full of that nuisance.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from captum_ext.checks import check_baselines
from captum_ext.exam.known_model import HEADS, KnownModel
from captum_ext.exam_spec import ExamModelSpec

# Level v is the input v / 255, also with fewer or more classes than 256.
WHITE = 255
MIN_ALPHA, MAX_ALPHA = 1e-6, 1e6


class CenterPixelModel(KnownModel):
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

    decides = "Only the center pixel"

    def __init__(
        self,
        size: int = 227,
        n_classes: int = 256,
        alpha: float = 10,
        relu: bool = True,
        seed: int = 0,
        output: str = "probability",
    ) -> None:
        super().__init__(size, n_classes, output)
        if not MIN_ALPHA <= alpha <= MAX_ALPHA:
            raise ValueError(f"alpha must be from {MIN_ALPHA:g} to {MAX_ALPHA:g}; got {alpha}")
        self.alpha = alpha
        self.relevant = (self.center_index,)
        self.linear = nn.utils.skip_init(
            nn.Linear, self.size**2, self.n_classes, dtype=torch.float64
        )
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.head = HEADS[self.output]()
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

    @property
    def only_relevant_matter(self) -> bool:
        """Not for the logit, which every pixel moves."""
        return self.output != "logit"

    def logits(self, flat: Tensor) -> Tensor:
        """``flat [B, D * D]`` -> ``[B, C]``."""
        result: Tensor = self.relu(self.linear(flat))
        return result

    def shapley_values(self, image: Tensor, target: int, baseline: float | Tensor = 0.0) -> Tensor:
        """Shapley values of the output, with the pixels as players, where they are exact.

        The softmax cancels the nuisance (to rounding: 1e-8 of a probability), which leaves one
        player, the center. The logit is an affine function of all pixels, and the value of each is
        its weight times what it differs from the baseline. Both hold where the ReLU cuts no
        coalition, which is checked for the worst of them: always without ReLU, and on images of
        natural contrast up to about 50 x 50. Beyond, a coalition of just the pixels with negative
        weights would be cut, rare as it is.

        Args:
            image, target, baseline: see :meth:`KnownModel.shapley_values`.

        Returns:
            ``[1, 1, D, D]`` in float64.

        Raises:
            TypeError, ValueError: as of :meth:`KnownModel.shapley_values`.
            ValueError: the ReLU cuts some coalition.

        Example:
            >>> model, image = CenterPixelModel(size=5), torch.full((1, 1, 5, 5), 100 / 255)
            >>> model.shapley_values(image, target=100)[0, 0, 2].round(decimals=2)
            tensor([0., 0., 1., 0., 0.], dtype=torch.float64)
        """
        return super().shapley_values(image, target, baseline)

    def _shapley_values(self, x: Tensor, target: int, baseline: float | Tensor) -> Tensor:
        (base,) = check_baselines(baseline, (x,))
        explained = slice(target, target + 1) if self.output == "logit" else slice(None)
        if isinstance(self.relu, nn.ReLU):
            self._check_uncut(x.flatten(), base.flatten(), explained)
        if self.output != "logit":
            return super()._shapley_values(x, target, base)
        weight = self.linear.weight[target].reshape(x.shape)
        return weight.double() * (x - base).double()

    def _check_uncut(self, x: Tensor, base: Tensor, classes: slice) -> None:
        """Refuses an image of which the ReLU cuts a coalition's logits."""
        weight = self.linear.weight
        # The classes share all weights but the center's.
        lowest = torch.minimum(weight[0] * x, weight[0] * base)
        lowest[self.center_index] = 0
        center = weight[classes, self.center_index]
        center = torch.minimum(center * x[self.center_index], center * base[self.center_index])
        margin = float((self.linear.bias[classes] + center + lowest.sum()).min())
        if margin < 0:
            raise ValueError(
                "image must be one whose coalitions the ReLU does not cut, for exact Shapley "
                f"values; got a logit of {margin:.2g} in the worst case. relu=False cuts none"
            )


EXAM_MODEL = ExamModelSpec(
    "center_pixel",
    "Center pixel",
    "the center pixel's gray level is the class; all others move the logits alike",
    CenterPixelModel,
)
