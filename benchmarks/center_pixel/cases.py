"""The study of :mod:`benchmarks.center_pixel`: its images, models, methods and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import cast

import numpy as np
from torch import Tensor

from benchmarks.study_arguments import without_problems
from captum_ext.exam import OUTPUTS, KnownModel, make_model, rounding_error, score, set_center
from captum_ext.exam.center_pixel import WHITE
from captum_ext.image_files import EMBEDDED, read_image
from captum_ext.metric_spec import MetricSpec
from captum_ext.models.classifier import luminance
from captum_ext.results import Direction
from captum_ext.study import (
    MethodEntry,
    MetricContext,
    MetricEntry,
    ModelEntry,
    Study,
    StudyImage,
    TensorImage,
)
from captum_ext.study.define.models import StudyExamModel
from captum_ext.study.plan.digest import digest_of

#: No crop is smaller, so that none is enlarged to the published size.
SMALLEST_CROP = 227


def crops(n_images: int, seed: int) -> list[StudyImage]:
    """Gray crops of the embedded photographs in turn, with a gray level drawn for the center."""
    random = np.random.default_rng(seed)

    def drawn(low: int, high: int) -> int:
        return int(random.integers(low, high, endpoint=True))

    found: list[StudyImage] = []
    for number in range(n_images):
        source = EMBEDDED[number % len(EMBEDDED)]
        gray = luminance(read_image(source).double()).clamp(0, 1)
        height, width = gray.shape[1:]
        side = drawn(SMALLEST_CROP, min(height, width))
        top, left, level = drawn(0, height - side), drawn(0, width - side), drawn(0, WHITE)
        crop = gray[:, top : top + side, left : left + side]
        found.append(TensorImage(f"{source}_{number:03}_level_{level}", set_center(crop, level)))
    return found


class SameCenter(StudyExamModel):
    """A center-pixel model that sees pictures resized, but for their center's gray level."""

    @property
    def fingerprint(self) -> str:
        return digest_of(super().fingerprint, "same center")

    def see(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        level = round(float(image[0, height // 2, width // 2]) * WHITE)
        return set_center(super().see(image), level)


def center_pixel(size: int, output: str) -> SameCenter:
    """The exam's model."""
    return SameCenter(make_model("center_pixel", size=size, output=output))


def model_name(size: int, output: str) -> str:
    """What a model is called in the study."""
    return f"{size} x {size}, {output}"


def applicable(names: str) -> tuple[list[MethodEntry], list[str]]:
    """Methods that work on the model, and a line on each that does not.

    Raises:
        ValueError: an unknown name, or none that works.
    """
    subject = center_pixel(3, OUTPUTS[0])
    return without_problems(
        names, lambda spec: spec.problem_with(subject.fitting(spec), subject.facts(spec))
    )


def measure(question: MetricContext, *, what: str) -> float:
    """One of the numbers of :class:`captum_ext.exam.Score`."""
    if "score" not in question.memory:
        asked, aim = cast(KnownModel, question.asked), question.aim
        floor = rounding_error(asked, aim.seen, aim.target)
        question.memory["score"] = score(question.attribution, asked.ground_truth(), floor)
    return float(getattr(question.memory["score"], what))


def _metric(name: str, title: str, direction: Direction, about: str) -> MetricEntry:
    function = partial(measure, what=name)
    return MetricEntry(MetricSpec(name, title, direction, about, function, needs={"context"}))


METRICS = (
    _metric("hit", "Hit", "higher", "more at the center than at all other pixels"),
    _metric("share", "Center's share", "higher", "of the sum of |attribution|"),
    _metric("rank", "Center's rank", "lower", "among the pixels' |attribution|"),
    MetricEntry("shapley_agreement"),
)


def make_study(
    methods: Sequence[MethodEntry],
    n_images: int,
    sizes: Sequence[int],
    outputs: Sequence[str] = OUTPUTS,
    seed: int = 0,
) -> Study:
    """The study: sizes and outputs are its models."""
    models = [
        ModelEntry(
            model_name(size, output),
            partial(center_pixel, size, output),
            {"exam": "center_pixel", "size": size, "output": output},
        )
        for output, size in product(outputs, sizes)
    ]
    return Study(
        "Who finds the one pixel that decides, as images grow?",
        models,
        crops(n_images, seed),
        methods,
        METRICS,
        seeds=[seed],
        gallery=2,
    )
