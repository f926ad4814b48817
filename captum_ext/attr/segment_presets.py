"""RISE, LIME, KernelSHAP, CIU and PDA on segments: presets of :class:`SegmentPerturbation`.

Each takes the settings of its paper or of its authors' code, and any other part in their place.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from skimage.segmentation import quickshift, slic
from torch import Tensor

from captum_ext.attr.preset import SMALL_SIDE, Parts, Preset, segment_defaults
from captum_ext.budgets import Cells, Knob, grid_of
from captum_ext.perturbation import (
    BernoulliSampler,
    ColorHistogram,
    Grid,
    KernelShapAttributer,
    LinearLimeAttributer,
    OriginalCiuAttributer,
    PdaAttributer,
    RiseAttributer,
    ShapSampler,
    SingleFeatureSampler,
    SkimageSegments,
    SolidColor,
)
from captum_ext.spec import MethodSpec, Need

#: Gray of the package py-ciu-image.
CIU_GRAY = 190 / 255
#: Features beyond which a linear fit of as many coefficients takes too long.
MAX_FITTED_FEATURES = 1024
#: Features beyond which one sample for each, S x S, takes too much memory.
MAX_SINGLE_FEATURES = 4096


class RISE(Preset):
    """RISE: randomized input sampling, the mean score of the masks that show a cell.

    By default 4,000 samples of a 7 x 7 grid with bilinear edges, each cell kept with p = 0.5, the
    rest black (0, which is gray in normalized images: see
    :class:`captum_ext.forward.Preprocessed`). The original moreover shifts each mask by a random
    part of a cell; here masks stay where they are, so that every cell has a score. Other settings
    are other parts: ``RISE(model, Grid(9, 9, "bilinear"), BernoulliSampler(0.3))``.

    Takes the arguments of :class:`Preset`.

    Paper: Petsiuk et al., BMVC 2018 (arXiv 1806.07421).

    Example:
        >>> import torch
        >>> method = RISE(lambda x: x[:, :, :4].sum((1, 2, 3)))
        >>> heat = method.attribute(torch.ones(1, 3, 28, 28), n_samples=400, generator=0)
        >>> bool(heat[0, 0, :4].mean() > heat[0, 0, 8:].mean())
        True
    """

    parts = Parts(
        Grid(7, 7, "bilinear"),
        BernoulliSampler(0.5),
        SolidColor(0.0),
        RiseAttributer(),
    )
    n_samples = 4000


class SegmentLime(Preset):
    """LIME on an image's segments, with a linear surrogate.

    By default 1,000 samples of quickshift's segments (its settings those of the package lime), each
    kept with p = 0.5, the rest in the image's mean color. The surrogate is an ordinary linear
    model, without kernel and penalty.

    Takes the arguments of :class:`Preset`.

    Paper: Ribeiro et al., KDD 2016 (arXiv 1602.04938).

    Example:
        >>> import torch
        >>> mask = torch.arange(4).reshape(1, 1, 2, 2)
        >>> method = SegmentLime(lambda x: x[:, 0, 0, 0], perturber=SolidColor(0.0))
        >>> heat = method.attribute(torch.ones(1, 1, 2, 2), feature_mask=mask)
        >>> heat.round(decimals=4).abs()[0, 0, 0]
        tensor([1., 0.])
    """

    parts = Parts(
        SkimageSegments(quickshift, kernel_size=4, max_dist=200, ratio=0.2),
        BernoulliSampler(0.5),
        SolidColor("mean"),
        LinearLimeAttributer(),
    )
    n_samples = 1000


class SegmentShap(Preset):
    """KernelSHAP on an image's segments.

    By default 1,000 samples of about 50 SLIC segments, those that weigh most in Shapley values
    first, the rest in the image's mean color.

    Takes the arguments of :class:`Preset`.

    Paper: Lundberg and Lee, NeurIPS 2017 (arXiv 1705.07874).

    Example:
        >>> import torch
        >>> mask = torch.arange(4).reshape(1, 1, 2, 2)
        >>> method = SegmentShap(lambda x: x.prod(-1).sum((1, 2)), perturber=SolidColor(0.0))
        >>> method.attribute(torch.ones(1, 1, 2, 2), feature_mask=mask).round(decimals=4)
        tensor([[[[0.5000, 0.5000],
                  [0.5000, 0.5000]]]])
    """

    parts = Parts(
        SkimageSegments(slic, n_segments=50, compactness=30, sigma=3),
        ShapSampler(),
        SolidColor("mean"),
        KernelShapAttributer(),
    )
    n_samples = 1000


class CIU(Preset):
    """Contextual influence: importance times utility of an image's segments.

    By default about 50 SLIC segments, each made gray in turn, as the package py-ciu-image does. The
    importance, or the utility, is had by ``attributer=OriginalCiuAttributer(value="importance")``.

    Takes the arguments of :class:`Preset`.

    Paper: Främling et al., 2020 (arXiv 2009.13996).

    Example:
        >>> import torch
        >>> mask = torch.arange(4).reshape(1, 1, 2, 2)
        >>> CIU(lambda x: x[:, 0, 0, 0]).attribute(torch.ones(1, 1, 2, 2), feature_mask=mask)
        tensor([[[[0.5000, -0.0000],
                  [-0.0000, -0.0000]]]])
    """

    parts = Parts(
        SkimageSegments(slic, n_segments=50, compactness=10),
        SingleFeatureSampler(add_none=True),
        SolidColor(CIU_GRAY),
        OriginalCiuAttributer(),
    )


class SegmentPda(Preset):
    """Prediction difference analysis of an image's segments.

    By default about 200 SLIC segments, each replaced in turn ten times by a color drawn from the
    histogram of the image's colors; the weight of evidence. The model must return probabilities.

    Takes the arguments of :class:`Preset`.

    Paper: Wei et al., ICPR 2018 (superpixels); Zintgraf et al., ICLR 2017 (arXiv 1702.04595).

    Example:
        >>> import torch
        >>> mask = torch.arange(4).reshape(1, 1, 2, 2)
        >>> attributer = PdaAttributer("probability")
        >>> method = SegmentPda(lambda x: x[:, 0, 0, 0], attributer=attributer)
        >>> image = torch.tensor([[[[0.75, 0.25], [0.25, 0.25]]]])
        >>> bool(method.attribute(image, feature_mask=mask)[0, 0, 0, 0] > 0)
        True
    """

    parts = Parts(
        SkimageSegments(slic, n_segments=200, compactness=10),
        SingleFeatureSampler(add_none=True, repeats=10),
        ColorHistogram(8),
        PdaAttributer("evidence"),
    )


def _spec(
    name: str,
    title: str,
    family: str,
    paper: str,
    attribution: type[Preset],
    needs: frozenset[Need] = frozenset(),
    stochastic: bool = True,
    **settings: Any,
) -> MethodSpec:
    defaults = settings.pop("defaults", segment_defaults)
    return MethodSpec(
        name,
        title,
        family,
        paper,
        attribution,
        needs,
        defaults=defaults,
        stochastic=stochastic,
        **settings,
    )


def _slic_of(inputs: tuple[Tensor, ...], most: int) -> tuple[Tensor, ...]:
    """SLIC's segments, of no more than ``most`` for each image.

    A grid's cells, where an image is small, or SLIC finds less than half as many.
    """
    masks, offset = [], 0
    for x, cells in zip(inputs, grid_of(inputs, most), strict=True):
        labels = torch.stack([_segments_of(image, most, cells[0, 0]) for image in x])[:, None]
        masks.append(labels + offset)
        offset += int(labels.max()) + 1
    return tuple(masks)


def _segments_of(image: Tensor, most: int, cells: Tensor) -> Tensor:
    cells = cells - cells.min()
    divisible = len(image) in (1, 3) and min(image.shape[1:]) >= SMALL_SIDE
    wanted = most if divisible else 0
    while 2 * wanted >= most:
        labels = SkimageSegments(slic, n_segments=wanted, compactness=10)(image).labels
        if most <= 2 * (int(labels.max()) + 1) <= 2 * most:
            return labels
        # SLIC keeps to the number of segments roughly.
        wanted -= 1 + wanted // 10
    return cells


# A linear fit wants a few times more samples than it has coefficients.
_fitted = partial(segment_defaults, samples_per_feature=4)
# As many as LIME was measured with where it became the default (benchmarks/default_method.py).
_lime = partial(_fitted, n_image_samples=500)

SPECS = (
    _spec(
        "rise",
        "RISE",
        "perturbation",
        "Petsiuk et al., BMVC 2018",
        RISE,
        budget=Knob("n_samples"),
    ),
    _spec(
        "segment_lime",
        "Segment LIME",
        "surrogate",
        "Ribeiro et al., KDD 2016; Pihlgren and Främling, 2024",
        SegmentLime,
        defaults=_lime,
        budget=Knob("n_samples"),
        max_features=MAX_FITTED_FEATURES,
    ),
    _spec(
        "segment_shap",
        "Segment SHAP",
        "shapley",
        "Lundberg and Lee, NeurIPS 2017; Pihlgren and Främling, 2024",
        SegmentShap,
        defaults=_fitted,
        budget=Knob("n_samples", least=2),
        max_features=MAX_FITTED_FEATURES,
    ),
    _spec(
        "ciu",
        "CIU",
        "perturbation",
        "Främling et al., 2020",
        CIU,
        stochastic=False,
        budget=Cells(make=_slic_of, least=4),
        max_features=MAX_SINGLE_FEATURES,
    ),
    _spec(
        "segment_pda",
        "Segment PDA",
        "perturbation",
        "Wei et al., ICPR 2018; Zintgraf et al., ICLR 2017",
        SegmentPda,
        frozenset({Need.PROBABILITIES}),
        budget=Cells(each=10, make=_slic_of, least=4),
        max_features=MAX_SINGLE_FEATURES,
    ),
)
