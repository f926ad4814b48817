"""The interface of marginals."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from captum_ext.checks import check_differentiable, check_inputs
from captum_ext.perturbation.regions import Region, Regions


class Marginal(ABC):
    """Draws values for a region of an example."""

    def check(self, x: Tensor, regions: Regions) -> None:  # noqa: B027 (most need no check)
        """Refuses an example, or regions of it, that it cannot serve.

        Args:
            x: one example, ``[C, H, W]`` (or of another shape).
            regions: where values are replaced.

        Raises:
            ValueError: as each class says.
        """

    def count(self, n_values: int, n_samples: int) -> int:
        """The number of samples of a region of ``n_values`` for the argument ``n_samples``."""
        return n_samples

    @abstractmethod
    def draw(self, x: Tensor, region: Region, count: int, generator: torch.Generator) -> Tensor:
        """Values for a region, in the order of its positions.

        Args:
            x: one example.
            region: of it.
            count: how many, as :meth:`count` says.
            generator: on the CPU; what is drawn depends on nothing else.

        Returns:
            ``[count, k]`` in the dtype and on the device of ``x``.
        """


def checked_data(data: Tensor) -> Tensor:
    """Known to be a batch of finite examples of a floating-point dtype, without graph.

    Raises:
        TypeError, ValueError: it is not.
    """
    (tensor,) = check_inputs(data, "data")
    check_differentiable((tensor,), "data")
    if tensor.dim() < 2:
        raise ValueError(f"data must be examples [N, ...]; got shape {tuple(tensor.shape)}")
    return tensor.detach()
