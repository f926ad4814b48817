"""The parts that perturbation methods share.

- segmenters split an image into segments, whose edges may be soft;
- samplers choose which segments each sample keeps;
- perturbers replace the removed segments;
- attributers compute a score of each segment from the model's outputs;
- marginals draw replacements for a region of an input;
- :mod:`captum_ext.perturbation.mask_search` searches for the mask that decides a score.

Each is usable on its own; :class:`captum_ext.attr.SegmentPerturbation` puts the first four
together, :class:`captum_ext.attr.PredictionDifference` takes the fifth, and
:class:`captum_ext.attr.GeneticIPHA` the last.
"""

from captum_ext.perturbation.feature_masks import grid_masks, pixel_masks
from captum_ext.perturbation.marginals import (
    ConditionalGaussian,
    Empirical,
    Marginal,
    OwnPatches,
    Uniform,
)
from captum_ext.perturbation.segments.attributers import (
    Attributer,
    KernelShapAttributer,
    LinearLimeAttributer,
    PdaAttributer,
    RiseAttributer,
)
from captum_ext.perturbation.segments.ciu import Ciu, CiuAttributer, OriginalCiuAttributer
from captum_ext.perturbation.segments.inpainting import Inpaint
from captum_ext.perturbation.segments.perturbers import (
    Blend,
    ColorHistogram,
    Perturber,
    RandomColor,
    ReplaceImage,
    SolidColor,
    Transformed,
)
from captum_ext.perturbation.segments.samplers import (
    BernoulliSampler,
    FixedSampler,
    SampleProbabilitySampler,
    Sampler,
    ShapSampler,
    SingleFeatureSampler,
)
from captum_ext.perturbation.segments.segmenters import (
    Fade,
    FeatureMaskSegments,
    Grid,
    Segmenter,
    SkimageSegments,
)
from captum_ext.perturbation.segments.segments import Segments
from captum_ext.perturbation.segments.segments_or_grid import SegmentsOrGrid

__all__ = [
    "Attributer",
    "BernoulliSampler",
    "Blend",
    "Ciu",
    "CiuAttributer",
    "ColorHistogram",
    "ConditionalGaussian",
    "Empirical",
    "Fade",
    "FeatureMaskSegments",
    "FixedSampler",
    "Grid",
    "Inpaint",
    "KernelShapAttributer",
    "LinearLimeAttributer",
    "Marginal",
    "OriginalCiuAttributer",
    "OwnPatches",
    "PdaAttributer",
    "Perturber",
    "RandomColor",
    "ReplaceImage",
    "RiseAttributer",
    "SampleProbabilitySampler",
    "Sampler",
    "Segmenter",
    "Segments",
    "SegmentsOrGrid",
    "ShapSampler",
    "SingleFeatureSampler",
    "SkimageSegments",
    "SolidColor",
    "Transformed",
    "Uniform",
    "grid_masks",
    "pixel_masks",
]
