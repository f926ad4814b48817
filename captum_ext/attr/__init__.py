"""The methods that Captum lacks: one file, one method, one spec.

This package registers every module in this folder that declares ``SPEC`` (or several ``SPECS``).
Import the classes from ``captum_ext.attr``.
"""

from __future__ import annotations

from captum_ext.attr.blur_ig import BlurIG
from captum_ext.attr.genetic_ipha import GeneticIPHA
from captum_ext.attr.grad_cam import InputGradCam
from captum_ext.attr.guided_ig import GuidedIG
from captum_ext.attr.ig2 import IG2
from captum_ext.attr.lrp import AlphaBetaRule, UniformLRP
from captum_ext.attr.meaningful_perturbation import MeaningfulPerturbation
from captum_ext.attr.pair import FromSaliency
from captum_ext.attr.prediction_difference import PDA, PredictionDifference
from captum_ext.attr.segment_perturbation import SegmentAttribution, SegmentPerturbation
from captum_ext.attr.segment_presets import CIU, RISE, SegmentLime, SegmentPda, SegmentShap
from captum_ext.attr.xrai import XRAI
from captum_ext.spec import MethodSpec
from captum_ext.spec_files import specs_in

__all__ = [
    "CIU",
    "IG2",
    "PDA",
    "RISE",
    "XRAI",
    "AlphaBetaRule",
    "BlurIG",
    "FromSaliency",
    "GeneticIPHA",
    "GuidedIG",
    "InputGradCam",
    "MeaningfulPerturbation",
    "PredictionDifference",
    "SegmentAttribution",
    "SegmentLime",
    "SegmentPda",
    "SegmentPerturbation",
    "SegmentShap",
    "UniformLRP",
]

#: The specs of all methods in this folder.
SPECS: tuple[MethodSpec, ...] = specs_in(__name__, "SPEC")

for _spec in SPECS:
    globals()[_spec.attribution.__name__] = _spec.attribution
    if _spec.attribution.__name__ not in __all__:
        __all__.append(_spec.attribution.__name__)
