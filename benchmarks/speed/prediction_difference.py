"""PDA of every pixel and gray level of the center-pixel model, against a plain implementation."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.speed.timing import Row, in_fresh_processes, peak_memory, row_of
from captum_ext.attr import PDA
from captum_ext.exam import CenterPixelModel
from captum_ext.perturbation import Uniform

LEVELS = 256
#: Pixels that the plain way is measured on; it takes hours for all.
SLICE = 30


def plain_pda(model: nn.Module, image: Tensor, label: int, pixels: list[int]) -> Tensor:
    """Probabilities without each of some pixels: a batch of whole images for each of them."""
    levels = torch.linspace(0, 1, LEVELS, dtype=image.dtype)
    without = []
    for pixel in pixels:
        rows = image.flatten().repeat(LEVELS, 1)
        rows[:, pixel] = levels
        with torch.no_grad():
            without.append(model(rows.reshape(LEVELS, *image.shape[1:]))[:, label].mean())
    return torch.stack(without)


def center_pixel_map(size: int, processes: int) -> Iterator[Row]:
    """The map's time, its process' peak memory, and the ratio to the plain way.

    Each fresh process computes the map, then the slice.
    """
    found = in_fresh_processes(_pair, size, processes)
    seconds, peaks, plain = map(list, zip(*found, strict=True))
    what = f"PDA map of {size} x {size} pixels, {LEVELS} levels"
    yield row_of(what, seconds, "s")
    yield row_of("peak memory of its process", peaks, "MiB")
    ratios = [slow / quick for slow, quick in zip(plain, seconds, strict=True)]
    yield row_of(f"... against a batch per pixel ({SLICE} pixels, extrapolated)", ratios, "times")


def _pair(size: int) -> tuple[float, float, float]:
    """Seconds of the map, peak MiB, and seconds that the plain way would take."""
    model = CenterPixelModel(size)
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(LEVELS, (1, 1, size, size), generator=generator)
    image = levels.double() / (LEVELS - 1)
    with torch.no_grad():
        label = int(model(image).argmax())
    start = time.perf_counter()
    settings = {"target": label, "probabilities": "given", "mode": "probability"}
    found = PDA(model).attribute(image, Uniform(LEVELS), **settings)
    seconds = time.perf_counter() - start
    peak = peak_memory()
    step = max(1, image.numel() // SLICE)
    pixels = [model.center_index, *range(0, image.numel(), step)][:SLICE]
    start = time.perf_counter()
    without = plain_pda(model, image, label, pixels)
    plain = (time.perf_counter() - start) / len(pixels) * image.numel()
    with torch.no_grad():
        difference = model(image)[0, label] - without - found.flatten()[pixels]
    if float(difference.abs().max()) > 1e-9:
        raise SystemExit(f"PDA: results differ by {float(difference.abs().max()):.2g}")
    return seconds, peak, plain
