"""The engine: its choices against others, and its share of the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from captum.attr import Occlusion
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.speed.timing import (
    SIZE,
    Clock,
    Row,
    in_fresh_processes,
    peak_memory,
    ratio,
    row_of,
    subject,
)
from benchmarks.subjects import PHOTOGRAPHS, photograph
from captum_ext.attr import PDA, RISE
from captum_ext.forward import Evaluator
from captum_ext.perturbation import ConditionalGaussian, Empirical, Marginal

GRID = 7
#: Of occlusion; then of PDA.
WINDOW, STRIDE = 32, 16
PDA_WINDOW, PDA_PADDING = 10, 4
RATIO_SAMPLES = 128


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


@cache
def marginal(conditional: bool) -> Marginal:
    """Fitted once: what is measured is its use."""
    data = torch.stack([photograph(name, SIZE) for name in PHOTOGRAPHS])
    if conditional:
        return ConditionalGaussian(data, PDA_WINDOW, PDA_PADDING)
    return Empirical(data.repeat(3, 1, 1, 1))  # ten samples want ten images


# Side by side, for time's sake: a stride of 4 takes six times as many windows of the same cost.
def pda_run(model: nn.Module, image: Tensor, n_samples: int, conditional: bool) -> Tensor:
    attribution: Tensor = PDA(model).attribute(
        image,
        marginal(conditional),
        target=0,
        sliding_window_shapes=PDA_WINDOW,
        strides=PDA_WINDOW,
        n_samples=n_samples,
    )
    return attribution


def share_in_model(
    n_samples: int, rise_samples: int, pda_samples: int, processes: int
) -> Iterator[Row]:
    """Part of the wall time inside the model, and how memory grows with the samples.

    Measured in several fresh processes: how the C library returns memory to the system, which
    decides what an allocation costs, is settled anew by chance in each.
    """
    windows = f"{PDA_WINDOW} x {PDA_WINDOW}, {pda_samples} samples a window"
    for what, run, few, many in (
        (f"{n_samples} masked samples", masked_run, 64, n_samples),
        (f"RISE with {rise_samples} samples", rise_run, 64, rise_samples),
        (f"marginal PDA, {windows}", partial(pda_run, conditional=False), 1, pda_samples),
        (f"conditional PDA, {windows}", partial(pda_run, conditional=True), 1, pda_samples),
    ):
        found = in_fresh_processes(_long_run, (run, few, many), processes)
        shares, growths = map(list, zip(*found, strict=True))
        yield row_of(f"inside the model: {what}", shares, "%")
        yield row_of(f"peak memory over that of {few}", growths, "MiB")


def _long_run(job: tuple[Callable[..., Any], int, int]) -> tuple[float, float]:
    """Percent of the wall time inside the model, and the growth of the peak memory in MiB."""
    run, few, many = job
    model, image = subject()
    clock = Clock(model)
    run(clock, image, few)
    peak_before = peak_memory()
    clock.seconds = 0.0
    start = time.perf_counter()
    run(clock, image, many)
    share = 100 * clock.seconds / (time.perf_counter() - start)
    return share, peak_memory() - peak_before


def choices(repeats: int) -> Iterator[Row]:
    """What each of the evaluator's choices brings."""
    model, image = subject()

    def run(**settings: Any) -> Callable[[], Tensor]:
        return lambda: masked_run(model, image, RATIO_SAMPLES, **settings)

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
