"""A toy segment method: how much the score falls without each cell of a grid."""

from captum_ext.attr.preset import Parts, Preset, segment_defaults
from captum_ext.perturbation import (
    Grid,
    OriginalCiuAttributer,
    SingleFeatureSampler,
    SolidColor,
)
from captum_ext.spec import MethodSpec


class ToySegments(Preset):
    """Contextual influence of the cells of a grid, each made black in turn."""

    parts = Parts(
        Grid(4, 4),
        SingleFeatureSampler(add_none=True),
        SolidColor(0.0),
        OriginalCiuAttributer(),
    )


SPEC = MethodSpec(
    "toy_segments", "Toy segments", "perturbation", "-", ToySegments, defaults=segment_defaults
)
