"""Linear fits of outputs to samples, for LIME and KernelSHAP."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

#: Of KernelSHAP's samples, relative to the greatest: what weighs less would be lost in rounding,
#: and with it what tells some segments apart.
LEAST_WEIGHT = 1e-10
#: Singular values below this part of the largest count as zero.
RANK_TOLERANCE = 1e-11


def least_squares(design: Tensor, values: Tensor, n_free: int | None = None) -> Tensor:
    """The smallest ``w [..., S]`` among those that minimize ``||design w - values||``.

    Args:
        design: ``[N, S]`` in float64, on the CPU, where torch can tell the rank.
        values: ``[..., N]`` in float64.
        n_free: so many coefficients can be told apart by enough samples; None: all.

    Warns:
        UserWarning: these samples do not tell them apart.

    Example:
        >>> design = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
        >>> least_squares(design, torch.tensor([3.0, 4.0], dtype=torch.float64))
        tensor([3., 2.], dtype=torch.float64)
    """
    n_free = design.shape[1] if n_free is None else n_free
    columns = values.reshape(-1, len(design)).T
    solution = torch.linalg.lstsq(design, columns, rcond=RANK_TOLERANCE, driver="gelsy")
    if int(solution.rank) < n_free:
        warnings.warn(
            f"the samples leave the fit open: {n_free} coefficients, rank {int(solution.rank)}; "
            "the solution with the smallest coefficients is used; pass more samples",
            stacklevel=4,
        )
    result: Tensor = solution.solution.T.reshape(*values.shape[:-1], design.shape[1])
    return result


def shapley_kernel(sizes: Tensor, n_segments: int) -> Tensor:
    """KernelSHAP's weights of samples that keep so many segments, relative to the greatest.

    Args:
        sizes: ``[N]`` in float64, above 0 and below ``n_segments``.
        n_segments: S.

    Example:
        >>> shapley_kernel(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), 4)
        tensor([1.0000, 0.5000, 1.0000], dtype=torch.float64)
    """
    # By logarithms: binomials of many segments leave the range of floats.
    total = torch.tensor(float(n_segments), dtype=torch.float64)
    log_binomial = (
        torch.lgamma(total + 1) - torch.lgamma(sizes + 1) - torch.lgamma(total - sizes + 1)
    )
    log_kernel = -log_binomial - (sizes * (total - sizes)).log()
    return (log_kernel - log_kernel.max()).exp().clamp(min=LEAST_WEIGHT)
