"""Prediction difference analysis (Zintgraf et al., ICLR 2017).

How much would the prediction change if part of the input were not known? What is not known is
averaged over what else might stand there, drawn from a marginal:

    p(c | x without x_i) = E[p(c | x with x_i' in place of x_i)]
    evidence_i = log2 odds(p(c | x)) - log2 odds(p(c | x without x_i))

Windows slide over the input; each value gets the mean over the windows that it lies in.

Papers: Zintgraf et al., ICLR 2017 (arXiv 1702.04595); Robnik-Šikonja and Kononenko, IEEE TKDE 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import PerturbationAttribution
from torch import Tensor, nn

from captum_ext._captum import log_usage
from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.budgets import SlidingWindows
from captum_ext.checks import MOST_STEPS, check_choice, check_int, described, precise
from captum_ext.forward import rows_per_call
from captum_ext.perturbation.feature_masks import one_for_each
from captum_ext.perturbation.marginals import Empirical, Marginal, OwnPatches, Uniform
from captum_ext.perturbation.marginals.replaced_example import ReplacedExample, mean_scores
from captum_ext.perturbation.probabilities import (
    MODES,
    MOST_EXAMPLES,
    Probabilities,
    ProbabilitiesLike,
    difference,
)
from captum_ext.perturbation.probability_evaluator import ActivationEvaluator
from captum_ext.perturbation.windows import window_features
from captum_ext.randomness import GeneratorLike, seed_of
from captum_ext.spec import MethodSpec, Need, Resolution
from captum_ext.targets import check_call

#: Training examples of each class, if ``n_train`` is not given.
TRAIN_PER_CLASS = 1000
#: How large windows on photographs are by default, which move by half of their size.
WINDOWS_ALONG_A_SIDE = 12


class PredictionDifference(AttributionMixin, PerturbationAttribution):
    """Prediction difference analysis: what knowing each part of the input does to the prediction.

    Args:
        forward_func: the model.
        layer: a module that runs inside ``forward_func``, to explain what comes out of it in place
            of the prediction: a unit ``target=(channel, row, column)``, the mean of a feature map
            ``target=channel``, or of all (None). The attribution is then the difference of the
            activations.

    Raises:
        TypeError: what is no model or layer.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        >>> images = torch.rand(5, 1, 4, 4)
        >>> PredictionDifference(model).attribute(images, Uniform(256), target=1).shape
        torch.Size([5, 1, 4, 4])
    """

    def __init__(self, forward_func: Callable[..., Any], layer: nn.Module | None = None) -> None:
        super().__init__(forward_func)
        if layer is not None and not isinstance(layer, nn.Module):
            raise TypeError(f"layer must be a torch.nn.Module; got {type(layer).__name__}")
        self.layer = layer

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        marginal: Marginal | tuple[Marginal, ...],
        target: Any = None,
        additional_forward_args: Any = None,
        sliding_window_shapes: Any = 1,
        strides: Any = 1,
        feature_mask: Any = None,
        n_samples: int = 10,
        mode: str | None = None,
        n_train: int | None = None,
        n_classes: int | None = None,
        probabilities: ProbabilitiesLike = "softmax",
        perturbations_per_eval: int | None = None,
        generator: GeneratorLike = None,
        shortcut: bool = True,
        show_progress: bool = False,
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: ``[B, ...]`` of a floating-point dtype, images or others, or a tuple of such
                tensors, whose windows are replaced one at a time.
            marginal: what else might stand there; one for all inputs, or a tuple.
            sliding_window_shapes: of a window that is replaced at a time. A number counts along
                each dimension but the channels, which are replaced together; ``(rows, columns)``
                and Captum's ``(channels, rows, columns)`` do as well. A tuple of tuples where
                inputs is one.
            strides: how far windows move, likewise; at most a window's size. The last windows end
                at the border.
            feature_mask: whole numbers, what bears the same is replaced together, in place of
                windows.
            n_samples: draws from the marginal for each window, where it does not enumerate.
            mode: ``"evidence"`` (the default), ``"probability"`` or ``"information"``, see
                :func:`captum_ext.perturbation.probabilities.difference`; None for a layer.
            n_train: examples that the model was trained on; None: 1,000 of each class.
            n_classes: None takes those that the model tells of (two, where that is one number).
                Where classes are independent of each other, say 2.
            probabilities: ``"softmax"`` of the model's outputs, ``"given"``, where these are
                probabilities, ``"independent"``, where these need not sum to one, ``"auto"``,
                whichever of the first two they look like, or a function of them. Not for a layer.
            perturbations_per_eval: perturbed versions of each example that go into the model
                together; None chooses by device and size.
            generator: seed or torch.Generator of the draws.
            shortcut: use that a model which begins with (Flatten,) Linear needs no more than the
                change of a window. The results are equal up to rounding.
            show_progress: a bar on stderr.

        Returns:
            Attributions like ``inputs``: positive where knowing a value speaks for the target.

        Raises:
            TypeError: inputs, a marginal or a mask of another type.
            ValueError: windows larger than the input, strides larger than a window, a marginal
                that does not fit (before the model runs); outputs that are no probabilities.
        """
        tensors = check_call(inputs, target, additional_forward_args)
        if any(x.dim() < 2 for x in tensors):
            raise ValueError(f"inputs must be [B, ...]; got shape {tuple(tensors[0].shape)}")
        check_int(n_samples, "n_samples", minimum=1, maximum=MOST_STEPS)
        seed = seed_of(generator)
        marginals = _one_for_each_input(marginal, tensors)
        of_outputs = None if self.layer is not None else Probabilities(probabilities)
        measure = self._measure(mode, n_train, n_classes)
        partition = window_features(tensors, sliding_window_shapes, strides, feature_mask)
        examples = [
            ReplacedExample(xs, features, marginals, n_samples, seed)
            for xs, features in zip(zip(*tensors, strict=True), partition, strict=True)
        ]
        call = (self.forward_func, target, additional_forward_args)
        evaluator = ActivationEvaluator(
            *call,
            batch_size=rows_per_call(perturbations_per_eval, len(tensors[0])),
            shortcut=shortcut,
            show_progress=show_progress,
            description=type(self).__name__,
        )
        evaluator.layer, evaluator.probabilities = self.layer, of_outputs
        once = [1] * len(examples)
        whole = torch.cat(
            evaluator.each(tensors, lambda which, _: tuple(x[which] for x in tensors), once)
        )
        evaluator.trusted = True
        without = mean_scores(evaluator, tensors, examples)
        like = tensors[0].new_empty(0, dtype=precise(tensors[0]))
        maps = [
            example.features.spread(measure(known, unknown, evaluator.n_classes).to(like))
            for example, known, unknown in zip(examples, whole.cpu().double(), without, strict=True)
        ]
        results = tuple(
            torch.stack(each).to(x)
            for each, x in zip(zip(*maps, strict=True), tensors, strict=True)
        )
        return results if isinstance(inputs, tuple) else results[0]

    def _measure(
        self, mode: str | None, n_train: int | None, n_classes: int | None
    ) -> Callable[[Tensor, Tensor, int], Tensor]:
        """What tells how the prediction for the whole differs from those without a feature."""
        if n_train is not None:
            check_int(n_train, "n_train", minimum=1, maximum=MOST_EXAMPLES)
        if n_classes is not None:
            check_int(n_classes, "n_classes", minimum=2, maximum=MOST_EXAMPLES)
        if self.layer is not None:
            if mode is not None:
                raise ValueError(
                    "mode must be None for a layer, whose activations are compared; got "
                    f"{described(mode)}"
                )
            return lambda whole, without, _: whole - without
        chosen = "evidence" if mode is None else check_choice(mode, "mode", MODES)

        def measure(whole: Tensor, without: Tensor, model_classes: int) -> Tensor:
            classes = n_classes or model_classes
            return difference(whole, without, chosen, n_train or TRAIN_PER_CLASS * classes, classes)

        return measure


