"""Preset: the base class of methods on segments."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from captum_ext.attr.segment_perturbation import SegmentPerturbation
from captum_ext.perturbation import (
    Attributer,
    Perturber,
    Sampler,
    Segmenter,
    SegmentsOrGrid,
    grid_masks,
    pixel_masks,
)
from captum_ext.spec import Resolution

#: Pixels of a side below which a segmentation finds next to nothing.
SMALL_SIDE = 32


@dataclass(frozen=True)
class Parts:
    """The four parts that a preset takes where it is given no other."""

    segmenter: Segmenter
    sampler: Sampler
    perturber: Perturber
    attributer: Attributer


class Preset(SegmentPerturbation):
    """A :class:`SegmentPerturbation` whose parts are known.

    Args:
        forward_func: the model.
        segmenter, sampler, perturber, attributer: in place of the preset's own; see
            :class:`SegmentPerturbation`.

    Warns:
        AttributionWarning: when used: the preset's own segmenter finds fewer than 8 segments in an
            example, which gets a grid, see :class:`captum_ext.perturbation.SegmentsOrGrid`.
    """

    parts: Parts

    def __init__(
        self,
        forward_func: Callable[..., Any],
        segmenter: Segmenter | tuple[Segmenter, ...] | None = None,
        sampler: Sampler | None = None,
        perturber: Perturber | tuple[Perturber, ...] | None = None,
        attributer: Attributer | None = None,
    ) -> None:
        # Copy the parts, so that a change of a part affects only this object.
        own = deepcopy(self.parts)
        super().__init__(
            forward_func,
            own.segmenter if segmenter is None else segmenter,
            own.sampler if sampler is None else sampler,
            own.perturber if perturber is None else perturber,
            own.attributer if attributer is None else attributer,
        )
        self._default_segmenter = own.segmenter

    def _segmenters(self) -> Segmenter | tuple[Segmenter, ...]:
        # Only what the caller chose may fail on an image.
        if self.segmenter is self._default_segmenter:
            return SegmentsOrGrid(self._default_segmenter)
        return self.segmenter


def segment_defaults(
    inputs: tuple[Tensor, ...],
    resolution: Resolution,
    seed: int,
    *,
    samples_per_feature: int = 0,
    n_image_samples: int | None = None,
) -> dict[str, Any]:
    """A spec's ``defaults``: one segment for each pixel, or the preset's own segments.

    An image that is too small for them gets a grid.

    Args:
        inputs, resolution, seed: see :data:`captum_ext.spec.Defaults`.
        samples_per_feature: of pixels, at least 1,000 in all; 0 leaves the number to the preset.
        n_image_samples: of a preset's own segments; None leaves the number to the preset.

    Example:
        >>> import torch
        >>> segment_defaults((torch.rand(1, 3, 64, 64),), "image", 0, n_image_samples=500)
        {'n_samples': 500}
    """
    if resolution == "pixel":
        masks: tuple[Tensor | None, ...] = pixel_masks(inputs)
        n_features = sum(int(mask.numel()) for mask in masks if mask is not None)
        n_samples = max(1000, samples_per_feature * n_features)
        return {"feature_mask": masks} | ({"n_samples": n_samples} if samples_per_feature else {})
    settings: dict[str, Any] = {} if n_image_samples is None else {"n_samples": n_image_samples}
    small = [x.dim() == 4 and min(x.shape[2:]) < SMALL_SIDE for x in inputs]
    if not any(small):
        return settings
    masks = tuple(m if s else None for m, s in zip(grid_masks(inputs), small, strict=True))
    return settings | {"feature_mask": masks}
