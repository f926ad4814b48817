"""Marginals that do not depend on the values around a region."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_ext.checks import check_inputs, check_int, described
from captum_ext.perturbation.marginals.base import Marginal, checked_data
from captum_ext.perturbation.regions import Region, Regions

#: Combinations of levels, up to which all are taken in place of a sample.
MOST_ENUMERATED = 4096
#: The most levels of equal steps: those of 24 bits.
MOST_LEVELS = 2**24


class Uniform(Marginal):
    """Each level is as likely as any other, and values do not depend on each other.

    A region with no more than 4,096 combinations of levels is enumerated, so that the expectation
    is exact: a gray pixel has 256, a color pixel of 16 levels has 4,096. Others are sampled.

    Args:
        levels: the values that there are; a number means so many from 0 to 1, in equal steps.

    Raises:
        TypeError, ValueError: no levels, or what are no finite numbers.

    Example:
        >>> region = Region(torch.tensor([4]))
        >>> Uniform(3).draw(torch.zeros(1, 3, 3), region, 3, torch.Generator()).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, levels: int | Sequence[float] | Tensor) -> None:
        if isinstance(levels, Tensor | Sequence) or hasattr(levels, "__array__"):
            try:
                values = torch.as_tensor(levels).flatten()
            except (TypeError, ValueError) as error:
                raise TypeError(f"levels must be numbers; got {described(levels)}") from error
            if values.is_complex() or values.dtype == torch.bool:
                raise TypeError(f"levels must be real numbers; got {values.dtype}")
            if values.numel() == 0:
                raise ValueError("levels must hold at least one value; got none")
            check_inputs(values, "levels")
            self.levels = values.detach().double().cpu()
        else:
            count = check_int(levels, "levels", minimum=1, maximum=MOST_LEVELS)
            self.levels = torch.linspace(0, 1, count, dtype=torch.float64)

    def count(self, n_values: int, n_samples: int) -> int:
        return self._combinations(n_values) or n_samples

    def draw(self, x: Tensor, region: Region, count: int, generator: torch.Generator) -> Tensor:
        levels = self.levels.to(x)
        if not self._combinations(len(region)):
            drawn = torch.randint(len(levels), (count, len(region)), generator=generator)
            return levels[drawn.to(x.device)]
        if len(region) == 1:
            return levels[:, None]
        return torch.cartesian_prod(*[levels] * len(region))

    def _combinations(self, n_values: int) -> int:
        """Of the levels of so many values; 0 where they are too many."""
        if n_values >= MOST_ENUMERATED.bit_length():
            return 0
        combinations = int(len(self.levels) ** n_values)
        return combinations if combinations <= MOST_ENUMERATED else 0

    def __repr__(self) -> str:
        return f"Uniform({len(self.levels)} levels)"


class Empirical(Marginal):
    """The same region of other images.

    Args:
        data: ``[N, C, H, W]``, other examples of the inputs' shape. When asked for ``N`` samples
            or more, each gives its region once, so that the expectation over the data is exact.

    Raises:
        TypeError, ValueError: no data, not of a floating-point dtype, not finite; when used: data
            of another shape than the inputs.

    Example:
        >>> region = Region(torch.tensor([0]))
        >>> data = torch.tensor([[0.25, 5.0], [0.75, 6.0]])
        >>> Empirical(data).draw(torch.zeros(2), region, 2, torch.Generator()).flatten()
        tensor([0.2500, 0.7500])
    """

    def __init__(self, data: Tensor) -> None:
        self.data = checked_data(data)

    def check(self, x: Tensor, regions: Regions) -> None:
        if self.data.shape[1:] != x.shape:
            raise ValueError(
                f"data must be examples of the inputs' shape {tuple(x.shape)}; got "
                f"{tuple(self.data.shape[1:])}"
            )

    def count(self, n_values: int, n_samples: int) -> int:
        return min(n_samples, len(self.data))

    def draw(self, x: Tensor, region: Region, count: int, generator: torch.Generator) -> Tensor:
        flat = self.data.flatten(1)
        positions = region.positions.to(flat.device)
        if count == len(flat):
            return flat[:, positions].to(x)
        # Different ones: a smaller error than with repetitions.
        chosen = torch.randperm(len(flat), generator=generator)[:count].to(flat.device)
        return flat[chosen[:, None], positions].to(x)

    def __repr__(self) -> str:
        return f"Empirical({tuple(self.data.shape)})"


class OwnPatches(Marginal):
    """Windows from other places of the same image: it needs no data, and keeps to its colors.

    Example:
        >>> region = Region(torch.tensor([0, 1]), (0, 0), (1, 2))
        >>> x = torch.tensor([[0.0, 1.0, 2.0]])
        >>> OwnPatches().draw(x, region, 3, torch.Generator().manual_seed(0)).unique(dim=0)
        tensor([[0., 1.],
                [1., 2.]])
    """

    def check(self, x: Tensor, regions: Regions) -> None:
        if x.dim() < 2 or not regions[0].start:
            raise ValueError(
                "marginal must not be OwnPatches for a feature_mask, or inputs without rows and "
                f"columns; got an example of shape {tuple(x.shape)}. Pass another marginal"
            )

    def draw(self, x: Tensor, region: Region, count: int, generator: torch.Generator) -> Tensor:
        shift = torch.zeros(count, 1, dtype=torch.long)
        for axis in range(1, x.dim()):
            room = x.shape[axis] - region.size[axis] + 1
            places = torch.randint(room, (count, 1), generator=generator) - region.start[axis]
            shift += places * x.shape[axis + 1 :].numel()
        return x.flatten()[region.positions + shift.to(x.device)]

    def __repr__(self) -> str:
        return "OwnPatches()"
