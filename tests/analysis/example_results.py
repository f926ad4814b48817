"""Synthetic results of a study, for the tests of what is made of them."""

import io
from collections.abc import Iterable

import numpy as np
import pandas as pd
from PIL import Image

from captum_ext.analysis.results import COLUMNS, MetricFacts, StudyResults

#: Title, quality, forward and backward passes, seconds: what the example's values are made of.
METHODS = {
    "integrated_gradients": ("Integrated Gradients", 0.02, 50, 50, 0.61),
    "guided_ig": ("Guided Integrated Gradients", 0.10, 200, 200, 2.9),
    "blur_ig": ("Blur Integrated Gradients", 0.03, 100, 100, 1.3),
    "ig2": ("IG²", 0.05, 121, 141, 1.9),
    "saliency": ("Saliency", -0.10, 1, 1, 0.013),
    "input_x_gradient": ("Input × Gradient", -0.07, 1, 1, 0.014),
    "smooth_grad": ("SmoothGrad", 0.01, 50, 50, 0.58),
    "grad_cam": ("Grad-CAM", 0.11, 1, 1, 0.012),
    "lrp_epsilon": ("LRP-ε", -0.02, 1, 1, 0.021),
    "xrai": ("XRAI", 0.16, 100, 100, 4.7),
    "occlusion": ("Occlusion", 0.12, 730, 0, 3.1),
    "rise": ("RISE", 0.165, 4000, 0, 15.2),
    "kernel_shap": ("KernelSHAP over superpixels", 0.08, 1000, 0, 4.4),
    "random": ("Random attribution", -0.25, 0, 0, 0.0004),
}
METRICS = {
    "srg": MetricFacts("srg", "SRG", "higher", "Most relevant first less least relevant first"),
    "deletion": MetricFacts("deletion", "Deletion", "lower", "Area under the curve, best first"),
    "insertion": MetricFacts("insertion", "Insertion", "higher", "Area under the curve"),
    "gini": MetricFacts("gini", "Gini index", "none", "How concentrated the attribution is"),
}
SLOPE = {"higher": 1.0, "lower": -0.6, "none": 0.4}
LABELS = ("Egyptian cat", "golden retriever", "space shuttle", "espresso", "tabby", "volcano")


def example_results(
    methods: int | Iterable[str] = 14,
    images: int | Iterable[str] = 15,
    metrics: Iterable[str] = tuple(METRICS),
    models: Iterable[str] = ("resnet50",),
    seeds: int = 1,
    failed: Iterable[tuple[str, int]] = (),
    missing: int = 0,
    shown: int = 0,
    noise: float = 0.05,
) -> StudyResults:
    """A study of methods of different quality.

    Args:
        methods: names, or how many of :data:`METHODS`; beyond them they are numbered.
        images: names, or how many.
        metrics, models: names.
        seeds: how many.
        failed: attributions that failed: a method, and the image's number.
        missing: cells at the end that are not computed.
        shown: images with pictures and maps.
        noise: of the values, beside the difference between methods.
    """
    rng = np.random.default_rng(0)
    titled = _titled(methods)
    names = [f"picture_{i:03d}" for i in range(images)] if isinstance(images, int) else list(images)
    facts = {name: METRICS.get(name) or MetricFacts(name, name, "higher") for name in metrics}
    broken, rows = set(failed), []
    for model in models:
        for number, image in enumerate(names):
            ease = {name: rng.normal(0, noise) for name in facts}
            for method, (_, quality, forward, backward, seconds) in titled.items():
                for seed in range(seeds):
                    fails = (method, number) in broken
                    shared = {
                        **{"model": model, "image": image, "method": method, "seed": seed},
                        **{"target": number % 6, "label": LABELS[number % 6], "output": "logit"},
                        "status": "failed" if fails else "ok",
                        "error": "the model has no layer 'features'" if fails else "",
                        "traceback": "Traceback (most recent call last):\n  ..." if fails else "",
                        "remark": "",
                        "forward": np.nan if fails else forward,
                        "backward": np.nan if fails else backward,
                        "seconds": np.nan if fails else seconds * rng.lognormal(0, 0.1),
                        **{"metric_forward": 64, "metric_seconds": 0.2},
                    }
                    for name, fact in facts.items():
                        slope = SLOPE[fact.direction] * (1.0 if name != "insertion" else 0.5)
                        value = 0.4 + slope * quality + ease[name] + rng.normal(0, noise)
                        cell = {"metric": name, "value": np.nan if fails else value, "key": ""}
                        rows.append({**shared, **cell})
    cells = pd.DataFrame(rows, columns=list(COLUMNS))
    if missing:
        _forget(cells, missing)
    _type(cells)
    results = StudyResults(
        title="Which attribution finds what the model looks at?",
        cells=cells,
        models=list(models),
        images=names,
        methods={name: made[0] for name, made in titled.items()},
        metrics=facts,
        settings={
            "models": [{"name": model, "weights": "DEFAULT"} for model in models],
            "images": [{"name": name, "digest": f"{i:012x}"} for i, name in enumerate(names)],
            "methods": [{"name": name, "arguments": {}} for name in titled],
            "metrics": [{"name": name, "steps": 32} for name in facts],
            "seeds": list(range(seeds)),
            "output": "logit",
        },
        versions={"python": "3.11.9", "captum_ext": "0.6.0", "captum": "0.8.0", "torch": "2.9.0"},
    )
    _add_pictures(results, shown)
    return results


