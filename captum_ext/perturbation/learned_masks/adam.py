"""Adam (Kingma and Ba, ICLR 2015), as ``torch.optim.Adam`` computes it.

Torch's own imports its compiler at the first step: a second, and an interruption in that breaks all
later calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Adam:
    r"""Moves tensors against their gradients.

        m = beta_1 m + (1 - beta_1) g,   v = beta_2 v + (1 - beta_2) g^2
        x = x - lr / (1 - beta_1^t) m / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Args:
        values: the tensors, which are changed in place.
        lr: the size of a step.
        betas: how much of the moments before each step counts.
        epsilon: keeps the quotient finite.

    Example:
        >>> x = torch.tensor([1.0])
        >>> Adam([x], lr=0.1).step([torch.tensor([5.0])])
        >>> x
        tensor([0.9000])
    """

    def __init__(
        self,
        values: Sequence[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.values = [value.detach() for value in values]
        self.lr, self.betas, self.epsilon = lr, betas, epsilon
        self.first = [torch.zeros_like(value) for value in self.values]
        self.second = [torch.zeros_like(value) for value in self.values]
        self.n_steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step, by the gradient of each tensor."""
        self.n_steps += 1
        of_first, of_second = (1 - beta**self.n_steps for beta in self.betas)
        moments = zip(self.values, gradients, self.first, self.second, strict=True)
        for value, gradient, first, second in moments:
            first.lerp_(gradient, 1 - self.betas[0])
            second.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
            scale = (second.sqrt() / math.sqrt(of_second)).add_(self.epsilon)
            value.addcdiv_(first, scale, value=-self.lr / of_first)
