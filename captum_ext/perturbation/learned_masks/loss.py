"""The loss of a learned mask: its score, its area, its borders (Fong and Vedaldi, 2017, eq. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MaskLoss:
    """What is minimized, for each example: ``of_scores`` plus ``of_masks``, both ``[b]``.

    Args:
        deletes: a mask is to delete the evidence, not to preserve it.
        l1, tv, tv_beta, normalize: see :meth:`captum_ext.attr.MeaningfulPerturbation.attribute`.

    Example:
        >>> loss = MaskLoss(deletes=False, l1=1, tv=1, tv_beta=2, normalize=True)
        >>> loss.of_masks((torch.tensor([[[0.0, 1.0]]]),))
        tensor([1.5000])
    """

    deletes: bool
    l1: float
    tv: float
    tv_beta: float
    normalize: bool

    def of_scores(self, scores: Tensor, nothing: Tensor, gap: Tensor) -> Tensor:
        """Of scores ``[b]``, where the reference has ``nothing`` and the image ``gap`` more."""
        if self.normalize:
            parts = (scores - nothing) / gap.abs()
            # An image that scores below its reference has no end that the score could reach.
            within = parts.clamp(min=0) if self.deletes else parts.clamp(max=1)
            scores = torch.where(gap > 0, within, parts)
        return scores if self.deletes else -scores

    def of_masks(self, masks: tuple[Tensor, ...]) -> Tensor:
        """Of the masks ``[b, rows, columns]`` of all inputs."""
        prices = []
        for mask in masks:
            down = mask.diff(dim=1).abs().pow(self.tv_beta).sum(1).mean(1)
            across = mask.diff(dim=2).abs().pow(self.tv_beta).sum(2).mean(1)
            # Not of what is clamped: that has no slope where all is chosen.
            area = (1 - mask if self.deletes else mask).abs().mean((1, 2))
            prices.append(self.l1 * area + self.tv * (down + across))
        return torch.stack(prices).sum(0)

    def chosen(self, masks: Tensor) -> Tensor:
        """How much of each place is deleted, or preserved."""
        return (1 - masks if self.deletes else masks).clamp(0, 1)
