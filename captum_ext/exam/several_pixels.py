r"""Models of two classes that few pixels decide, all others being without any influence.

A score :math:`s(x)` of k relevant pixels makes the logits :math:`(-s, s)`. The logit of class 1 is
the score itself and that of class 0 its negative, so either class has the answer that the score's
formula gives. The probability is :math:`\sigma(\pm 2 s)`; its exact Shapley values, by enumeration,
are known as well, but saturate as the sigmoid does.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from captum_ext.checks import check_int
from captum_ext.exam.known_model import HEADS, KnownModel
from captum_ext.exam.shapley import MAX_PLAYERS
from captum_ext.exam_spec import ExamModelSpec

#: Magnitudes of the additive model's weights: none is near zero, none hides the others.
WEIGHTS = (0.5, 1.5)


def spread_pixels(size: int, n_pixels: int, seed: int = 0) -> tuple[int, ...]:
    """Random pixels, each in a cell of its own of the image cut into a square grid.

    Args:
        size: height and width of the image.
        n_pixels: how many.
        seed: of the cells, their order and the pixels.

    Returns:
        Their flat indices, in random order.

    Raises:
        ValueError: no pixel, or more than there are.

    Example:
        >>> sorted(spread_pixels(2, 4))
        [0, 1, 2, 3]
    """
    cells = math.isqrt(check_int(n_pixels, "n_pixels", minimum=1) - 1) + 1
    if cells > size:
        raise ValueError(f"n_pixels must be at most {size**2}, of {size} x {size}; got {n_pixels}")
    edges = np.arange(cells + 1) * size // cells
    random = np.random.default_rng(seed)
    row, column = np.divmod(random.permutation(cells**2)[:n_pixels], cells)
    rows = random.integers(edges[row], edges[row + 1])
    columns = random.integers(edges[column], edges[column + 1])
    return tuple((rows * size + columns).tolist())


class _SeveralPixelsModel(KnownModel):
    def __init__(self, size: int, n_relevant: int, seed: int, output: str) -> None:
        super().__init__(size, 2, output)
        most = min(MAX_PLAYERS, self.size**2)
        if n_relevant > most:
            raise ValueError(f"at most {most} pixels can be relevant; got {n_relevant}")
        self.relevant = spread_pixels(self.size, n_relevant, seed)

    def _finish(self) -> None:
        self.head = HEADS[self.output]()
        self.requires_grad_(False)
        self.eval()


def _linear(weight: Tensor) -> nn.Linear:
    """A layer with these weights ``[out, in]`` and no bias: nothing is lost to it, as in LRP."""
    layer = nn.utils.skip_init(
        nn.Linear, weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def _picked(pixels: tuple[int, ...], weights: Tensor, size: int) -> Tensor:
    """Weights ``[k, D * D]`` that read one pixel each."""
    weight = torch.zeros(len(pixels), size**2, dtype=torch.float64)
    weight[range(len(pixels)), pixels] = weights
    return weight


class AdditiveModel(_SeveralPixelsModel):
    r"""A weighted sum of pixels: :math:`s(x) = \sum_i w_i x_i`.

    The Shapley value of pixel i for the logit of class 1 is :math:`w_i (x_i - b_i)`, which is also
    what integrated gradients, DeepLift, LRP and, against black, gradient x input give.

    Args:
        size: D, at least 3.
        n_relevant: how many pixels have a weight, from 2 to 16.
        seed: of the pixels and the weights: magnitudes from :data:`WEIGHTS`, half of them negative.
        output: ``"probability"``, ``"log_probability"`` or ``"logit"``.

    Raises:
        ValueError: one of these is out of range.

    Example:
        >>> model, image = AdditiveModel(size=5), torch.rand(1, 1, 5, 5)
        >>> values = model.shapley_values(image, target=1).flatten()[list(model.relevant)]
        >>> torch.allclose(values, model.weights * image.flatten()[list(model.relevant)])
        True
    """

    def __init__(
        self, size: int = 31, n_relevant: int = 8, seed: int = 0, output: str = "logit"
    ) -> None:
        super().__init__(size, check_int(n_relevant, "n_relevant", minimum=2), seed, output)
        signs = (-1.0) ** np.arange(n_relevant)
        # The pixels come in random order, so that signs in turn are random over the image.
        magnitudes = np.random.default_rng([seed, 1]).uniform(*WEIGHTS, n_relevant)
        self.weights = torch.from_numpy(signs * magnitudes)
        score = _picked(self.relevant, self.weights, self.size).sum(0)
        self.linear = _linear(torch.stack([-score, score]))
        self.decides = f"A weighted sum of {n_relevant} pixels"
        self._finish()

    def logits(self, flat: Tensor) -> Tensor:
        """``flat [B, D * D]`` -> ``[B, 2]``."""
        result: Tensor = self.linear(flat)
        return result


class AndOrModel(_SeveralPixelsModel):
    r"""Interactions of pairs of pixels: :math:`s(x) = \sum \min(x_i, x_j) + \sum \max(x_k, x_l)`.

    The minimum is a gray image's AND, the maximum its OR. Either is divided between two pixels:
    against black, and for the logit of class 1, an AND gives half of the darker pixel to each; an
    OR the same, and the brighter pixel what it has beyond. The gradient sees one pixel of a pair.

    Args:
        size: D, at least 3.
        n_and, n_or: how many pairs, at least 1 each; no more than 16 pixels in all.
        seed: of the pixels.
        output: ``"probability"``, ``"log_probability"`` or ``"logit"``.

    Attributes:
        and_pairs, or_pairs: the flat indices of the pixels.

    Raises:
        ValueError: one of these is out of range.

    Example:
        >>> model, image = AndOrModel(size=5), torch.zeros(1, 1, 5, 5)
        >>> (a, b), (c, d) = model.and_pairs[0], model.or_pairs[0]
        >>> image.view(-1)[[a, b, c]] = torch.tensor([0.5, 1.0, 1.0])
        >>> model(image)[0, 1].item()
        1.5
        >>> model.shapley_values(image, target=1).flatten()[[a, b, c, d]]
        tensor([0.2500, 0.2500, 1.0000, 0.0000], dtype=torch.float64)
    """

    def __init__(
        self, size: int = 31, n_and: int = 2, n_or: int = 2, seed: int = 0, output: str = "logit"
    ) -> None:
        check_int(n_and, "n_and", minimum=1)
        n_pairs = n_and + check_int(n_or, "n_or", minimum=1)
        super().__init__(size, 2 * n_pairs, seed, output)
        pairs = tuple(zip(self.relevant[::2], self.relevant[1::2], strict=True))
        self.and_pairs, self.or_pairs = pairs[:n_and], pairs[n_and:]
        # min(a, b) is -max(-a, -b): with pooling in place of torch.minimum, which is no module,
        # the rules of DeepLift and LRP apply.
        signs = torch.cat([-torch.ones(n_and), torch.ones(n_or)]).double()
        self.linear = _linear(_picked(self.relevant, signs.repeat_interleave(2), self.size))
        self.unflatten = nn.Unflatten(1, (1, 2 * n_pairs))
        self.pool = nn.MaxPool1d(2)
        self.flatten_pairs = nn.Flatten()
        self.readout = _linear(torch.stack([-signs, signs]))
        self.decides = f"A sum of {n_and} ANDs and {n_or} ORs of pixels"
        self._finish()

    def logits(self, flat: Tensor) -> Tensor:
        """``flat [B, D * D]`` -> ``[B, 2]``."""
        pairs = self.flatten_pairs(self.pool(self.unflatten(self.linear(flat))))
        result: Tensor = self.readout(pairs)
        return result


class SaturationModel(_SeveralPixelsModel):
    r"""The brightest of several pixels: :math:`s(x) = \max_i x_i`.

    The score is saturated: to change one pixel alone often changes nothing. The Shapley values, for
    the logit of class 1 and against black, are those of the airport game (Littlechild and Owen,
    1973): with the pixels in ascending order, :math:`x_{(i)} - x_{(i-1)}` is divided evenly among
    the k - i + 1 pixels that reach it. Equal pixels have equal shares.

    Args:
        size: D, at least 3.
        n_relevant: among how many pixels, from 2 to 16.
        seed: of the pixels.
        output: ``"probability"``, ``"log_probability"`` or ``"logit"``.

    Raises:
        ValueError: one of these is out of range.

    Example:
        >>> model, white = SaturationModel(size=5), torch.ones(1, 1, 5, 5)
        >>> model.shapley_values(white, target=1).flatten()[list(model.relevant)]
        tensor([0.1250, 0.1250, 0.1250, 0.1250, 0.1250, 0.1250, 0.1250, 0.1250],
               dtype=torch.float64)
    """

    def __init__(
        self, size: int = 31, n_relevant: int = 8, seed: int = 0, output: str = "logit"
    ) -> None:
        super().__init__(size, check_int(n_relevant, "n_relevant", minimum=2), seed, output)
        self.linear = _linear(_picked(self.relevant, torch.ones(n_relevant).double(), self.size))
        self.unflatten = nn.Unflatten(1, (1, n_relevant))
        self.pool = nn.MaxPool1d(n_relevant)
        self.flatten_score = nn.Flatten()
        self.readout = _linear(torch.tensor([[-1.0], [1.0]]))
        self.decides = f"The brightest of {n_relevant} pixels"
        self._finish()

    def logits(self, flat: Tensor) -> Tensor:
        """``flat [B, D * D]`` -> ``[B, 2]``."""
        score = self.flatten_score(self.pool(self.unflatten(self.linear(flat))))
        result: Tensor = self.readout(score)
        return result


EXAM_MODELS = (
    ExamModelSpec("additive", "Additive", "a weighted sum of a few pixels", AdditiveModel),
    ExamModelSpec("and_or", "AND and OR", "minima and maxima of pairs of pixels", AndOrModel),
    ExamModelSpec("saturation", "Saturation", "the brightest of a few pixels", SaturationModel),
)
