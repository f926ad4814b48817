"""Learns masks by Adam, from a uniform mask at which half of the score is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from captum_ext.checks import precise
from captum_ext.forward import Evaluator
from captum_ext.layers import gradients_of
from captum_ext.perturbation.learned_masks.adam import Adam
from captum_ext.perturbation.learned_masks.loss import MaskLoss
from captum_ext.perturbation.learned_masks.mask_views import MaskView
from captum_ext.perturbation.learned_masks.references import References

#: How often the search for the uniform mask to begin with halves its interval.
N_HALVINGS = 8
#: A gap between two scores that is within so many times their precision is rounding.
ROUNDING = 4

Tensors = tuple[Tensor, ...]


class MaskLearner:
    """Examples of a batch whose masks are learned at the same time.

    No example's mask depends on the others: the losses add up, Adam takes each value by itself, and
    what is drawn is the same for all.

    Args:
        evaluator: of the model.
        rows: ``[b]``, the numbers of the examples.
        images: for each input ``[b, C, H, W]``, in the precision of the masks.
        references: of the images.
        views: of each input.
        inputs: the whole batch, whose dtypes the model takes.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        rows: Tensor,
        images: Tensors,
        references: References,
        views: tuple[MaskView, ...],
        inputs: Tensors,
    ) -> None:
        self.evaluator, self.rows = evaluator, rows
        self.images, self.references, self.views = images, references, views
        self.dtypes = tuple(x.dtype for x in inputs)

    def learn(
        self,
        loss: MaskLoss,
        n_steps: int,
        lr: float,
        generator: torch.Generator,
        on_step: Callable[[], Any],
    ) -> tuple[Tensors, Tensor]:
        """For each input the whole masks ``[b, H, W]``; the losses ``[b, n_steps]``."""
        level, *ends = self._begin(generator)
        masks = tuple(
            level[:, None, None].to(x).repeat(1, *view.grid).requires_grad_()
            for view, x in zip(self.views, self.images, strict=True)
        )
        optimizer = Adam(masks, lr)
        losses = []
        for _ in range(n_steps):
            with torch.enable_grad():
                scores = self._scores(masks, generator, moves=True)
                known = scores.detach().to(precise(scores)).requires_grad_()
                evidence, price = loss.of_scores(known, *ends), loss.of_masks(masks)
                by_price = torch.autograd.grad(price.sum(), masks)
                # By way of the score: a model in half precision could not bear the slope.
                (slope,) = torch.autograd.grad(evidence.sum(), known)
                by_score = gradients_of(scores.sum(), masks)
            losses.append((evidence + price).detach())
            if len(losses) == 1:
                _check_finite(losses[0], *by_score)
            gradients = [
                slope[:, None, None].to(one) * one + other
                for one, other in zip(by_score, by_price, strict=True)
            ]
            optimizer.step(gradients)
            for mask in masks:
                mask.detach().clamp_(0, 1)
            on_step()
        history = torch.stack(losses, dim=1)
        _check_finite(history, *masks)
        with torch.no_grad():
            return tuple(view(mask) for view, mask in zip(self.views, masks, strict=True)), history

    @torch.no_grad()
    def _begin(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """The level ``[b]`` of the uniform masks to begin with; the scores' lower end, and gap.

        The level leaves half of the gap: an interval is halved again and again, and the last one
        divided in proportion.
        """

        def scores_at(level: Tensor) -> Tensor:
            levels = tuple(level[:, None, None].to(x) for x in self.images)
            return self._scores(levels, generator)

        low = self.images[0].new_zeros(len(self.rows))
        high = low + 1
        ends = torch.stack([scores_at(low), scores_at(high)])
        nothing, everything = ends.to(precise(ends))
        rounding = ROUNDING * torch.finfo(ends.dtype).eps
        level_ground = (everything - nothing).abs() <= rounding * everything.abs()
        gap = torch.where(level_ground, 1, everything - nothing)
        below, above = torch.zeros_like(gap), torch.ones_like(gap)
        for _ in range(N_HALVINGS):
            middle = (low + high) / 2
            part = (scores_at(middle) - nothing) / gap
            over = part >= 0.5
            low, below = torch.where(over, low, middle), torch.where(over, below, part)
            high, above = torch.where(over, middle, high), torch.where(over, part, above)
        _check_finite(nothing, everything, below, above)
        level = low + (0.5 - below) / (above - below) * (high - low)
        return torch.where(level_ground, 0.5, level), nothing, gap

    def _scores(self, masks: Tensors, generator: torch.Generator, *, moves: bool = False) -> Tensor:
        """The scores ``[b]`` of the images under masks on the grid, or of one value each."""
        perturbed = []
        sources = zip(self.images, self.references(generator), strict=True)
        for (image, reference), mask, view, dtype in zip(
            sources, masks, self.views, self.dtypes, strict=True
        ):
            whole = view(mask)[:, None] if mask.shape[1:] == view.grid else mask[:, None]
            shown, instead = (
                view.moved((image, reference), generator) if moves else (image, reference)
            )
            # lerp gives exactly the image where a mask is 1, in any precision.
            perturbed.append(torch.lerp(instead, shown, whole).to(dtype))
        return self.evaluator.one_score_each(tuple(perturbed), self.rows)


def _check_finite(*values: Tensor) -> None:
    if not all(bool(torch.isfinite(each).all()) for each in values):
        raise ValueError("forward_func must have finite outputs and gradients; got NaN or infinity")
