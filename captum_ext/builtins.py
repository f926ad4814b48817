"""The specs of Captum's own methods: nothing is re-implemented here.

Each spec says how to build the method, which arguments suit an image, and where Captum's class is
known to deviate from the contract that :mod:`captum_ext.testing` checks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from captum import attr as ca
from torch import Tensor, nn

from captum_ext import baselines
from captum_ext._captum import Alpha1_Beta0_Rule, EpsilonRule, PropagationRule
from captum_ext.attr.grad_cam import InputGradCam
from captum_ext.attr.lrp import RULED_LAYERS, AlphaBetaRule, UniformLRP
from captum_ext.budgets import Call, Cells, Fixed, Knob, SlidingWindows
from captum_ext.perturbation import grid_masks, pixel_masks
from captum_ext.perturbation.windows import window_lengths
from captum_ext.soundness.identities import (
    PATH_TOLERANCE,
    ClassDependence,
    Completeness,
    Conservation,
    GuidedRelus,
    LayeredRelus,
)
from captum_ext.soundness.suitability import (
    without_deep_lift_rules,
    without_lrp_rules,
    without_relu,
)
from captum_ext.spec import MethodSpec, Need, Resolution

#: Inputs in a default background or reference set.
BACKGROUND_SIZE = 8
#: Bach et al. leave epsilon open; this damps weak contributions where outputs are of order 1.
LRP_EPSILON = 0.25
#: Features beyond which a linear fit (samples x features), or permuting one feature at a time,
#: takes hours.
MAX_REGRESSION_FEATURES = 1024
MAX_PERMUTED_FEATURES = 4096

_USE_IG = "take integrated_gradients on this model"
_GRAPH = {"no_graph": "Captum multiplies by inputs that still require gradients"}
_SHARED_NOISE = {
    check: "Captum draws one example's noise after the other's from the global state"
    for check in ("batch_mates", "additional_forward_args")
}
_SET_UNDER_NOISE = {
    "noise_tunnel": "NoiseTunnel expects one baseline per example, not a set of baselines"
}
_FLOAT32 = {
    check: "Captum gives float32 whatever the input"
    for check in ("shape_dtype_device", "tuple_inputs", "baseline_forms")
}
_SCALAR_TARGET = {"target_forms": "Captum takes the length of a 0-d target tensor"}

Inputs = tuple[Tensor, ...]
_GRADIENTS = frozenset({Need.GRADIENTS})
_MODULE = frozenset({Need.GRADIENTS, Need.MODULE})


def _smooth_grad_defaults(inputs: Inputs, resolution: Resolution, seed: int) -> dict[str, Any]:
    # Smilkov et al. 2017: noise of 10-20 % of the value range, some tens of samples.
    noise = tuple(0.15 * max(float(x.max() - x.min()), 1e-3) for x in inputs)
    return {"nt_samples": 25, "stdevs": noise, "nt_samples_batch_size": 5}


def _background_defaults(inputs: Inputs, resolution: Resolution, seed: int) -> dict[str, Any]:
    return {"baselines": _background(inputs, seed)}


def _gradient_shap_defaults(inputs: Inputs, resolution: Resolution, seed: int) -> dict[str, Any]:
    return {"baselines": _background(inputs, seed), "n_samples": 25}


def _background(inputs: Inputs, seed: int) -> Inputs:
    return tuple(baselines.uniform_noise(x, n=BACKGROUND_SIZE, generator=seed) for x in inputs)


def _occlusion_defaults(inputs: Inputs, resolution: Resolution, seed: int) -> dict[str, Any]:
    """Windows of a 15th of the image, half overlapping; at pixel resolution one pixel each."""
    windows, strides = [], []
    for x in inputs:
        sides = x.shape[2:] if x.dim() == 4 else x.shape[1:]
        coarse = resolution == "image" and x.dim() == 4
        window = [max(1, side // 15) if coarse else 1 for side in sides]
        stride = [max(1, side // 2) for side in window]
        channels = [x.shape[1]] if x.dim() == 4 else []
        windows.append(tuple(channels + window))
        strides.append(tuple(channels + stride))
    return {
        "sliding_window_shapes": tuple(windows),
        "strides": tuple(strides),
    }


def _occlusion_windows(inputs: Inputs, arguments: dict[str, Any]) -> dict[str, Any]:
    """Windows and strides of one number, too, as it is usual for images of one input."""
    if len(inputs) == 1:
        shape = inputs[0].shape[1:]
        for name in {"sliding_window_shapes", "strides"} & set(arguments):
            value = arguments[name]
            # Captum's form for several inputs is a tuple for each.
            one_for_each = isinstance(value, tuple) and any(isinstance(v, tuple) for v in value)
            if value is not None and not one_for_each:
                arguments[name] = window_lengths(value, shape, name, channels=(*shape, 1)[0])
    return arguments


def _feature_mask_defaults(
    inputs: Inputs,
    resolution: Resolution,
    seed: int,
    *,
    n_samples: Callable[[int], int] | None = None,
) -> dict[str, Any]:
    masks = pixel_masks(inputs) if resolution == "pixel" else grid_masks(inputs)
    arguments: dict[str, Any] = {"feature_mask": masks}
    if n_samples is not None:
        arguments["n_samples"] = n_samples(int(masks[-1].max()) + 1)
    return arguments


def _regression_samples(n_features: int) -> int:
    """A linear fit wants a few times more samples than it has coefficients."""
    return max(200, 4 * n_features)


def _permutations(n_features: int) -> int:
    return 10


def _features(call: Call) -> int:
    return call.n_features


def _deep_lift_shap_passes(call: Call) -> int:
    return 4 * call.n_baselines


def _smooth_grad(model: Callable[..., Any]) -> ca.NoiseTunnel:
    return ca.NoiseTunnel(ca.Saliency(model))


def _grad_cam_defaults(inputs: Inputs, resolution: Resolution, seed: int) -> dict[str, Any]:
    return {"relu_attributions": True}


def _lrp(model: nn.Module, rule: Callable[[], PropagationRule]) -> UniformLRP:
    return UniformLRP(model, rule)


def _lrp_spec(name: str, title: str, rule: Callable[[], PropagationRule]) -> MethodSpec:
    return MethodSpec(
        name,
        title,
        "propagation",
        "Bach et al., PLoS ONE 2015",
        UniformLRP,
        _MODULE | {Need.LOGITS},
        build=partial(_lrp, rule=rule),
        lacks=partial(without_lrp_rules, ruled=RULED_LAYERS),
        promises=(Conservation(),),
        promises_dummy=True,
        budget=Fixed(3),
        origin="captum",
    )


def _spec(
    name: str,
    title: str,
    family: str,
    paper: str,
    attribution: type[ca.Attribution],
    needs: frozenset[Need] = frozenset(),
    **settings: Any,
) -> MethodSpec:
    return MethodSpec(name, title, family, paper, attribution, needs, origin="captum", **settings)


SPECS: tuple[MethodSpec, ...] = (
    _spec(
        "saliency",
        "Saliency",
        "gradient",
        "Simonyan et al., ICLR workshop 2014",
        ca.Saliency,
        _GRADIENTS,
        promises_dummy=True,
        budget=Fixed(2),
    ),
    _spec(
        "input_x_gradient",
        "Input x Gradient",
        "gradient",
        "Shrikumar et al., 2016 (arXiv 1605.01713)",
        ca.InputXGradient,
        _GRADIENTS,
        promises_dummy=True,
        deviations=_GRAPH,
        budget=Fixed(2),
    ),
    _spec(
        "guided_backprop",
        "Guided Backprop",
        "propagation",
        "Springenberg et al., ICLR workshop 2015",
        ca.GuidedBackprop,
        _MODULE,
        lacks=without_relu,
        promises=(GuidedRelus(), ClassDependence()),
        promises_dummy=True,
        budget=Fixed(2),
    ),
    _spec(
        "deconvolution",
        "Deconvolution",
        "propagation",
        "Zeiler and Fergus, ECCV 2014",
        ca.Deconvolution,
        _MODULE,
        lacks=without_relu,
        promises=(GuidedRelus(deconvolution=True),),
        promises_dummy=True,
        budget=Fixed(2),
    ),
    _spec(
        "smooth_grad",
        "SmoothGrad",
        "gradient",
        "Smilkov et al., 2017 (arXiv 1706.03825)",
        ca.NoiseTunnel,
        _GRADIENTS,
        build=_smooth_grad,
        defaults=_smooth_grad_defaults,
        stochastic=True,
        promises_dummy=True,
        deviations=_SHARED_NOISE | {"batch_size": "its batches draw their noise in another order"},
        budget=Knob("nt_samples", each=2),
    ),
    _spec(
        "integrated_gradients",
        "Integrated Gradients",
        "path",
        "Sundararajan et al., ICML 2017",
        ca.IntegratedGradients,
        _GRADIENTS,
        promises=(Completeness(PATH_TOLERANCE, "take more n_steps", of_size=0.005),),
        promises_dummy=True,
        deviations=_GRAPH,
        budget=Knob("n_steps", each=2),
    ),
    _spec(
        "gradient_shap",
        "GradientShap",
        "path",
        "Lundberg and Lee, NeurIPS 2017; Erion et al., 2021",
        ca.GradientShap,
        _GRADIENTS | {Need.BACKGROUND},
        defaults=_gradient_shap_defaults,
        stochastic=True,
        promises_dummy=True,
        deviations=_SHARED_NOISE | _SET_UNDER_NOISE,
        budget=Knob("n_samples", each=2),
    ),
    _spec(
        "deep_lift",
        "DeepLift",
        "propagation",
        "Shrikumar et al., ICML 2017",
        ca.DeepLift,
        _MODULE,
        lacks=without_deep_lift_rules,
        promises=(Completeness(advice=_USE_IG),),
        promises_dummy=True,
        deviations=_GRAPH,
        budget=Fixed(4),
    ),
    _spec(
        "deep_lift_shap",
        "DeepLiftShap",
        "propagation",
        "Lundberg and Lee, NeurIPS 2017",
        ca.DeepLiftShap,
        _MODULE | {Need.BACKGROUND},
        lacks=without_deep_lift_rules,
        promises=(Completeness(advice=_USE_IG, of_set=True),),
        defaults=_background_defaults,
        promises_dummy=True,
        deviations=_GRAPH | _SET_UNDER_NOISE,
        budget=Fixed(_deep_lift_shap_passes),
    ),
    _lrp_spec("lrp_z", "LRP-z", EpsilonRule),
    _lrp_spec("lrp_epsilon", "LRP-ε", partial(EpsilonRule, epsilon=LRP_EPSILON)),
    _lrp_spec("lrp_alpha1_beta0", "LRP-α1β0", Alpha1_Beta0_Rule),
    _lrp_spec("lrp_alpha2_beta1", "LRP-α2β1", AlphaBetaRule),
    _spec(
        "occlusion",
        "Occlusion",
        "perturbation",
        "Zeiler and Fergus, ECCV 2014",
        ca.Occlusion,
        defaults=_occlusion_defaults,
        convert=_occlusion_windows,
        promises_dummy=True,
        deviations=_FLOAT32,
        budget=SlidingWindows(),
    ),
    _spec(
        "feature_ablation",
        "Feature Ablation",
        "perturbation",
        "Captum",
        ca.FeatureAblation,
        defaults=_feature_mask_defaults,
        promises_dummy=True,
        budget=Cells(),
    ),
    _spec(
        "lime",
        "LIME",
        "surrogate",
        "Ribeiro et al., KDD 2016",
        ca.Lime,
        defaults=partial(_feature_mask_defaults, n_samples=_regression_samples),
        stochastic=True,
        max_features=MAX_REGRESSION_FEATURES,
        deviations=_FLOAT32
        | _SCALAR_TARGET
        | _SHARED_NOISE
        | {"copy_and_pickle": "Captum's default kernel is a local function"},
        budget=Knob("n_samples"),
    ),
    _spec(
        "kernel_shap",
        "KernelSHAP",
        "shapley",
        "Lundberg and Lee, NeurIPS 2017",
        ca.KernelShap,
        promises=(Completeness(advice="take more n_samples", of_features=True),),
        min_features=2,
        defaults=partial(_feature_mask_defaults, n_samples=_regression_samples),
        stochastic=True,
        max_features=MAX_REGRESSION_FEATURES,
        deviations=_FLOAT32 | _SCALAR_TARGET | _SHARED_NOISE,
        budget=Knob("n_samples"),
    ),
    _spec(
        "shapley_value_sampling",
        "Shapley sampling",
        "shapley",
        "Castro et al., Comput. Oper. Res. 2009",
        ca.ShapleyValueSampling,
        promises=(Completeness(of_features=True),),
        defaults=partial(_feature_mask_defaults, n_samples=_permutations),
        stochastic=True,
        promises_dummy=True,
        max_features=MAX_PERMUTED_FEATURES,
        deviations=_FLOAT32,
        budget=Knob("n_samples", each=_features, base=1),
    ),
    _spec(
        "grad_cam",
        "Grad-CAM",
        "cam",
        "Selvaraju et al., ICCV 2017",
        InputGradCam,
        _MODULE | {Need.LAYER},
        defaults=_grad_cam_defaults,
        budget=Fixed(2),
    ),
    _spec(
        "guided_grad_cam",
        "Guided Grad-CAM",
        "cam",
        "Selvaraju et al., ICCV 2017",
        ca.GuidedGradCam,
        _MODULE | {Need.LAYER},
        lacks=without_relu,
        promises=(LayeredRelus(),),
        deviations=_GRAPH,
        budget=Fixed(4),
    ),
)
