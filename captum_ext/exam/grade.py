"""Asks methods about a model whose answer is known, and grades what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from captum_ext.asking import ZERO, Request, ask
from captum_ext.exam.known_model import KnownModel
from captum_ext.exam.score import score
from captum_ext.forward import Passes
from captum_ext.randomness import GeneratorLike, seed_of
from captum_ext.spec import MethodSpec


@dataclass
class ExamAnswer:
    """What one method said about one image, and what it cost.

    Attributes:
        method: the method's name.
        title: its title.
        image: index of the image.
        target: the class that was explained.
        output: which output of the model was explained; a method that is defined on logits only
            explains the logit whatever the exam asks for, one on probabilities the probability.
        status: ``"ok"``, ``"skipped"`` (the method does not apply) or ``"failed"``.
        detail: why it was skipped or failed, or what is odd about the answer.
        blank: why the map shows nothing; empty where it shows something.
        broken: the names of the checks that fail.
        rank, share, hit, agreement: see :class:`~captum_ext.exam.score.Score`.
        n_relevant: how many pixels the answer lies in.
        passes: examples sent through the model.
        seconds: wall time.
        attribution: ``[1, D, D]``.
        floor: the rounding error of the explained output's gradient, which is the largest error
            that any of these methods makes; smaller values count as zero.
    """

    method: str
    title: str
    image: int
    target: int
    output: str
    status: str = "ok"
    detail: str = ""
    rank: float = math.nan
    share: float = math.nan
    hit: bool = False
    agreement: float = math.nan
    n_relevant: int = 1
    passes: Passes = field(default_factory=Passes)
    seconds: float = 0.0
    attribution: Tensor | None = field(default=None, repr=False)
    floor: float = 0.0
    blank: str = ""
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Grade:
    """A method's answers in one line; each interval is one of 95 % confidence.

    Attributes:
        method: the method's name.
        title: its title.
        status: ``"ok"``, or, where no answer is, why.
        n_images: answers that count.
        hits: how many of them are hits.
        hit_interval: of the hit rate (Wilson).
        rank, rank_interval: mean rank of the relevant pixels (Student's t).
        share, share_interval: mean of their share (Student's t).
        forward, backward: mean passes.
        seconds: mean wall time.
        output: the output that was explained.
        agreement, agreement_interval: mean agreement with the Shapley values (Student's t), over
            the images where it is defined.
        n_relevant: how many pixels the answer lies in.
    """

    method: str
    title: str
    status: str
    n_images: int
    hits: int
    hit_interval: tuple[float, float]
    rank: float
    rank_interval: tuple[float, float]
    share: float
    share_interval: tuple[float, float]
    forward: float
    backward: float
    seconds: float
    output: str
    agreement: float = math.nan
    agreement_interval: tuple[float, float] = (math.nan, math.nan)
    n_relevant: int = 1


def answer(
    model: KnownModel,
    image: Tensor,
    spec: MethodSpec,
    target: int | None = None,
    generator: GeneratorLike = None,
    index: int = 0,
) -> ExamAnswer:
    """Asks one method about one image.

    Args:
        model: whose answer is known.
        image: ``[1, 1, D, D]`` in [0, 1].
        spec: the method; it runs with its defaults at pixel resolution.
        target: the class to explain; None takes the predicted one.
        generator: seed of a stochastic method.
        index: the image's index, to tell answers apart.

    Example:
        >>> from captum_ext import get_method
        >>> from captum_ext.exam import CenterPixelModel
        >>> model, image = CenterPixelModel(size=5), torch.full((1, 1, 5, 5), 100 / 255)
        >>> answer(model, image, get_method("occlusion")).hit
        True
    """
    if target is None:
        with torch.no_grad():
            target = int(model(image)[0].argmax())
    request = Request(target, output="auto", seed=seed_of(generator), resolution="pixel")
    answer = ask(spec, model, image, request)
    result = ExamAnswer(spec.name, spec.title, index, target, answer.output)
    result.n_relevant = len(model.relevant)
    result.passes, result.seconds = answer.passes, answer.seconds
    if answer.error:
        result.status = "failed" if answer.applies else "skipped"
        raised = answer.applies and answer.exception is not None
        kind = f"{type(answer.exception).__name__}: " if raised else ""
        result.detail = kind + answer.error
        return result
    explained = model.with_output(answer.output)
    result.attribution = answer.heat[0]
    result.floor = rounding_error(explained, image, target)
    result.rank, result.share, result.hit, result.agreement = score(
        answer.heat,
        model.ground_truth(),
        result.floor,
        _shapley_values(explained, image, target),
    )
    if ZERO in answer.remarks:
        result.blank = ZERO
    elif float(answer.heat.abs().max()) < result.floor:
        result.blank = "rounding error"
    result.broken = [check.name for check in answer.failed if check.text != ZERO]
    result.detail = "; ".join(dict.fromkeys([*filter(None, [result.blank]), *answer.remarks]))
    return result


def _shapley_values(model: KnownModel, image: Tensor, target: int) -> Tensor | None:
    """Against black, as methods compare by default; None where they are not known exactly."""
    try:
        return model.shapley_values(image, target)
    except ValueError:
        return None


def rounding_error(asked: KnownModel, image: Tensor, target: int) -> float:
    """Of the gradient of an output: a sum of weights that nearly cancel, times the probability.

    Args:
        asked: the model, with the output that is explained.
        image: ``[1, 1, D, D]``.
        target: the class.

    Example:
        >>> from captum_ext.exam import AdditiveModel
        >>> rounding_error(AdditiveModel(size=5), torch.zeros(1, 1, 5, 5), 1) < 1e-15
        True
    """
    weight = asked.linear.weight
    scale = float(weight.abs().max()) * torch.finfo(weight.dtype).eps
    if asked.output != "probability":
        return scale
    with torch.no_grad():
        return scale * float(asked(image)[0, target])


def examine(
    model: KnownModel,
    images: Tensor,
    specs: Sequence[MethodSpec],
    target: int | None = None,
    generator: GeneratorLike = None,
    on_start: Callable[[MethodSpec, int], None] | None = None,
) -> Iterator[ExamAnswer]:
    """Asks every method about every image, image by image, yielding each answer as it comes.

    Args:
        model: whose answer is known.
        images: ``[N, 1, D, D]`` in [0, 1].
        specs: the methods.
        target: the class to explain; None takes each image's predicted one.
        generator: seed of the stochastic methods.
        on_start: called with the method and the image's index before each answer.

    Example:
        >>> from captum_ext import get_method
        >>> from captum_ext.exam import CenterPixelModel
        >>> model, images = CenterPixelModel(size=5), torch.rand(2, 1, 5, 5)
        >>> [result.hit for result in examine(model, images, [get_method("feature_ablation")])]
        [True, True]
    """
    seed = seed_of(generator)
    for index in range(len(images)):
        for spec in specs:
            if on_start is not None:
                on_start(spec, index)
            # Draws of its own for each image: intervals over images take answers for independent.
            draws = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
            yield answer(model, images[index : index + 1], spec, target, draws, index)


def grade(answers: Iterable[ExamAnswer]) -> list[Grade]:
    """One grade per method, best first.

    By hits, then, where several pixels are relevant, by the agreement, and last by the share.

    Args:
        answers: from :func:`examine` (or :func:`answer`).

    Example:
        >>> from captum_ext import get_method
        >>> from captum_ext.exam import CenterPixelModel, exam_images
        >>> model, images = CenterPixelModel(size=5), exam_images("coffee", 2, size=5)
        >>> specs = [get_method("saliency"), get_method("occlusion")]
        >>> [result.method for result in grade(examine(model, images, specs))]
        ['occlusion', 'saliency']
    """
    by_method: dict[str, list[ExamAnswer]] = {}
    for result in answers:
        by_method.setdefault(result.method, []).append(result)
    grades = [_grade_method(results) for results in by_method.values()]
    return sorted(grades, key=_place)


def _place(result: Grade) -> tuple[float, ...]:
    # One pixel's agreement says no more than its share; rounding would shuffle the methods.
    agreement = result.agreement if result.n_relevant > 1 else 0.0
    return (result.n_images == 0, -result.hits, -_number(agreement), -_number(result.share))


def _number(value: float) -> float:
    return value if math.isfinite(value) else -1.0


def _grade_method(results: list[ExamAnswer]) -> Grade:
    good = [result for result in results if result.status == "ok"]
    problems = [f"{r.status}: {r.detail}" for r in results if r.status != "ok"]
    status = "ok" if not problems else f"{len(problems)} of {len(results)} {problems[0]}"
    hits = sum(result.hit for result in good)
    rank, rank_interval = _mean_interval([result.rank for result in good])
    share, share_interval = _mean_interval([result.share for result in good])
    agreements = [result.agreement for result in good if not math.isnan(result.agreement)]
    agreement, agreement_interval = _mean_interval(agreements)
    if good:
        wilson = stats.binomtest(hits, len(good)).proportion_ci(method="wilson")
        hit_interval = (float(wilson.low), float(wilson.high))
    else:
        hit_interval = (math.nan, math.nan)
    return Grade(
        method=results[0].method,
        title=results[0].title,
        status=status,
        n_images=len(good),
        hits=hits,
        hit_interval=hit_interval,
        rank=rank,
        rank_interval=rank_interval,
        share=share,
        share_interval=share_interval,
        forward=_mean_interval([result.passes.forward for result in good])[0],
        backward=_mean_interval([result.passes.backward for result in good])[0],
        seconds=_mean_interval([result.seconds for result in good])[0],
        output=results[0].output,
        agreement=agreement,
        agreement_interval=agreement_interval,
        n_relevant=results[0].n_relevant,
    )


def _mean_interval(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Mean with Student's 95 % interval; NaN where there are too few values."""
    if not values:
        return math.nan, (math.nan, math.nan)
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, (math.nan, math.nan)
    spread = float(stats.sem(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * spread
    return mean, (mean - half, mean + half)
