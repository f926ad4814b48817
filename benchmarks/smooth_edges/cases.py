"""The parts that :mod:`benchmarks.smooth_edges` combines, and what one combination comes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from skimage.segmentation import felzenszwalb, quickshift, slic, watershed
from torch import Tensor, nn

from benchmarks.smooth_edges.rows import Case, Row, skipped
from captum_ext.attr import SegmentPerturbation
from captum_ext.baselines import blur
from captum_ext.metrics.occlusion import occlusion_curves
from captum_ext.perturbation import (
    Attributer,
    BernoulliSampler,
    ColorHistogram,
    Fade,
    FixedSampler,
    Grid,
    KernelShapAttributer,
    LinearLimeAttributer,
    OriginalCiuAttributer,
    PdaAttributer,
    Perturber,
    RandomColor,
    RiseAttributer,
    SampleProbabilitySampler,
    Sampler,
    Segmenter,
    Segments,
    ShapSampler,
    SingleFeatureSampler,
    SkimageSegments,
    SolidColor,
    Transformed,
)

#: Standard deviation of what softens edges, and of the blur that stands for what is removed.
FADE, BLUR = 10.0, 10.0
CELLS = 7
SEGMENTATIONS = {
    "slic": SkimageSegments(slic, n_segments=CELLS**2, compactness=30, sigma=3),
    "quickshift": SkimageSegments(quickshift, kernel_size=4, max_dist=200, ratio=0.2),
    "felzenszwalb": SkimageSegments(felzenszwalb, scale=250, min_size=200),
    "watershed": SkimageSegments(watershed, markers=CELLS**2),
}
SEGMENTERS: dict[tuple[str, str], Segmenter] = {
    ("grid", "hard"): Grid(CELLS, CELLS),
    ("grid", "soft"): Grid(CELLS, CELLS, "bilinear"),
    **{(name, "hard"): each for name, each in SEGMENTATIONS.items()},
    **{(name, "soft"): Fade(each, FADE) for name, each in SEGMENTATIONS.items()},
}
SAMPLERS: dict[str, Sampler] = {
    "bernoulli": BernoulliSampler(0.5),
    "uniform": SampleProbabilitySampler("uniform"),
    "shap": ShapSampler(),
    "single": SingleFeatureSampler(),
}
#: Samplers that know how many samples there are.
FIXED = ("single",)
PERTURBERS: dict[str, Perturber] = {
    "mean": SolidColor("mean"),
    "median": SolidColor("median"),
    "black": SolidColor(0.0),
    "blur": Transformed(blur, sigma=BLUR),
    "histogram": ColorHistogram(8),
    "random": RandomColor(uniform=True, each=True),
}
ATTRIBUTERS: dict[str, Attributer] = {
    "rise": RiseAttributer(),
    "lime": LinearLimeAttributer(),
    "shap": KernelShapAttributer(),
    "ciu": OriginalCiuAttributer(),
    "pda": PdaAttributer(),
}
PER = ("segment", "pixel")


@dataclass(frozen=True)
class Subject:
    """A photograph ``[3, size, size]``, and the class that the model sees in it."""

    name: str
    image: Tensor
    target: int


@dataclass(frozen=True)
class Answers:
    """Segments of an image, samples of them, and what the model says.

    Attributes:
        segments: of the image.
        samples: ``[N, S]``, those drawn and, after them, a whole and an empty one, if there is
            none of them among those drawn.
        outputs: ``[N]``.
        n_drawn: how many were drawn.
    """

    segments: Segments
    samples: Tensor
    outputs: Tensor
    n_drawn: int

    def scores(self, attributer: Attributer) -> Tensor:
        """The segments' scores ``[S]`` of an attributer that sees what it asks for, and no more."""
        told = torch.arange(len(self.samples)) < self.n_drawn
        if attributer.needs_kept:
            told |= self.samples.all(1)
        if attributer.needs_removed:
            told |= ~self.samples.any(1)
        return attributer(self.outputs[told], self.samples[told])


class _Listener(Attributer):
    """Wants all samples that any attributer may want, and says nothing itself."""

    needs_kept = True
    needs_removed = True

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        return outputs.new_zeros(kept.shape[1])


def ask(model: nn.Module, subject: Subject, case: Case) -> Answers:
    """The model's outputs, for the samples of a case, which are the photograph's own.

    Raises:
        ValueError: one segment, or a number of samples that the sampler does not have.
    """
    seed = case.seed + int(case.pixels, 16)
    segments = SEGMENTERS[case.segmenter, case.edge](subject.image)
    drawn = SAMPLERS[case.sampler](len(segments), case.n_samples or None, seed)
    method = SegmentPerturbation(
        model, lambda _: segments, FixedSampler(drawn), PERTURBERS[case.perturber], _Listener()
    )
    (result,) = method.attribute_segments(subject.image[None], subject.target, generator=seed)
    return Answers(segments, result.samples, result.outputs, len(drawn))


def judge(
    model: nn.Module, subject: Subject, segments: Segments, scores: Tensor, case: Case
) -> tuple[float, float]:
    """LIF and MIF of the segments' scores ``[S]``.

    Raises:
        ValueError: more steps than segments.
    """
    settings: dict[str, Any] = {
        "target": subject.target,
        "n_steps": case.steps,
        "perturber": PERTURBERS[case.occlusion],
        "generator": case.seed,
    }
    images = subject.image[None]
    if case.per == "segment":
        curves = occlusion_curves(model, images, [scores], segments=segments, **settings)
    else:
        relevance = segments.per_pixel(scores)[None, None]
        curves = occlusion_curves(model, images, relevance, **settings)
    return float(curves.lif.mean()), float(curves.mif.mean())


def measure(model: nn.Module, subject: Subject, cases: Sequence[Case]) -> Iterator[Row]:
    """The rows of cases that differ in attributer, per and occlusion only: the model is asked once.

    A case that cannot be has the reason in its status.
    """
    try:
        answers = ask(model, subject, cases[0])
    except ValueError as error:
        yield from (skipped(case, subject.target, 0, error) for case in cases)
        return
    n_segments = len(answers.segments)
    for case in cases:
        try:
            scores = answers.scores(ATTRIBUTERS[case.attributer])
            lif, mif = judge(model, subject, answers.segments, scores, case)
        except ValueError as error:
            yield skipped(case, subject.target, n_segments, error)
        else:
            yield Row(
                **asdict(case),
                target=subject.target,
                n_segments=n_segments,
                lif=lif,
                mif=mif,
                srg=lif - mif,
                status="ok",
            )
