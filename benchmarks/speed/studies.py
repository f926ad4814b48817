"""Studies: overhead beside the model, speed-up by workers, and time of a report."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.classes import SAMPLES
from benchmarks.speed.timing import SIZE, Row, row_of
from captum_ext import explain
from captum_ext.analysis.report import write_report
from captum_ext.metrics import srg
from captum_ext.study import (
    CellResult,
    EmbeddedImage,
    Engine,
    MethodEntry,
    MetricEntry,
    ModelEntry,
    Plan,
    Study,
    local_cluster,
    read_results,
    run_study,
)
from captum_ext.study.plan.tasks import Cell
from captum_ext.study.store.store import Store

#: Photographs of scikit-image; each takes its turn with each method.
IMAGES = ("astronaut", "chelsea", "coffee", "rocket")
#: A grid of 100,000 cells.
MANY_IMAGES, MANY_METHODS, MANY_METRICS = 1000, 20, 5


def study_of(images: tuple[str, ...], n_samples: int) -> Study:
    """A study of a SqueezeNet, bound by its passes."""
    few = {"n_samples": n_samples}
    return Study(
        "speed",
        models=[ModelEntry.classifier("squeezenet1_0", weights="none", size=SIZE, device="cpu")],
        images=[EmbeddedImage(name) for name in images],
        methods=[
            MethodEntry("rise", settings=few),
            MethodEntry("integrated_gradients", settings={"n_steps": max(2, n_samples // 4)}),
            MethodEntry("segment_lime", settings={"n_samples": max(n_samples, 60)}),
        ],
        metrics=[MetricEntry("srg"), MetricEntry("gini")],
    )


def bare(study: Study) -> None:
    """The same attributions and metrics, one after the other, and nothing else."""
    subject = study.models[0].load()
    for image in study.images:
        aim = subject.aim(subject.see(image.read()), study.target)
        for entry in study.methods:
            asked, _ = subject.explained(entry.spec, aim, entry.output)
            settings: Any = entry.settings
            heat = explain(asked, aim.seen, aim.target, entry.spec, arguments=settings)
            srg(subject.scored(aim, "probability"), aim.seen, heat, aim.target)


def seconds(study: Study, engine: Engine | None = None) -> float:
    """Wall time of a study in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = run_study(study, folder, engine=engine)
        taken = time.perf_counter() - start
    failed = results.cells["status"] != "ok"
    if failed.any():
        raise SystemExit(f"study: {results.cells['error'][failed].iloc[0]}")
    return taken


def overhead(repeats: int, n_samples: int, images: tuple[str, ...] = IMAGES) -> Row:
    """By how much a study takes longer than its bare attributions and metrics."""
    study = study_of(images, n_samples)
    for warm_up in (bare, seconds):
        warm_up(study_of(IMAGES[:1], 20))
    shares = []
    for _ in range(repeats):
        start = time.perf_counter()
        bare(study)
        alone = time.perf_counter() - start
        shares.append(100 * (seconds(study) / alone - 1))
    return row_of("study: what the machinery adds to its attributions and metrics", shares, "%")


def workers(repeats: int, n_samples: int, images: tuple[str, ...] = IMAGES) -> Row:
    """Two workers of one thread each against one; their start is not counted."""
    study, warm_up = study_of(images, n_samples), study_of(images, 20)
    ratios = []
    with local_cluster(1, threads=1) as one, local_cluster(2, threads=1) as two:
        for engine in (one, two):
            seconds(warm_up, engine)
        for _ in range(repeats):
            ratios.append(seconds(study, one) / seconds(study, two))
    return row_of("study: two workers of one thread against one", ratios, "times")


def many_cells(folder: Path, n_images: int) -> None:
    """Stores as many cells as a large study has."""
    names = [f"method {number}" for number in range(MANY_METHODS)]
    metrics = ("srg", "lif", "mif", "deletion", "insertion")[:MANY_METRICS]
    cells = [
        Cell("model", f"image {image:04}", method, metric, 0, f"{image} {method} {metric}")
        for image in range(n_images)
        for method in names
        for metric in metrics
    ]
    identity = {
        "models": [{"name": "model"}],
        "images": [{"name": f"image {number:04}"} for number in range(n_images)],
        "methods": [{"name": name} for name in names],
        "metrics": [{"name": name} for name in metrics],
    }
    about = {
        "title": "many cells",
        "methods": {name: name for name in names},
        "metrics": [vars(MetricEntry(name).facts) for name in metrics],
        "models": {},
        "settings": {},
        "versions": {},
    }
    values = np.random.default_rng(0).beta(2, 3, len(cells))
    with Store(folder, Plan(cells, [], identity, []), about) as store:
        for cell, value in zip(cells, values, strict=True):
            store.add(
                CellResult(
                    cell.key, "ok", float(value), target=1, forward=500, seconds=float(value)
                )
            )


def large_report(repeats: int, n_images: int = MANY_IMAGES) -> Row:
    """Seconds from the folder of a large study to its report."""
    taken = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many_cells(folder, n_images)
        for _ in range(repeats):
            start = time.perf_counter()
            write_report(read_results(folder), folder / "report.html")
            taken.append(time.perf_counter() - start)
    count = n_images * MANY_METHODS * MANY_METRICS
    return row_of(f"study: report of {count:,} cells", taken, "s")


def studies(repeats: int, n_samples: int) -> Iterator[Row]:
    """All figures of studies; of few samples, of small ones."""
    few = n_samples < SAMPLES
    images = IMAGES[:1] if few else IMAGES
    yield overhead(repeats, n_samples, images)
    yield workers(repeats, n_samples, images)
    yield large_report(min(repeats, 3), MANY_IMAGES // 50 if few else MANY_IMAGES)
