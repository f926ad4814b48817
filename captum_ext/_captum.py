"""Every private name of Captum that is used, in one place: any version may change them."""

import captum

#: The versions of Captum that have them all.
VERSIONS = "0.8 to 0.9"

try:
    from captum._utils.common import _run_forward, _select_targets
    from captum._utils.gradient import compute_layer_gradients_and_eval
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR
    from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES, SUPPORTED_NON_LINEAR_LAYERS
    from captum.attr._utils.approximation_methods import SUPPORTED_METHODS, approximation_parameters
    from captum.attr._utils.lrp_rules import (
        Alpha1_Beta0_Rule,
        EpsilonRule,
        IdentityRule,
        PropagationRule,
    )
    from captum.log import log_usage
except ImportError as error:
    raise ImportError(
        f"captum {captum.__version__} lacks what captum_ext uses: {error}; captum_ext works with "
        f"captum {VERSIONS}",
        name=error.name,
        path=error.path,
    ) from error

__all__ = [
    "SUPPORTED_LAYERS_WITH_RULES",
    "SUPPORTED_METHODS",
    "SUPPORTED_NON_LINEAR",
    "SUPPORTED_NON_LINEAR_LAYERS",
    "VERSIONS",
    "Alpha1_Beta0_Rule",
    "EpsilonRule",
    "IdentityRule",
    "PropagationRule",
    "_run_forward",
    "_select_targets",
    "approximation_parameters",
    "compute_layer_gradients_and_eval",
    "log_usage",
]
