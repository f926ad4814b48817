"""The parts that :mod:`benchmarks.smooth_edges` combines, and the metrics of a combination."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

from skimage.segmentation import felzenszwalb, quickshift, slic, watershed
from torch import Tensor

from benchmarks.subjects import fingerprint
from captum_ext.attr import SegmentPerturbation
from captum_ext.attr.segment_perturbation import SegmentAttribution
from captum_ext.baselines import blur
from captum_ext.metric_spec import MetricSpec
from captum_ext.metrics.occlusion import OcclusionCurves, occlusion_curves
from captum_ext.perturbation import (
    Attributer,
    BernoulliSampler,
    ColorHistogram,
    Fade,
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
from captum_ext.perturbation.segments.sample_rows import SampledExample
from captum_ext.randomness import GeneratorLike, seed_of
from captum_ext.results import Direction
from captum_ext.spec import MethodSpec
from captum_ext.study import MethodEntry, MetricContext, MetricEntry

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
#: Samplers that know how many samples there are, and what stands for their number.
FIXED, OWN_NUMBER = ("single",), "own"
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
#: What is known of LIF's and MIF's curves.
GAINS: dict[str, tuple[Direction, str]] = {
    "srg": ("higher", "LIF minus MIF"),
    "lif": ("higher", "mean probability while the least relevant is removed first"),
    "mif": ("lower", "mean probability while the most relevant is removed first"),
}


class Listener(Attributer):
    """Wants all samples that any attributer may want, and says nothing itself."""

    needs_kept = True
    needs_removed = True

    def _scores(self, outputs: Tensor, kept: Tensor) -> Tensor:
        return outputs.new_zeros(kept.shape[1])


class OwnSamples(SegmentPerturbation):
    """Draws samples that are the photograph's own, and tells what it knows of its segments."""

    def attribute(
        self, inputs: Any, *args: Any, generator: GeneratorLike = None, **settings: Any
    ) -> tuple[Tensor, SegmentAttribution]:
        """Takes one image, and the arguments of ``attribute_segments()``.

        Returns:
            The attribution, and what it comes from.
        """
        seed = seed_of(generator) + int(fingerprint(inputs[0]), 16)
        (result,) = self.attribute_segments(inputs, *args, generator=seed, **settings)
        return segments_of(result).per_pixel(result.scores).to(inputs).expand_as(inputs), result

    def _ask(
        self,
        tensors: tuple[Tensor, ...],
        attributers: Sequence[Attributer],
        *args: Any,
        **more: Any,
    ) -> list[tuple[SampledExample, Tensor]]:
        # Whoever listens, the model is shown the same batches, and need not be asked again.
        return super()._ask(tensors, [*attributers, Listener()], *args, **more)


def segments_of(result: SegmentAttribution) -> Segments:
    """Of one image."""
    if isinstance(result.segments, tuple):
        raise TypeError("inputs must be one tensor; got a tuple")
    return result.segments


def methods(args: argparse.Namespace) -> Iterator[MethodEntry]:
    """A method for each combination; those that differ in the attributer ask the same."""
    for segmenter, edge, sampler, perturber in product(
        args.segmenters, args.edges, args.samplers, args.perturbers
    ):
        for number in (OWN_NUMBER,) if sampler in FIXED else args.samples:
            for attributer in args.attributers:
                words = (segmenter, edge, sampler, perturber, str(number), attributer)
                build = partial(
                    OwnSamples,
                    segmenter=SEGMENTERS[segmenter, edge],
                    sampler=SAMPLERS[sampler],
                    perturber=PERTURBERS[perturber],
                    attributer=ATTRIBUTERS[attributer],
                )
                spec = MethodSpec(
                    "_".join(words),
                    " ".join(words),
                    "perturbation",
                    "Pihlgren and Främling, 2024",
                    OwnSamples,
                    build=build,
                    stochastic=True,
                )
                settings = {} if number == OWN_NUMBER else {"n_samples": number}
                yield MethodEntry(spec, " ".join(words), output="probability", settings=settings)


def metrics(args: argparse.Namespace) -> Iterator[MetricEntry]:
    """SRG, LIF and MIF for each way to remove."""
    for what, per, occlusion in product(GAINS, PER, args.occlusions):
        settings = {"per": per, "perturber": PERTURBERS[occlusion], "n_steps": args.steps}
        function = partial(gain, what=what)
        metric = MetricSpec(what, what.upper(), *GAINS[what], function, needs={"context"})
        yield MetricEntry(metric, f"{what} {per} {occlusion}", settings)


def gain(question: MetricContext, *, what: str, **settings: Any) -> Tensor:
    """SRG, LIF or MIF of the segments' scores.

    Raises:
        ValueError: more steps than segments.
    """
    key = f"curves {settings}"
    if key not in question.memory:
        question.memory[key] = curves(question, **settings)
    found: OcclusionCurves = question.memory[key]
    lif, mif = found.lif.mean(), found.mif.mean()
    return {"srg": lif - mif, "lif": lif, "mif": mif}[what]


def curves(question: MetricContext, per: str, **settings: Any) -> OcclusionCurves:
    """What the model makes of the image, as segments or pixels of it are removed."""
    aim, (result,) = question.aim, question.beside
    segments, scores = segments_of(result), result.scores
    model = question.subject.scored(aim, "probability")
    common = {"target": aim.target, "generator": question.seed, **settings}
    if per == "segment":
        return occlusion_curves(model, aim.seen, [scores], segments=segments, **common)
    return occlusion_curves(model, aim.seen, segments.per_pixel(scores)[None, None], **common)
