"""Average ranks of methods, and whether metrics agree on their order.

Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006; Kendall, A new
measure of rank correlation, Biometrika 30, 1938.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import friedmanchisquare, rankdata

from captum_ext.analysis.statistics import Array, table_of


class Ranks(NamedTuple):
    """Average ranks ``[n_methods]`` over ``n`` images, and the p of Friedman's test."""

    n: int
    ranks: Array
    p: float


class Agreement(NamedTuple):
    """Kendall's tau-b ``[k, k]`` of every two metrics, means over up to ``n_images`` images."""

    metrics: list[str]
    matrix: Array
    n_images: int


def average_ranks(values: npt.ArrayLike, *, higher: bool) -> Ranks:
    """Each method's rank on an image, 1 for the best, a mean over images; ties share their ranks.

    Counts images where every method has a value, as a rank is nothing without its rivals; a method
    without any value does not count and has rank NaN. Friedman's p, whether the methods differ at
    all, is an approximation for more than 10 images and 5 methods (Demšar, section 3.2.2); NaN
    below 3 methods or 2 images, and 1 where all methods always tie.

    Example:
        >>> average_ranks([[3.0, 2.0, 2.0], [9.0, 1.0, 5.0]], higher=True).ranks
        array([1.  , 2.75, 2.25])
    """
    table = table_of(values)
    known = ~np.isnan(table).all(axis=0)
    rows = table[:, known]
    rows = rows[~np.isnan(rows).any(axis=1)]
    ranks = np.full(table.shape[1], np.nan)
    if not rows.size:
        return Ranks(0, ranks, math.nan)
    ranks[known] = rankdata(-rows if higher else rows, axis=1).mean(axis=0)
    p = math.nan
    if rows.shape[1] > 2 and len(rows) > 1:
        tied = bool((rows == rows[:, :1]).all())
        p = 1.0 if tied else float(friedmanchisquare(*rows.T).pvalue)
    return Ranks(len(rows), ranks, p)


def rank_agreement(values: Mapping[str, npt.ArrayLike], directions: Mapping[str, str]) -> Agreement:
    """How far metrics agree on the order of methods.

    On each image Kendall's tau-b of the orders by two metrics, of methods that have both values;
    then the mean over images: 1 is the same order, -1 the reverse. Images with fewer than two
    methods, or where a metric finds all equal, have no order and do not count.

    Args:
        values: by metric, ``[n_images, n_methods]`` each, the same images and methods.
        directions: by metric, ``"higher"``, ``"lower"``, or ``"none"``, which leaves it out.

    Example:
        >>> tables = {"insertion": [[0.1, 0.5, 0.7]], "deletion": [[0.3, 0.2, 0.1]]}
        >>> rank_agreement(tables, {"insertion": "higher", "deletion": "lower"}).matrix
        array([[1., 1.],
               [1., 1.]])
    """
    metrics = [name for name in values if directions[name] in ("higher", "lower")]
    orders = []
    for name in metrics:
        table = table_of(values[name]) * (1.0 if directions[name] == "higher" else -1.0)
        first, second = np.triu_indices(table.shape[1], k=1)
        orders.append(np.sign(table[:, first] - table[:, second]))  # [n_images, n_pairs]
    shape = (len(metrics), len(metrics))
    matrix, n_images = np.full(shape, np.nan), 0
    for i, j in np.ndindex(shape):
        both = ~np.isnan(orders[i]) & ~np.isnan(orders[j])
        a, b = np.where(both, orders[i], 0.0), np.where(both, orders[j], 0.0)
        scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
        tau = (a * b).sum(axis=1)[scale > 0] / scale[scale > 0]
        n_images = max(n_images, len(tau))
        matrix[i, j] = tau.mean() if len(tau) else math.nan
    return Agreement(metrics, matrix, n_images)
