r"""Meaningful perturbation: the smallest region that decides the score (Fong and Vedaldi, 2017).

A mask ``m`` in [0, 1] keeps the image ``x`` where it is 1 and shows a reference ``r``, in which
there is nothing to see, where it is 0. It is learned on a coarse grid by Adam. To delete the
evidence, or to preserve it, with as little of the image as possible:

    perturbed = M x + (1 - M) r,   M = m enlarged to the image and smoothed

    delete:    minimize  l1 mean|1 - m| + tv TV(m) + s
    preserve:  minimize  l1 mean|m|     + tv TV(m) - s

    s = (f(perturbed) - f(r)) / |f(x) - f(r)|
    TV(m) = sum of |difference of neighbors|^tv_beta, in sides of the image

Each step moves the image and its reference at random by some pixels under the mask, so that no
detail of one position can decide. What is ours and not the paper's: the score counts in parts of
what the whole image adds to it, so that the same ``l1`` and ``tv`` suit probabilities and logits;
to go beyond the two ends, f(r) and f(x), gains nothing; and all begins from a uniform mask at which
half of the score is lost, because where a softmax is saturated there is no gradient to follow.

Paper: ICCV 2017, arXiv 1704.03296.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from captum.attr import PerturbationAttribution
from torch import Tensor
from tqdm.auto import tqdm

from captum_ext._captum import log_usage
from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.budgets import Knob
from captum_ext.checks import (
    MOST_STEPS,
    check_baselines,
    check_choice,
    check_int,
    check_number,
    precise,
)
from captum_ext.forward import Evaluator, batch_size_or_default, in_standard_layout
from captum_ext.perturbation.learned_masks.learner import MaskLearner
from captum_ext.perturbation.learned_masks.loss import MaskLoss
from captum_ext.perturbation.learned_masks.mask_views import MaskView
from captum_ext.perturbation.learned_masks.references import REFERENCES, References
from captum_ext.randomness import GeneratorLike, example_generator, seed_of
from captum_ext.spec import MethodSpec, Need, Resolution
from captum_ext.targets import check_images

MODES = ("delete", "preserve")

Tensors = tuple[Tensor, ...]


class MeaningfulPerturbation(AttributionMixin, PerturbationAttribution):
    """Learns the smallest region of an image that decides the score.

    An example's mask does not depend on its batch mates, in float64. In float32 a deep network
    rounds otherwise in another batch, and the mask can then differ as much as with another seed.

    Example:
        >>> method = MeaningfulPerturbation(lambda x: x[:, :, 8:16, 8:16].mean((1, 2, 3)))
        >>> image = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
        >>> heat = method.attribute(image, baselines=0, mask_size=12, n_steps=50)[0, 0]
        >>> bool(heat[9:15, 9:15].mean() > 0.8), bool(heat[:6].mean() < 0.1)
        (True, True)
    """

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        mode: str = "delete",
        n_steps: int = 300,
        lr: float = 0.1,
        l1: float = 1.0,
        tv: float = 0.3,
        tv_beta: float = 3.0,
        mask_size: int | tuple[int, int] = 28,
        smoothing: float | None = None,
        jitter: int | None = None,
        reference: str = "blur",
        normalize: bool = True,
        internal_batch_size: int | None = None,
        generator: GeneratorLike = None,
        return_history: bool = False,
        show_progress: bool = False,
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: images ``[B, C, H, W]`` of a floating-point dtype, or a tuple of such tensors,
                each with a mask of its own, which are learned together.
            baselines: the reference, in any of Captum's forms; None makes it, see ``reference``.
            mode: ``"delete"`` looks for what must go for the score to fall, ``"preserve"`` for
                what must stay for it to remain.
            n_steps: steps of Adam, each a forward and a backward pass of every example; ten
                forward passes look for the mask to begin with.
            lr: their size.
            l1: the price of the whole image's area, in units of the score. At 1, what is
                chosen carries more of the score than an average part of the same area.
            tv: the price of a border as long as a side of the image, in units of the score.
            tv_beta: the exponent of the total variation, at least 1. A large one allows gradual
                changes.
            mask_size: cells of the mask along the shorter side, or ``(rows, columns)``; no more
                than there are pixels.
            smoothing: standard deviation of the Gaussian that the enlarged mask is smoothed with,
                in pixels; 0 does not. None takes 5 for a shorter side of 224, and in proportion.
            jitter: the farthest that a step moves the image under the mask, in pixels, each input
                by itself; below the shortest side. None takes 2, where that is.
            reference: where ``baselines`` is None: ``"blur"`` (10 pixels for a shorter side of
                224, in proportion, at least 1), ``"constant"``, the image's mean color, or
                ``"noise"`` with the image's mean, spread and range, drawn anew for each step (and
                once for the score of the reference).
            normalize: count the score in parts of the gap between image and reference. False
                takes it as it is; ``l1`` and ``tv`` are then in its units.
            internal_batch_size: examples that learn together; None chooses by device and size.
            generator: seed or torch.Generator of what is drawn.
            return_history: also give each example's loss before each step.
            show_progress: a bar on stderr.

        Returns:
            Attributions like ``inputs``, in [0, 1] and the same for all channels: ``1 - M`` for
            ``"delete"``, ``M`` for ``"preserve"``; then, if requested, the losses
            ``[B, n_steps]``.

        Raises:
            TypeError: inputs that are not of a floating-point dtype; an argument of a wrong type.
            ValueError: inputs that are no images; baselines of another shape; an argument out of
                its range; a model without gradient, or whose output or gradient is not finite.
        """
        tensors = check_images(inputs, target, additional_forward_args)
        loss = MaskLoss(
            check_choice(mode, "mode", MODES) == "delete",
            check_number(l1, "l1", low=0),
            check_number(tv, "tv", low=0),
            check_number(tv_beta, "tv_beta", low=1),
            normalize,
        )
        check_int(n_steps, "n_steps", minimum=1, maximum=MOST_STEPS)
        lr = check_number(lr, "lr", low=0, above=True)
        views = tuple(MaskView(x, mask_size, smoothing, jitter) for x in tensors)
        check_choice(reference, "reference", REFERENCES)
        fixed = None if baselines is None else check_baselines(baselines, tensors)
        seed = seed_of(generator)
        batch_size = batch_size_or_default(internal_batch_size, tensors, self.forward_func)
        evaluator = Evaluator(self.forward_func, target, additional_forward_args)
        numbers = torch.arange(len(tensors[0]), device=tensors[0].device)
        chunks = numbers.tensor_split(-(-len(numbers) // batch_size))
        results: list[tuple[Tensors, Tensor]] = []
        with tqdm(
            total=len(chunks) * n_steps,
            desc="Meaningful Perturbation",
            disable=not show_progress,
            file=sys.stderr,
        ) as bar:
            for rows in chunks:
                images = tuple(x[rows].to(precise(x)) for x in tensors)
                if fixed is None:
                    references = References(images, reference)
                else:
                    references = References(tuple(r[rows].to(precise(r)) for r in fixed))
                learner = MaskLearner(evaluator, rows, images, references, views, tensors)
                learned = learner.learn(loss, n_steps, lr, example_generator(seed), bar.update)
                results.append(learned)
        masks, histories = zip(*results, strict=True)
        attributions = tuple(
            in_standard_layout(loss.chosen(torch.cat(parts))[:, None].to(x.dtype).expand_as(x))
            for parts, x in zip(zip(*masks, strict=True), tensors, strict=True)
        )
        result = attributions if isinstance(inputs, tuple) else attributions[0]
        history = torch.cat(histories).to(tensors[0].dtype)
        return (result, history) if return_history else result


def _defaults(inputs: Tensors, resolution: Resolution, seed: int) -> dict[str, Any]:
    if resolution == "image" or any(x.dim() != 4 for x in inputs):
        return {}
    finest = max(min(x.shape[2:]) for x in inputs)
    return {"mask_size": finest, "smoothing": 0.0, "tv": 0.0, "jitter": 0, "n_steps": 60}


SPEC = MethodSpec(
    "meaningful_perturbation",
    "Meaningful Perturbation",
    "perturbation",
    "Fong and Vedaldi, ICCV 2017",
    MeaningfulPerturbation,
    frozenset({Need.GRADIENTS}),
    budget=Knob("n_steps", each=2, base=10),
    defaults=_defaults,
    stochastic=True,
    deviations={"other_seed": "nothing is drawn where each pixel counts: a jitter would blur them"},
)
