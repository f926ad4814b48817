"""Heat maps as they are displayed, and their similarity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import maximum_filter
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import Tensor

#: Of SSIM.
WINDOW = 7
#: The brightest values, which hold this part of a map's sum, are white.
OUTLIERS = 0.02
#: Of white: what is darker is not seen.
VISIBLE = 0.1


def heat_of(attribution: Tensor, floor: float = 0.0) -> np.ndarray:
    """A map ``[h, w]`` as it is looked at: magnitudes from 0 to 1.

    Args:
        attribution: ``[1, C, h, w]``.
        floor: what is less counts as zero.
    """
    values = attribution.detach().double().abs()
    magnitude = torch.where(values < floor, 0, values)[0].sum(0).cpu().numpy()
    ascending = np.sort(magnitude, axis=None)
    sums = ascending.cumsum()
    white = ascending[np.searchsorted(sums, (1 - OUTLIERS) * sums[-1])]
    return magnitude.clip(max=white) / white if white > 0 else magnitude


class Likeness(NamedTuple):
    """How alike two maps are.

    Attributes:
        ssim: mean over the windows in which something is to be seen; 1 where there are none.
        ssim_all: mean over all.
        spearman: rank correlation of the pixels; of maps that are even, 1 if both are, else 0.
        visible: the part of the windows in which something is to be seen.
    """

    ssim: float
    ssim_all: float
    spearman: float
    visible: float


def likeness(first: np.ndarray, second: np.ndarray) -> Likeness:
    """Compares maps ``[h, w]`` of :func:`heat_of`."""
    mean, local = structural_similarity(first, second, win_size=WINDOW, data_range=1.0, full=True)
    seen = maximum_filter(np.maximum(first, second), WINDOW) >= VISIBLE
    # Windows that reach beyond the edge are left out, as scikit-image's mean leaves them out.
    inner = (slice(WINDOW // 2, -(WINDOW // 2)),) * 2
    seen, local = seen[inner], local[inner]
    even = [bool((each == each.flat[0]).all()) for each in (first, second)]
    ranks = float(all(even)) if any(even) else float(spearmanr(first, second, axis=None)[0])
    return Likeness(
        float(local[seen].mean()) if seen.any() else 1.0, float(mean), ranks, float(seen.mean())
    )
