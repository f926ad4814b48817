"""How fast the engine and the path methods are: ratios measured side by side in one run.

    python -m benchmarks.speed [--samples 2000] [--rise-samples 8000] [--repeats 5] [--json FILE]

The model is torchvision's SqueezeNet 1.0 with random weights at 224 x 224 (speed does not depend on
the weights). Rivals run in turn, A B A B ..., and a ratio is taken within each pair, so that a
machine whose speed drifts does not favor one of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import Occlusion
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.rivals import (
    KernelShapOf,
    head_of,
    ig2_loop,
    pairs_guided_ig,
    published_function,
    quantus_srg,
)
from benchmarks.timing import SIZE, Clock, Row, ratio, row_of, subject
from captum_ext.attr import IG2, RISE, GuidedIG, SegmentPerturbation
from captum_ext.attr.pair import MendedGuidedIG
from captum_ext.call_model import CallModelFunction, call_model_function
from captum_ext.exam.report import versions
from captum_ext.forward import Evaluator
from captum_ext.metrics import srg
from captum_ext.perturbation import (
    FixedSampler,
    Grid,
    KernelShapAttributer,
    ShapSampler,
    SolidColor,
    grid_masks,
)

GRID = 7
WINDOW, STRIDE = 32, 16
RATIO_SAMPLES = 128
# A path is a loop over points: a few tell what each costs.
PATH_STEPS, REFERENCES, STEP_SIZE, GUIDED_STEPS = 10, 8, 1.0, 20
# Masked evaluations of KernelSHAP; images and steps of SRG, of which Quantus wants a divisor of the
# image's values; samples of RISE.
SHAP_SAMPLES, SRG_IMAGES, SRG_STEPS, RISE_SAMPLES = 400, 16, 12, 8000


def masked_run(model: nn.Module, image: Tensor, n_samples: int, **settings: Any) -> Tensor:
    """Scores ``image`` under ``n_samples`` random soft grids: a perturbation method at work."""
    generator = torch.Generator().manual_seed(0)
    grids = torch.rand(n_samples, 1, GRID, GRID, generator=generator).round()

    def perturb(examples: Tensor, samples: Tensor) -> Tensor:
        masks = functional.interpolate(grids[samples], SIZE, mode="bilinear")
        return image[examples] * masks

    return Evaluator(model, target=0, **settings)(image, perturb, n_samples)


def window_run(model: nn.Module, image: Tensor) -> Tensor:
    """Captum's Occlusion by way of the evaluator: the same windows, one score each."""
    starts = range(0, SIZE - WINDOW + 1, STRIDE)
    corners = torch.tensor([(row, col) for row in starts for col in starts])
    line = torch.arange(SIZE)

    def perturb(examples: Tensor, samples: Tensor) -> Tensor:
        row, col = corners[samples].T[..., None]
        inside_row = (line >= row) & (line < row + WINDOW)
        inside_col = (line >= col) & (line < col + WINDOW)
        return image[examples] * ~(inside_row[:, None, :, None] & inside_col[:, None, None, :])

    return Evaluator(model, target=0)(image, perturb, len(corners))


def captum_occlusion(model: nn.Module, image: Tensor) -> Tensor:
    return Occlusion(model).attribute(
        image,
        sliding_window_shapes=(3, WINDOW, WINDOW),
        strides=(3, STRIDE, STRIDE),
        target=0,
        perturbations_per_eval=32,
    )


def rise_run(model: nn.Module, image: Tensor, n_samples: int) -> Tensor:
    attribution: Tensor = RISE(model).attribute(image, target=0, n_samples=n_samples)
    return attribution


def share_in_model(n_samples: int, rise_samples: int, processes: int) -> Iterator[Row]:
    """Part of the wall time inside the model, and how memory grows with the samples.

    Measured in several fresh processes: how the C library returns memory to the system, which
    decides what an allocation costs, is settled anew by chance in each.
    """
    for what, run, count in (
        (f"{n_samples} masked samples", masked_run, n_samples),
        (f"RISE with {rise_samples} samples", rise_run, rise_samples),
    ):
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            shares, growths = zip(*pool.map(_long_run, [(run, count)] * processes, 1), strict=True)
            pool.close()
            pool.join()
        yield row_of(f"wall time inside the model, {what}", list(shares), "%")
        yield row_of(f"peak memory of {what} over that of 64", list(growths), "MiB")


