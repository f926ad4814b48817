"""The metrics that a study may ask for, by name."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from captum_ext import metrics
from captum_ext.baselines import blur
from captum_ext.checks import check_choice
from captum_ext.exam import KnownModel, rounding_error, score
from captum_ext.forward import count_passes
from captum_ext.perturbation import Perturber, SolidColor, Transformed
from captum_ext.study.run.metric_context import Measure, MetricContext, Spared, StudyMetric

#: What stands for what is removed, by name; a number is a gray level in [0, 1].
PERTURBERS: dict[str, Callable[[], Perturber]] = {
    "mean": lambda: SolidColor("mean"),
    "median": lambda: SolidColor("median"),
    "black": lambda: SolidColor(0.0),
    "white": lambda: SolidColor(1.0),
    "blur": lambda: Transformed(blur, sigma=metrics.occlusion.INSERTION_BLUR),
}
# What a study says itself, or has no use for.
_OWN = {
    *("forward_func", "inputs", "attributions", "target", "additional_forward_args"),
    *("mask", "method", "arguments", "generator"),
    *("return_curves", "return_convergence_delta", "show_progress", "segments", "baselines"),
}


def _curves(question: MetricContext, settings: Mapping[str, Any]) -> metrics.OcclusionCurves:
    """LIF's and MIF's curves, which metrics with the same settings share."""
    chosen = dict(settings)
    normalize = chosen.pop("normalize", False)
    key = f"curves {question.seed} " + json.dumps(chosen, sort_keys=True, default=repr)
    if key in question.memory:
        curves, cost = question.memory[key]
        question.spared.forward += cost.forward
        question.spared.seconds += cost.seconds
    else:
        start = time.perf_counter()
        with count_passes(question.subject.counted) as passes:
            curves = question.call(
                metrics.occlusion_curves, _with_perturber(chosen), generator=question.seed
            )
        cost = Spared(passes.forward, time.perf_counter() - start)
        question.memory[key] = curves, cost
    return curves.normalized() if normalize else curves


def _with_perturber(settings: Mapping[str, Any]) -> dict[str, Any]:
    given = settings.get("perturber")
    if given is None or isinstance(given, Perturber):
        return dict(settings)
    if isinstance(given, str):
        made = PERTURBERS[check_choice(given, "perturber", PERTURBERS)]()
    else:
        made = SolidColor(given)
    return {**settings, "perturber": made}


def _lif(question: MetricContext, settings: Mapping[str, Any]) -> Tensor:
    return _curves(question, settings).lif.mean(1)


def _mif(question: MetricContext, settings: Mapping[str, Any]) -> Tensor:
    return _curves(question, settings).mif.mean(1)


def _srg(question: MetricContext, settings: Mapping[str, Any]) -> Tensor:
    curves = _curves(question, settings)
    return curves.lif.mean(1) - curves.mif.mean(1)


def _seeded(metric: Callable[..., Tensor]) -> Measure:
    def measure(question: MetricContext, settings: Mapping[str, Any]) -> Tensor:
        chosen = _with_perturber(settings)
        result: Tensor = question.call(metric, chosen, generator=question.seed)
        return result

    return measure


def _plain(metric: Callable[..., Tensor]) -> Measure:
    def measure(question: MetricContext, settings: Mapping[str, Any]) -> Tensor:
        result: Tensor = question.call(metric, settings)
        return result

    return measure


def _localized(metric: Callable[..., Tensor]) -> Measure:
    def measure(question: MetricContext, settings: Mapping[str, Any]) -> Tensor:
        mask = question.mask
        if mask is None:
            raise ValueError("there is no mask of this image")
        result: Tensor = question.call(metric, settings, mask=mask)
        return result

    return measure


def _max_sensitivity(question: MetricContext, settings: Mapping[str, Any]) -> Any:
    def method(image: Tensor, target: Any) -> Tensor:
        return question.explain(question.asked, image, target)

    return metrics.max_sensitivity(
        question.asked,
        question.aim.seen,
        question.attribution,
        question.aim.target,
        method=method,
        generator=question.seed,
        **settings,
    )


def _parameter_randomization(question: MetricContext, settings: Mapping[str, Any]) -> Any:
    return metrics.parameter_randomization(
        question.asked,
        question.aim.seen,
        question.attribution,
        question.aim.target,
        method=question.explain,
        generator=question.seed,
        **settings,
    )


def _shapley_agreement(question: MetricContext, settings: Mapping[str, Any]) -> float:
    exact = question.subject.shapley_values(question.aim, question.asked)
    truth = question.subject.truth()
    if exact is None or truth is None or not isinstance(question.asked, KnownModel):
        raise ValueError("the exact Shapley values of this model are not known")
    floor = rounding_error(question.asked, question.aim.seen, question.aim.target)
    return score(question.attribution, truth, floor, exact).agreement


def _takes(*functions: Callable[..., Any], runs_model: bool = True) -> frozenset[str]:
    """What metrics may be told in a study."""
    names = {
        parameter.name
        for function in functions
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    return frozenset(names - _OWN | ({"output"} if runs_model else set()))


_CURVES = _takes(metrics.occlusion_curves, metrics.srg)
_STEPS = _takes(metrics.deletion) | {"perturbations_per_eval"}
_INFORMATION = _takes(metrics.accuracy_information_curve, runs_model=False)

METRICS: dict[str, StudyMetric] = {
    metric.name: metric
    for metric in (
        StudyMetric(
            "srg",
            "SRG",
            "higher",
            "symmetric relevance gain: LIF minus MIF; 0 is chance",
            _srg,
            _CURVES,
        ),
        StudyMetric(
            "lif",
            "LIF",
            "higher",
            "mean output while the least relevant pixels are removed first",
            _lif,
            _CURVES,
        ),
        StudyMetric(
            "mif",
            "MIF",
            "lower",
            "mean output while the most relevant pixels are removed first",
            _mif,
            _CURVES,
        ),
        StudyMetric(
            "deletion",
            "Deletion",
            "lower",
            "area under the output while the most relevant pixels turn black",
            _seeded(metrics.deletion),
            _STEPS,
        ),
        StudyMetric(
            "insertion",
            "Insertion",
            "higher",
            "area under the output while the most relevant pixels come back into a blurred image",
            _seeded(metrics.insertion),
            _STEPS,
        ),
        StudyMetric(
            "gini",
            "Gini index",
            "none",
            "sparseness of the map: 0 even, 1 a single pixel",
            _plain(metrics.gini),
        ),
        StudyMetric(
            "infidelity",
            "Infidelity",
            "lower",
            "how badly the map foretells what the removal of squares does to the output",
            # Of the output that all are compared on, which need not be the one explained.
            _seeded(metrics.infidelity),
            _takes(metrics.infidelity),
            stochastic=True,
        ),
        StudyMetric(
            "max_sensitivity",
            "Max-sensitivity",
            "lower",
            "largest relative change of the map when the image hardly changes",
            _max_sensitivity,
            _takes(metrics.max_sensitivity, runs_model=False),
            stochastic=True,
        ),
        StudyMetric(
            "parameter_randomization",
            "Similarity after randomization",
            "lower",
            "similarity of the maps before and after the model's layers are initialized anew",
            _parameter_randomization,
            _takes(metrics.parameter_randomization, runs_model=False),
            stochastic=True,
        ),
        StudyMetric(
            "aic",
            "AIC",
            "higher",
            "area under the curve of being right against the picture's information",
            _seeded(metrics.accuracy_information_curve),
            _INFORMATION,
            stochastic=True,
        ),
        StudyMetric(
            "sic",
            "SIC",
            "higher",
            "area under the curve of the probability against the picture's information",
            _seeded(
                lambda *call, **more: metrics.softmax_information_curve(
                    *call, output="probabilities", **more
                )
            ),
            _INFORMATION | {"min_pred_value"},
            stochastic=True,
        ),
        StudyMetric(
            "pointing_game",
            "Pointing game",
            "higher",
            "whether the most relevant pixel lies on the object",
            _localized(metrics.pointing_game),
            needs_mask=True,
        ),
        StudyMetric(
            "relevance_mass",
            "Relevance mass",
            "higher",
            "the part of the positive relevance that lies on the object",
            _localized(metrics.relevance_mass),
            needs_mask=True,
        ),
        StudyMetric(
            "relevance_rank",
            "Relevance rank",
            "higher",
            "the part of as many most relevant pixels as the object has that lie on it",
            _localized(metrics.relevance_rank),
            needs_mask=True,
        ),
        StudyMetric(
            "top_k_intersection",
            "Top-k intersection",
            "higher",
            "the part of the k most relevant pixels that lie on the object",
            _localized(metrics.top_k_intersection),
            _takes(metrics.top_k_intersection, runs_model=False),
            needs_mask=True,
        ),
        StudyMetric(
            "shapley_agreement",
            "Agreement with Shapley",
            "higher",
            "cosine similarity to the exact Shapley values against black, which exam models know",
            _shapley_agreement,
            needs_exam=True,
        ),
    )
}
