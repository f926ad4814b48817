"""Guided IG under PAIR's interface (Kapishnikov et al., CVPR 2021)."""

from __future__ import annotations

from captum_ext.attr.pair import MendedGuidedIG


class GuidedIG(MendedGuidedIG):
    """PAIR's ``GuidedIG`` that works on any NumPy: the same arguments, the same masks.

    Example:
        >>> import numpy as np
        >>> from saliency.core.base import INPUT_OUTPUT_GRADIENTS
        >>> def squares(x, call_model_args=None, expected_keys=None):
        ...     return {INPUT_OUTPUT_GRADIENTS: 2 * x}
        >>> GuidedIG().GetMask(np.array([1.0, 3.0]), squares, x_steps=1000).round(1)
        array([1., 9.])
    """
