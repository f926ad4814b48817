"""Examples of which masks keep some features, and show a baseline in place of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from captum_ext.perturbation.feature_masks import one_for_each, pixel_masks
from captum_ext.perturbation.mask_search.search import MaskRequest, Show
from captum_ext.perturbation.probability_evaluator import ProbabilityEvaluator
from captum_ext.perturbation.regions import Features, features_of, masked_regions
from captum_ext.perturbation.rows import perturb_each


class KeptExample:
    """An example, its baseline, and what masks ``[n, G]`` make of them.

    Args:
        xs: for each input ``[...]``.
        baselines: likewise.
        features: of the example; G of them.

    Attributes:
        live: ``[G]`` of bool on the CPU, the features in which example and baseline differ.

    Example:
        >>> from captum_ext.perturbation.regions import MaskedRegions
        >>> features = Features([MaskedRegions(torch.tensor([[0, 0, 1]]))])
        >>> example = KeptExample([torch.ones(1, 3)], [torch.zeros(1, 3)], features)
        >>> example(torch.tensor([[True, False], [False, True]]))[0].tolist()
        [[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]
    """

    def __init__(
        self, xs: Sequence[Tensor], baselines: Sequence[Tensor], features: Features
    ) -> None:
        self.xs, self.baselines, self.features = tuple(xs), tuple(baselines), features
        device = self.xs[0].device
        numbers = features.spread(torch.arange(len(features), device=device))
        self.live = torch.zeros(len(features), dtype=torch.bool)
        self._numbers = []
        for x, baseline, number in zip(self.xs, self.baselines, numbers, strict=True):
            self.live[number[x != baseline].cpu()] = True
            # Channels of a pixel are for the most part one feature: looked up once.
            shared = number.dim() > 1 and bool((number == number[:1]).all())
            self._numbers.append(number[:1] if shared else number)

    def __call__(self, masks: Tensor) -> tuple[Tensor, ...]:
        """For each input what the masks show of it, ``[n, ...]``."""
        return tuple(
            torch.where(masks.to(x.device)[:, number], x, baseline)
            for x, baseline, number in zip(self.xs, self.baselines, self._numbers, strict=True)
        )

    def spread(self, values: Tensor) -> tuple[Tensor, ...]:
        """Values of the features ``[G]`` as a map for each input, of its shape and device."""
        return self.features.spread(values.to(self.xs[0].device))


def kept_examples(
    inputs: tuple[Tensor, ...], baselines: tuple[Tensor, ...], feature_mask: Any = None
) -> list[KeptExample]:
    """The examples of a batch, with the features of a mask, or a feature for each pixel.

    Args:
        inputs, baselines: for each input ``[B, ...]``.
        feature_mask: in Captum's form.

    Raises:
        TypeError, ValueError: masks that do not fit, or for some inputs only.

    Example:
        >>> images = torch.ones(2, 3, 4, 4)
        >>> [len(example.features) for example in kept_examples((images,), (0 * images,))]
        [16, 16]
    """
    masks = one_for_each(feature_mask, inputs)
    if all(mask is None for mask in masks):
        masks = pixel_masks(inputs)
    elif any(mask is None for mask in masks):
        raise ValueError("feature_mask must hold a mask for each input, or none for all")
    columns = [masked_regions(mask, x) for mask, x in zip(masks, inputs, strict=True)]
    # Copies: a search goes on to show its example when the caller has changed the inputs.
    copies = ([x.clone() for x in tensors] for tensors in (inputs, baselines))
    rows = (zip(*tensors, strict=True) for tensors in copies)
    return [KeptExample(*each) for each in zip(*rows, features_of(columns), strict=True)]


def scores_of_masks(
    evaluator: ProbabilityEvaluator, inputs: tuple[Tensor, ...], examples: Sequence[KeptExample]
) -> Show:
    """What :func:`captum_ext.perturbation.mask_search.search_masks` asks: the scores of masks.

    Args:
        evaluator: of the model.
        inputs: for each input ``[B, ...]``.
        examples: of the batch.
    """

    def show(requests: Sequence[MaskRequest]) -> list[Tensor]:
        masks = dict(requests)
        counts = [len(masks.get(number, ())) for number in range(len(examples))]

        def row(number: int) -> Callable[[Tensor], tuple[Tensor, ...]]:
            return lambda rows: examples[number](masks[number][rows.cpu()])

        perturb = perturb_each([row(number) for number in range(len(examples))])
        scores = evaluator.each(inputs, perturb, counts, evaluator.check)
        evaluator.trusted = True
        return [scores[number] for number, _ in requests]

    return show
