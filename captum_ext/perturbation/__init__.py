"""The words that perturbation methods share."""

from captum_ext.perturbation.feature_masks import grid_masks, pixel_masks

__all__ = ["grid_masks", "pixel_masks"]
