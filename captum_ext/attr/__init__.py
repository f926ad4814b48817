"""The methods that Captum lacks: one file, one method, one spec.

Every module in this folder that declares a ``SPEC`` (or several as ``SPECS``) is found here by
itself, and its class can be imported from ``captum_ext.attr``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

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


def _find_specs() -> tuple[MethodSpec, ...]:
    specs: list[MethodSpec] = []
    for module_info in iter_modules(__path__, prefix=f"{__name__}."):
        module = import_module(module_info.name)
        specs.extend(getattr(module, "SPECS", ()))
        if hasattr(module, "SPEC"):
            specs.append(module.SPEC)
    return tuple(specs)


#: The specs of all methods in this folder.
SPECS = _find_specs()

for _spec in SPECS:
    globals()[_spec.attribution.__name__] = _spec.attribution
    if _spec.attribution.__name__ not in __all__:
        __all__.append(_spec.attribution.__name__)