def _titled(methods: int | Iterable[str]) -> dict[str, tuple[str, float, int, int, float]]:
    known = list(METHODS)
    if isinstance(methods, int):
        methods = (known + [f"method_{i}" for i in range(len(known), methods)])[:methods]
    return {
        name: METHODS.get(name, (name, 0.001 * i, 10 * (i + 1), 10, 0.1 * (i + 1)))
        for i, name in enumerate(methods)
    }


def _forget(cells: pd.DataFrame, count: int) -> None:
    last = cells.index[-count:]
    cells.loc[last, "status"] = "missing"
    cells.loc[last, ["error", "traceback", "label", "output"]] = ""
    cells.loc[last, ["value", "forward", "backward", "seconds"]] = np.nan
    cells.loc[last, ["metric_forward", "metric_seconds"]] = np.nan


def _type(cells: pd.DataFrame) -> None:
    """As a study's own table is."""
    for name in ("target", "forward", "backward", "metric_forward"):
        cells[name] = cells[name].astype("Int64")
    for name in ("model", "image", "method", "metric"):
        cells[name] = pd.Categorical(cells[name], cells[name].unique(), ordered=True)


def _add_pictures(results: StudyResults, shown: int, size: int = 160) -> None:
    rng = np.random.default_rng(1)
    ok = results.cells[results.cells.status == "ok"]
    done = set(zip(ok.model, ok.image, ok.method, ok.seed, strict=True))
    for model in results.models:
        for image in results.images[:shown]:
            center = rng.uniform(0.3, 0.7, 2)
            scene = _scene(rng, center, size)
            results.pictures[model, image] = _jpeg(scene)
            for method in results.methods:
                for seed in sorted({key[3] for key in done}):
                    if (model, image, method, seed) in done:
                        blob = _blob(center + rng.normal(0, 0.08, 2), rng.uniform(0.1, 0.3), size)
                        results.maps[model, image, method, seed] = _jpeg(_overlay(scene, blob))


def _scene(rng: np.random.Generator, center: np.ndarray, size: int) -> np.ndarray:
    sky = np.linspace(0, 1, size)[:, None, None]
    scene = rng.uniform(0.4, 0.9, 3) * (1 - sky) + rng.uniform(0.1, 0.5, 3) * sky
    body = (_blob(center, 0.22, size) > 0.5)[..., None]
    return np.broadcast_to(np.where(body, rng.uniform(0, 1, 3), scene), (size, size, 3))


def _blob(center: np.ndarray, width: float, size: int) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] / size
    return np.exp(-((rows - center[0]) ** 2 + (columns - center[1]) ** 2) / (2 * width**2))


def _overlay(scene: np.ndarray, blob: np.ndarray) -> np.ndarray:
    gray = scene.mean(axis=2, keepdims=True) * 0.6 + 0.4
    heat = np.stack([np.ones_like(blob), 1 - 0.7 * blob, 1 - blob], axis=2)
    return gray * heat


def _jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((picture * 255).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=75)
    return file.getvalue()
