"""The effect of each gene, estimated from the masks of a search."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack
from scipy.sparse.linalg import lsmr
from torch import Tensor

from captum_ext.perturbation.mask_search.archive import Archive

#: Probabilities nearer to 0 or 1 count as this near: float32 tells no more of them.
LEAST = 1e-7
#: How many flips without effect are added for each gene: next to none, where effects simply add up,
#: or many, where they depend on what else is kept.
SHRINKAGES = (0.01, 30.0)
#: Every fifth mask is held out to choose by, where there are fifty or more.
HELD_OUT = 5
#: To which the part of their differences that is foretold is compared.
DIGITS = 2
#: Of a fit.
PRECISION = 1e-8


def log_odds(probabilities: Tensor) -> Tensor:
    """Natural logarithm of p / (1 - p), where neither is taken to be less than :data:`LEAST`.

    Example:
        >>> print(log_odds(torch.tensor([0.0, 0.5, 0.75], dtype=torch.float64)).round(decimals=4))
        tensor([-16.1181,   0.0000,   1.0986], dtype=torch.float64)
    """
    p = probabilities.clamp(LEAST, 1 - LEAST)
    return (p / (1 - p)).log()


class Effects(NamedTuple):
    """What genes do.

    Attributes:
        values: ``[G]`` in float64.
        scale: to what, ``"score"`` or ``"log-odds"``.
    """

    values: Tensor
    scale: str


def effects(archive: Archive, *, bounded: bool) -> Effects:
    """By how much each gene raises the score where it is kept.

    A search moves to where the score is high, and its later masks resemble each other: whatever
    they happen to share would seem to have raised it. So no mask is compared with all others, but
    with the one that it comes from, from which it differs in few genes:

        min_w  sum_n (v_n - v_o(n) - w . (m_n - m_o(n)))^2 / |m_n - m_o(n)|_1  +  shrinkage |w|^2

    A difference counts the less, the more genes may be its cause. The last term is what further
    flips of each gene would bring that show no effect. Masks that were drawn are compared with
    their mean. How much to shrink, and whether effects add up in the score or in its log-odds, is
    decided by masks that are held out: whichever foretells these best.

    Args:
        archive: masks of one example and their scores.
        bounded: the scores are probabilities, whose log-odds may be taken.

    Returns:
        The effects, and whether they are on the score or on its log-odds.

    Example:
        >>> archive, masks = Archive(2), torch.tensor([[0, 0], [1, 0], [1, 1]]).bool()
        >>> _ = archive.enter(masks, [-2, 0, 1])
        >>> archive.tell(torch.tensor([0.0, 1.01, 3.03]))
        >>> found = effects(archive, bounded=False)
        >>> print(found.values.round(decimals=4), found.scale)
        tensor([1., 2.], dtype=torch.float64) score
    """
    scales = [log_odds(archive.scores)] * bounded + [archive.scores]
    steps, weights, compared = _steps(archive)
    gains = [(scale[compared[0]] - scale[compared[1]]).numpy() * weights for scale in scales]
    held = np.arange(len(weights)) % HELD_OUT == 0
    told, foretold = steps[~held], steps[held]

    def quality(way: tuple[int, float]) -> float:
        which, shrinkage = way
        found = foretold @ _fit(told, gains[which][~held], shrinkage)
        return round(_share(found, gains[which][held]), DIGITS)

    which, shrinkage = 0, SHRINKAGES[0]
    if len(weights) >= 10 * HELD_OUT:
        # Of those that are as good, the first one.
        which, shrinkage = max(product(range(len(scales)), SHRINKAGES), key=quality)
    drawn, values = _drawn(archive, scales[which])
    found = _fit(vstack([steps, drawn]), np.concatenate([gains[which], values]), shrinkage)
    scale = "log-odds" if bounded and which == 0 else "score"
    return Effects(torch.from_numpy(np.ascontiguousarray(found)), scale)


def _steps(archive: Archive) -> tuple[csr_matrix, np.ndarray, Tensor]:
    """From mask to mask, weighted ``[n, G]``; the weights; both masks' numbers ``[2, n]``."""
    blocks = [csr_matrix((0, archive.n_genes))]
    weights = [torch.zeros(0).double()]
    compared = [torch.zeros(2, 0).long()]
    for own, others, step in archive.steps():
        block, weight = _weighted(step)
        blocks.append(block)
        weights.append(weight)
        compared.append(torch.stack([own, others]))
    return vstack(blocks).tocsr(), torch.cat(weights).numpy(), torch.cat(compared, dim=1)


def _drawn(archive: Archive, values: Tensor) -> tuple[csr_matrix, np.ndarray]:
    """The masks that were drawn and their values, less the mean, and weighted."""
    numbers = archive.drawn()
    if not len(numbers):
        return csr_matrix((0, archive.n_genes)), np.zeros(0)
    step = archive.masks(numbers.tolist()).double()
    step -= step.mean(0)
    block, weights = _weighted(step)
    own = values[numbers]
    return block, ((own - own.mean()) * weights).numpy()


def _weighted(step: Tensor) -> tuple[csr_matrix, Tensor]:
    """Differences ``[n, G]``, each the less the more genes it has, and their weights ``[n]``."""
    weights = step.abs().sum(1, dtype=torch.float64).clamp(min=1).rsqrt()
    return csr_matrix(step.numpy()).multiply(weights.numpy()[:, None]).tocsr(), weights


def _fit(steps: csr_matrix, gains: np.ndarray, shrinkage: float) -> np.ndarray:
    found: np.ndarray = lsmr(
        steps, gains, damp=shrinkage**0.5, atol=PRECISION, btol=PRECISION, maxiter=1000
    )[0]
    return found


def _share(foretold: np.ndarray, gains: np.ndarray) -> float:
    """Which part of the gains was foretold; less than 0, where that was worse than none."""
    total = float(gains @ gains)
    rest = gains - foretold
    return 1 - float(rest @ rest) / total if total else 0.0