def _long_run(job: tuple[Callable[..., Any], int]) -> tuple[float, float]:
    """Percent of the wall time inside the model, and the growth of the peak memory in MiB."""
    run, n_samples = job
    model, image = subject()
    clock = Clock(model)
    run(clock, image, 64)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock.seconds = 0.0
    start = time.perf_counter()
    run(clock, image, n_samples)
    share = 100 * clock.seconds / (time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return share, (peak - peak_before) / 1024


def bare_products(model: nn.Module, image: Tensor, batch_size: int) -> None:
    """The passes of IG2 and nothing else: one forward and two backward products per point."""
    seen: list[Tensor] = []
    hook = head_of(model).register_forward_hook(lambda m, args, output: seen.append(args[0]))
    batch = image.expand(batch_size, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    for _ in range(PATH_STEPS * REFERENCES // batch_size):
        x = batch.detach().requires_grad_()
        output = model(x)[:, 0].sum()
        torch.autograd.grad(output, x, retain_graph=True)
        torch.autograd.grad(seen.pop().square().sum(), x)
    hook.remove()


class PathRivals:
    """Path methods and their NumPy versions, on the same model and image."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        generator = torch.Generator().manual_seed(1)
        self.model, self.image = model, image
        self.references = torch.rand(REFERENCES, 3, SIZE, SIZE, generator=generator).to(image)
        self.arrays = image[0].movedim(0, -1).numpy(), self.references.movedim(1, -1).numpy()
        self.function = call_model_function(model, 0)
        self.published = published_function(model)

    def ig2(self) -> Tensor:
        method = IG2(self.model, head_of(self.model), attribute_to_layer_input=True)
        attribution: Tensor = method.attribute(
            self.image,
            self.references,
            target=0,
            n_steps=PATH_STEPS,
            step_size=STEP_SIZE,
            clip=(0.0, 1.0),
        )
        return attribution

    def ig2_loop(self, function: CallModelFunction) -> np.ndarray:
        return ig2_loop(function, *self.arrays, PATH_STEPS, STEP_SIZE)

    def guided_ig(self) -> Tensor:
        attribution: Tensor = GuidedIG(self.model).attribute(
            self.image, target=0, n_steps=GUIDED_STEPS
        )
        return attribution

    def guided_ig_adapter(self) -> np.ndarray:
        return MendedGuidedIG().GetMask(self.arrays[0], self.function, x_steps=GUIDED_STEPS)

    def pairs_guided_ig(self) -> np.ndarray:
        return pairs_guided_ig(self.function, self.arrays[0], GUIDED_STEPS)

    def check(self) -> None:
        """Speed counts between equal results only."""
        pairs = {
            "IG2": (self.ig2(), self.ig2_loop(self.published)),
            "IG2 on our function": (self.ig2(), self.ig2_loop(self.function)),
            "Guided IG": (self.guided_ig(), self.pairs_guided_ig()),
        }
        for what, (ours, theirs) in pairs.items():
            result = ours[0].movedim(0, -1).numpy()
            worst = float(np.abs(result - theirs).max() / np.abs(theirs).max())
            if worst > 1e-6:
                raise SystemExit(f"{what}: results differ by {worst:.2g} of the largest value")


def path_methods(repeats: int) -> list[Row]:
    """IG2 and Guided IG against their NumPy versions, and IG2 against its bare passes."""
    model, image = subject()
    # In float32 a path amplifies rounding; in float64 it shows that both compute the same.
    PathRivals(model.double(), image.double()).check()
    rivals = PathRivals(model.float(), image)
    return [
        ratio(
            "IG2 against a NumPy loop on the authors' kind of function",
            lambda: rivals.ig2_loop(rivals.published),
            rivals.ig2,
            repeats,
        ),
        ratio(
            "IG2 against that loop on captum_ext's call_model_function",
            lambda: rivals.ig2_loop(rivals.function),
            rivals.ig2,
            repeats,
        ),
        ratio(
            "IG2 against its bare passes (1 is the bound)",
            lambda: bare_products(model, image, REFERENCES // 2),
            rivals.ig2,
            repeats,
        ),
        ratio(
            "Guided IG against PAIR's, its NumPy call mended",
            rivals.pairs_guided_ig,
            rivals.guided_ig,
            repeats,
        ),
        ratio(
            "Guided IG's adapter against PAIR's, its NumPy call mended",
            rivals.pairs_guided_ig,
            rivals.guided_ig_adapter,
            repeats,
        ),
    ]


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


def measure(n_samples: int, rise_samples: int, repeats: int) -> Iterator[Row]:
    """All figures, each as soon as it is there."""
    model, image = subject()

    def run(**settings: Any) -> Callable[[], Tensor]:
        return lambda: masked_run(model, image, RATIO_SAMPLES, **settings)

    yield from share_in_model(n_samples, rise_samples, repeats)
    contiguous = run(channels_last=False)
    yield ratio("channels_last against contiguous batches", contiguous, run(), repeats)
    for size in (1, 32):
        what = f"default batch against {size} a time"
        yield ratio(what, run(batch_size=size), run(), repeats)
    yield ratio("bf16 autocast against float32", run(), run(autocast=torch.bfloat16), repeats)
    yield ratio(
        "occlusion windows: evaluator against captum.attr.Occlusion",
        lambda: captum_occlusion(model, image),
        lambda: window_run(model, image),
        repeats,
    )
    yield from kernel_shap(repeats, max(2 * GRID**2, min(SHAP_SAMPLES, n_samples)))
    yield from occlusion_metric(repeats)
    yield from path_methods(repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=2000, help="of the long run")
    parser.add_argument("--rise-samples", type=int, default=RISE_SAMPLES, help="of RISE's long run")
    parser.add_argument("--repeats", type=int, default=5, help="pairs, and processes")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    print(f"{'':66}{'median':>10} {'':6}(range)", flush=True)
    rows = []
    for row in measure(args.samples, args.rise_samples, args.repeats):
        rows.append(row)
        print(row, flush=True)
    if args.json is not None:
        content = {
            "versions": versions(),
            "threads": torch.get_num_threads(),
            "rows": [asdict(row) for row in rows],
        }
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
