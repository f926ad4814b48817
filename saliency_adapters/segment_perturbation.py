"""Segment perturbation as a PAIR saliency class."""

from __future__ import annotations

from typing import Any

from captum_ext import attr
from captum_ext.perturbation import Attributer, Perturber, Sampler, Segmenter
from saliency_adapters.from_captum import FromCaptum


class SegmentPerturbation(FromCaptum):
    """Perturbs segments of an image, by any combination of the four parts.

    Its presets (``RISE``, ``SegmentLime``, ``SegmentShap``, ``CIU``, ``SegmentPda``) have classes
    of their own here.

    Args:
        segmenter, sampler, perturber, attributer: see :class:`captum_ext.attr.SegmentPerturbation`.
        **settings: arguments of its ``attribute()``.

    Example:
        >>> import numpy as np
        >>> from captum_ext import perturbation as p
        >>> from saliency.core.base import OUTPUT_LAYER_VALUES
        >>> def top_half(x, call_model_args=None, expected_keys=None):
        ...     return {OUTPUT_LAYER_VALUES: x[:, :2].sum((1, 2, 3))}
        >>> parts = p.Grid(2, 2), p.ShapSampler(), p.SolidColor(0.0), p.KernelShapAttributer()
        >>> method = SegmentPerturbation(*parts, n_samples=16)
        >>> method.GetMask(np.ones((4, 4, 1)), top_half)[:, 0, 0].round(4) + 0
        array([4., 4., 0., 0.])
    """

    def __init__(
        self,
        segmenter: Segmenter,
        sampler: Sampler,
        perturber: Perturber,
        attributer: Attributer,
        **settings: Any,
    ) -> None:
        super().__init__(
            attr.SegmentPerturbation,
            segmenter=segmenter,
            sampler=sampler,
            perturber=perturber,
            attributer=attributer,
            **settings,
        )
