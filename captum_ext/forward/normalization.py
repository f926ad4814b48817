"""Normalization in front of a model, which then takes RGB in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from captum_ext.checks import described


class Normalize(nn.Module):
    """``(x - mean) / std`` per channel, for ``[B, C, H, W]`` with ``mean, std [C]``.

    Example:
        >>> Normalize([0.5], [0.25])(torch.ones(1, 1, 1, 1)).item()
        2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("std", std)):
            column = torch.as_tensor(value, dtype=torch.get_default_dtype()).reshape(-1, 1, 1)
            if not torch.isfinite(column).all():
                raise ValueError(f"{name} must be finite; got {described(value)}")
            self.register_buffer(name, column.clone())
        if self.mean.shape != self.std.shape:
            raise ValueError(
                "mean and std must have one value per channel each; got "
                f"{self.mean.numel()} and {self.std.numel()}"
            )
        if not (self.std > 0).all():
            raise ValueError(f"std must be positive; got {described(std)}")

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 3 or x.shape[-3] != self.mean.shape[0]:
            raise ValueError(
                f"inputs must have {self.mean.shape[0]} channels ([B, C, H, W]); got shape "
                f"{tuple(x.shape)}"
            )
        return (x - self.mean.to(x.dtype)) / self.std.to(x.dtype)


class Preprocessed(nn.Module):
    """A model that wants normalized images, made to take RGB in [0, 1].

    Wrap once; then colors, baselines and segmenters all speak RGB.

    Args:
        model: takes ``[B, C, H, W]`` normalized by ``mean`` and ``std``.
        mean: one value per channel, in [0, 1] units.
        std: one positive value per channel.

    Raises:
        ValueError: ``mean`` and ``std`` of different lengths, or ``std`` not positive.

    Example:
        >>> model = Preprocessed(nn.Identity(), mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
        >>> model(torch.zeros(1, 3, 2, 2)).unique().tolist()
        [-1.0]
    """

    def __init__(
        self, model: nn.Module, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor
    ) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.model = model
        self.training = model.training

    def forward(self, x: Tensor, *args: Any) -> Any:
        return self.model(self.normalize(x), *args)
