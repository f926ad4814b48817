"""How benchmarks.speed times: rivals in turn, ratios within a pair, medians and ranges."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import squeezenet1_0

SIZE = 224


@dataclass
class Row:
    """One measured figure: its median and range."""

    what: str
    median: float
    low: float
    high: float
    unit: str

    def __str__(self) -> str:
        return f"{self.what:66}{self.median:10.3g} {self.unit:6}({self.low:.3g} - {self.high:.3g})"


def row_of(what: str, values: list[float], unit: str) -> Row:
    return Row(what, statistics.median(values), min(values), max(values), unit)


class Clock(nn.Module):
    """A model that knows how long it has run."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.seconds = 0.0

    def forward(self, x: Tensor) -> Tensor:
        start = time.perf_counter()
        output: Tensor = self.model(x)
        self.seconds += time.perf_counter() - start
        return output


def peak_memory() -> float:
    """The most memory that this process has held, in MiB.

    Not ``ru_maxrss``, which begins at what the process that started this one held.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def in_fresh_processes(function: Callable[[Any], Any], job: Any, count: int) -> Sequence[Any]:
    """What ``function`` says of the job in as many processes, one after the other."""
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = pool.map(function, [job] * count, 1)
        pool.close()
        pool.join()
    return found


def subject() -> tuple[nn.Module, Tensor]:
    """The model and the image that all measurements use."""
    torch.manual_seed(0)
    return squeezenet1_0(weights=None).eval(), torch.rand(1, 3, SIZE, SIZE)


def ratio(what: str, first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> Row:
    """How many times faster ``second`` is than ``first``."""
    ratios = []
    for function in (first, second):
        function()
    for _ in range(repeats):
        times = []
        for function in (first, second):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1])
    return row_of(what, ratios, "times")
