"""One example of which masks keep some features, and show a baseline in place of the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_ext.perturbation.regions import Features


class KeptExample:
    """An example, its baseline, and what masks ``[n, G]`` make of them.

    Args:
        xs: for each input ``[...]``.
        baselines: likewise.
        features: of the example; G of them.

    Attributes:
        live: ``[G]`` of bool on the CPU, the features in which example and baseline differ.

    Example:
        >>> from captum_ext.perturbation.regions import MaskedRegions
        >>> features = Features([MaskedRegions(torch.tensor([[0, 0, 1]]))])
        >>> example = KeptExample([torch.ones(1, 3)], [torch.zeros(1, 3)], features)
        >>> example(torch.tensor([[True, False], [False, True]]))[0].tolist()
        [[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]
    """

    def __init__(
        self, xs: Sequence[Tensor], baselines: Sequence[Tensor], features: Features
    ) -> None:
        self.xs, self.baselines, self.features = tuple(xs), tuple(baselines), features
        device = self.xs[0].device
        numbers = features.spread(torch.arange(len(features), device=device))
        self.live = torch.zeros(len(features), dtype=torch.bool)
        self._numbers = []
        for x, baseline, number in zip(self.xs, self.baselines, numbers, strict=True):
            self.live[number[x != baseline].cpu()] = True
            # Channels of a pixel are for the most part one feature: looked up once.
            shared = number.dim() > 1 and bool((number == number[:1]).all())
            self._numbers.append(number[:1] if shared else number)

    def __call__(self, masks: Tensor) -> tuple[Tensor, ...]:
        """For each input what the masks show of it, ``[n, ...]``."""
        return tuple(
            torch.where(masks.to(x.device)[:, number], x, baseline)
            for x, baseline, number in zip(self.xs, self.baselines, self._numbers, strict=True)
        )

    def spread(self, values: Tensor) -> tuple[Tensor, ...]:
        """Values of the features ``[G]`` as a map for each input, of its shape and device."""
        return self.features.spread(values.to(self.xs[0].device))
