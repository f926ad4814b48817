"""Metrics: which attribution to believe.

Every metric is called alike, ``metric(forward_func, inputs, attributions, target, ...)``, whether
it runs the model or not, and gives one number for each example, ``[B]``.

- occlusion: what the output does as relevant, or irrelevant, pixels or segments are removed;
- localization: whether relevance lies where the object is known to be;
- information: how fast the model's answer returns with the picture's information;
- robustness: whether relevance explains what changes do, and stays where next to nothing changes;
- randomization: whether it depends on what the model has learned;
- complexity: on how few pixels it lies;
- agreement: whether it is as Shapley's axioms have it, where the model's exact values are known.

A metric is one function and its ``METRIC = MetricSpec(...)`` in a file of this folder: there the
registry finds it.
"""

from captum_ext.metrics.agreement import shapley_agreement
from captum_ext.metrics.complexity import gini
from captum_ext.metrics.information import accuracy_information_curve, softmax_information_curve
from captum_ext.metrics.insertion_deletion import deletion, insertion
from captum_ext.metrics.localization import (
    pointing_game,
    relevance_mass,
    relevance_rank,
    top_k_intersection,
)
from captum_ext.metrics.occlusion import (
    OcclusionCurves,
    lif,
    mif,
    occlusion_curves,
    srg,
)
from captum_ext.metrics.randomization import parameter_randomization
from captum_ext.metrics.robustness import infidelity, max_sensitivity

__all__ = [
    "OcclusionCurves",
    "accuracy_information_curve",
    "deletion",
    "gini",
    "infidelity",
    "insertion",
    "lif",
    "max_sensitivity",
    "mif",
    "occlusion_curves",
    "parameter_randomization",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
    "shapley_agreement",
    "softmax_information_curve",
    "srg",
    "top_k_intersection",
]
