"""KernelSHAP against Captum's, and SRG against Quantus'."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.speed.rivals import KernelShapOf, quantus_srg
from benchmarks.speed.timing import SIZE, Row, ratio, subject
from captum_ext.attr import SegmentPerturbation
from captum_ext.metrics import srg
from captum_ext.perturbation import (
    FixedSampler,
    Grid,
    KernelShapAttributer,
    ShapSampler,
    SolidColor,
    grid_masks,
)

#: Segments along a side.
GRID = 7
#: Masked evaluations of KernelSHAP; images and steps of SRG, of which Quantus wants a divisor of
#: the image's values.
SHAP_SAMPLES, SRG_IMAGES, SRG_STEPS = 400, 16, 12


def kernel_shap(repeats: int, n_samples: int = SHAP_SAMPLES) -> list[Row]:
    """KernelSHAP against Captum's, on the same segments and samples."""
    model, image = subject()
    samples = ShapSampler()(GRID * GRID, n_samples)
    ours = SegmentPerturbation(
        model, Grid(GRID, GRID), FixedSampler(samples), SolidColor(0.0), KernelShapAttributer()
    )
    theirs = KernelShapOf(model, samples)
    (mask,) = grid_masks((image,), GRID, GRID)

    def captums(at_a_time: int) -> Callable[[], Tensor]:
        return lambda: theirs.attribute(
            image,
            target=0,
            feature_mask=mask,
            n_samples=n_samples,
            perturbations_per_eval=at_a_time,
        )

    found = ours.attribute(image, target=0)
    worst = float((found - captums(5)()).abs().max() / found.abs().max())
    if worst > 1e-2:  # Captum fits in float32, and holds the constraint by a large weight
        raise SystemExit(f"KernelSHAP: results differ by {worst:.2g} of the largest value")
    return [
        ratio(
            f"KernelSHAP, {n_samples} samples, against Captum's, {size} at a time",
            captums(size),
            lambda: ours.attribute(image, target=0),
            repeats,
        )
        for size in (1, 5, 32)
    ]


def occlusion_metric(repeats: int, n_images: int = SRG_IMAGES) -> list[Row]:
    """SRG against two runs of Quantus' PixelFlipping, with the same steps; nothing without it."""
    model, _ = subject()
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(n_images, 3, SIZE, SIZE, generator=generator)
    images[:, :, 0, 0] = 0  # Quantus' black is the image's lowest value
    maps = torch.randn(n_images, 1, SIZE, SIZE, generator=generator)
    theirs = quantus_srg(model, images, maps, SRG_STEPS)
    if theirs is None:
        return []

    def ours() -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = srg(
            model,
            images,
            maps,
            0,
            n_steps=SRG_STEPS + 1,
            perturber=SolidColor(0.0),
            return_curves=True,
        )
        return found

    # Quantus counts values, not pixels: at the end of a step a pixel may have lost one channel.
    curves = ours()[1][:, :, 1:]
    worst = float((curves - theirs()).abs().max() / curves.abs().max())
    if worst > 1e-2:
        raise SystemExit(f"SRG: curves differ by {worst:.2g} of the largest value")
    what = f"SRG of {n_images} images against quantus.PixelFlipping (both directions)"
    return [ratio(what, theirs, ours, repeats)]