#: The method's short name.
PDA = PredictionDifference


def _one_for_each_input(marginal: Any, tensors: tuple[Tensor, ...]) -> tuple[Marginal, ...]:
    each = marginal if isinstance(marginal, tuple) else (marginal,) * len(tensors)
    for one in each:
        if not isinstance(one, Marginal):
            kind = one.__name__ if isinstance(one, type) else type(one).__name__
            raise TypeError(f"marginal must be a Marginal, as Uniform(256); got {kind}")
    marginals: tuple[Marginal, ...] = one_for_each(each, tensors, "marginal")
    return marginals


def _defaults(inputs: tuple[Tensor, ...], resolution: Resolution, seed: int) -> dict[str, Any]:
    """Single pixels and all their gray levels, or windows of the same photograph."""
    given = {"probabilities": "auto"}
    if resolution == "pixel" or any(x.dim() != 4 for x in inputs):
        return given | {"marginal": Uniform(256)}
    windows, strides = [], []
    for channels, *sides in (x.shape[1:] for x in inputs):
        side = max(1, min(sides) // WINDOWS_ALONG_A_SIDE)
        windows.append((channels, side, side))
        strides.append((channels, *[max(1, side // 2)] * 2))
    return given | {
        "marginal": OwnPatches(),
        "sliding_window_shapes": tuple(windows),
        "strides": tuple(strides),
    }


SPEC = MethodSpec(
    "pda",
    "Prediction Difference",
    "perturbation",
    "Zintgraf et al., ICLR 2017",
    PredictionDifference,
    frozenset({Need.PROBABILITIES}),
    budget=SlidingWindows(draws=True),
    defaults=_defaults,
    references=lambda references: {"marginal": tuple(map(Empirical, references))},
    stochastic=True,
    deviations={
        "target_none": "of one number it cannot tell how many classes there are (n_classes)"
    },
)
