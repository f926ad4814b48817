"""One picture explained: by several methods, for several classes, and at which cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from captum.attr import Attribution
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from captum_ext.asking import Answer, Request, ask
from captum_ext.checks import check_choice, one_line, printable
from captum_ext.choices import DEFAULT_METHOD, OUTPUTS
from captum_ext.coerce import layer_of, references_of
from captum_ext.forward import Passes, Remembered
from captum_ext.image_files import read_image
from captum_ext.models import Classifier, TopClass
from captum_ext.pictures.requests import check_request, request_for
from captum_ext.randomness import GeneratorLike, seed_of
from captum_ext.registry import as_spec
from captum_ext.spec import MethodSpec
from captum_ext.visualize import (
    check_image,
    explanation_figure,
    intensity,
    overlay,
    shrunk,
)

Method = str | MethodSpec | type[Attribution]
Picture = str | Path | Image.Image | np.ndarray | Tensor


@dataclass(frozen=True)
class ClassExplanation:
    """What one method says about one class.

    Attributes:
        method: the method.
        about: the class.
        answer: of the method.
    """

    method: MethodSpec
    about: TopClass
    answer: Answer = field(repr=False)

    @property
    def attribution(self) -> Tensor | None:
        """``[3, h, w]``, of what the model sees; None where there is none."""
        heat = self.answer.heat
        return None if heat is None else heat[0].cpu()

    @property
    def output(self) -> str:
        """Which output was explained, ``"logit"``, ``"probability"`` or ``"score"``."""
        return self.answer.output

    @property
    def problem(self) -> str:
        """Why there is no attribution."""
        return self.answer.error

    @property
    def remark(self) -> str:
        """Why there is no attribution, or what is odd about it."""
        return self.answer.remark

    @property
    def passes(self) -> Passes:
        """Examples sent through the model, without those that it was shown for another class."""
        return self.answer.computed

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.answer.elapsed


@dataclass
class ExplainedPicture:
    """A picture with what methods say about it.

    Attributes:
        name: of the picture.
        picture: ``[3, H, W]`` in [0, 1].
        model: that was explained.
        classes: that were explained.
        answers: class by class, method by method.
        settings: the arguments of :func:`explain_picture`, as plain values.
    """

    name: str
    picture: Tensor = field(repr=False)
    model: Classifier = field(repr=False)
    classes: list[TopClass]
    answers: list[ClassExplanation] = field(repr=False)
    settings: dict[str, Any]

    @property
    def methods(self) -> list[MethodSpec]:
        """Each once, in order."""
        return list({answer.method.name: answer.method for answer in self.answers}.values())

    @property
    def n_maps(self) -> int:
        """How many answers have an attribution."""
        return sum(answer.attribution is not None for answer in self.answers)

    @property
    def n_failed(self) -> int:
        """How many have none, of methods that work on such a model."""
        return sum(answer.answer.applies and bool(answer.problem) for answer in self.answers)

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """The part of the picture that the model sees: top, bottom, left, right."""
        return self.model.view.seen((self.picture.shape[1], self.picture.shape[2]))

    def overlay(self, answer: ClassExplanation, *, signed: bool = False, **settings: Any) -> Tensor:
        """The heat map of an answer over the picture, at the picture's resolution: ``[3, H, W]``.

        Args:
            answer: one with an attribution.
            signed: red for the class, blue against it, in place of magnitudes.
            settings: ``alpha``, ``cmap``, ``gray``, ``outlier_perc`` of
                :func:`captum_ext.visualize.overlay`.

        Raises:
            ValueError: an answer without attribution.
        """
        if answer.attribution is None:
            raise ValueError(f"answer must have an attribution; there is none: {answer.problem}")
        # Before the way back: finer than the model's pixels, signs would cancel.
        strength = intensity(
            answer.attribution, signed=signed, outlier_perc=settings.pop("outlier_perc", 0.0)
        )
        height, width = self.picture.shape[1:]
        heat = self.model.view.back(strength, (height, width))
        return overlay(self.picture, heat, signed=signed, seen=self.seen, **settings)

    def figure(self, *, signed: bool = False, **settings: Any) -> Figure:
        """All heat maps: a row for each class, a column for each method.

        Args:
            signed, settings: as of :meth:`overlay`.
        """
        small = replace(self, picture=shrunk(self.picture))
        maps: list[list[Tensor | str]] = []
        for about in self.classes:
            own = [answer for answer in self.answers if answer.about == about]
            maps.append(
                [
                    printable(answer.problem)
                    if answer.attribution is None
                    else small.overlay(answer, signed=signed, **settings)
                    for answer in own
                ]
            )
        names = [f"{_short(printable(c.label))}\n{c.number}" for c in self.classes]
        return explanation_figure(
            small.picture,
            maps,
            names,
            [spec.title for spec in self.methods],
            seen=small.seen,
            signed=signed,
            cmap=settings.get("cmap"),
            remarks=[
                [_remark(answer) for answer in self.answers if answer.about == about]
                for about in self.classes
            ],
        )


class PictureInterrupt(KeyboardInterrupt):
    """An interruption after the first attribution of a picture, which would be lost.

    Attributes:
        explained: the picture; what was not computed has a problem in place of an attribution.
    """

    def __init__(self, explained: ExplainedPicture) -> None:
        super().__init__("interrupted")
        self.explained = explained


def explain_picture(
    model: Classifier,
    picture: Picture,
    methods: Method | Sequence[Method] = DEFAULT_METHOD,
    *,
    top: int = 3,
    targets: int | str | Sequence[int | str] | None = None,
    output: str = "auto",
    baseline: str | None = None,
    references: Any = None,
    layer: nn.Module | str | None = None,
    arguments: Mapping[str, Any] | None = None,
    passes: int | None = None,
    checks: bool = True,
    strict: bool = False,
    generator: GeneratorLike = None,
    name: str | None = None,
    on_start: Callable[[MethodSpec, TopClass], None] | None = None,
) -> ExplainedPicture:
    """Explains a picture by one or several methods, for its top classes or given ones.

    What a method that only runs the model has asked about one class, it need not ask again about
    another: explaining three costs as much as explaining one (but for Genetic IPHA, whose questions
    depend on the answers).

    Args:
        model: of :func:`captum_ext.load_model`.
        picture: path of an image file, name of a photograph of scikit-image, ``PIL.Image``, array
            ``[H, W, 3]``, or tensor ``[3, H, W]`` in [0, 1].
        methods: names, classes or specs.
        top: how many classes to explain, the highest first.
        targets: a class, or classes, to explain in their place, by name or number.
        output: one of :data:`OUTPUTS`. A method that is defined on one output explains that. What
            the model's outputs are, :func:`captum_ext.load_model` is told (``outputs``).
        baseline: name of a baseline, for the methods that have one.
        references: pictures of other classes, as of :func:`captum_ext.explain`, for the methods
            that compare with these.
        layer: for the methods that look into one, as of :func:`captum_ext.explain`.
        arguments: of ``attribute()``; each goes to the methods that have it.
        passes: the most passes that each method may take for a class, as of
            :func:`captum_ext.explain`.
        checks, strict: as of :func:`captum_ext.explain`.
        generator: seed of stochastic methods.
        name: of the picture.
        on_start: called with the method and the class before each answer.

    Returns:
        The picture with an answer for each class and method. A method that does not work on the
        model, or fails, has a problem in place of an attribution.

    Raises:
        TypeError: no Classifier; an argument that no method takes.
        ValueError: a picture that cannot be read; an unknown name; a baseline or references that
            no method takes.
        PictureInterrupt: a KeyboardInterrupt, after the first attribution, which it keeps.

    Example:
        >>> from captum_ext import load_model
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> model = load_model(network, size=32)
        >>> explained = explain_picture(model, "coffee", ["saliency", "occlusion"], top=2)
        >>> [answer.method.name for answer in explained.answers]
        ['saliency', 'occlusion', 'saliency', 'occlusion']
        >>> explained.overlay(explained.answers[0]).shape
        torch.Size([3, 400, 600])
    """
    if not isinstance(model, Classifier):
        raise TypeError(f"model must be of load_model(); got a {type(model).__name__}")
    specs = list({spec.name: spec for spec in map(as_spec, _listed(methods, "methods"))}.values())
    pixels = _pixels(picture)
    seen = model.see(pixels)
    request = Request(
        output=check_choice(output, "output", OUTPUTS),
        baseline=baseline,
        references=references_of(model, references),
        layer=layer_of(model, layer),
        settings=dict(arguments or {}),
        passes=passes,
        seed=seed_of(generator),
        checks=checks,
        strict=strict,
    )
    check_request(request, specs, model)
    if targets is None:
        classes = model.top(seen, top)
    else:
        wanted = dict.fromkeys(model.index_of(each) for each in _listed(targets, "targets"))
        classes = model.describe(seen, list(wanted))
    # Beside an accelerator, to remember would take longer than to ask again.
    shared = Remembered(model) if seen.device.type == "cpu" else None
    settings = {
        "model": model.name,
        "methods": [spec.name for spec in specs],
        "top": top if targets is None else None,
        "targets": targets,
        "output": output,
        "baseline": baseline,
        "references": None if request.references is None else len(request.references),
        "layer": layer if isinstance(layer, str) else layer and type(layer).__name__,
        "passes": passes,
        "checks": checks,
        "strict": strict,
        "arguments": {key: repr(value) for key, value in request.settings.items()},
        "seed": request.seed,
    }
    title = name or (Path(picture).stem if isinstance(picture, str | Path) else "picture")
    explained = ExplainedPicture(title, pixels, model, classes, [], settings)
    wanted_maps = [(about, spec) for about in classes for spec in specs]
    try:
        for about, spec in wanted_maps:
            if on_start is not None:
                on_start(spec, about)
            for_class = replace(request, target=about.index, outputs=about.outputs)
            answer = _answer(spec, model, seen, for_class, shared)
            explained.answers.append(ClassExplanation(spec, about, answer))
    except KeyboardInterrupt as error:
        if not explained.n_maps:
            raise
        missing = Answer(error="interrupted", applies=False)
        rest = wanted_maps[len(explained.answers) :]
        explained.answers += [ClassExplanation(spec, about, missing) for about, spec in rest]
        raise PictureInterrupt(explained) from error
    return explained


def _answer(
    spec: MethodSpec, model: Classifier, seen: Tensor, request: Request, shared: Remembered | None
) -> Answer:
    try:
        taken = request_for(spec, request, model)
    except (TypeError, ValueError) as error:
        return Answer(error=one_line(error), applies=False)
    try:
        return ask(spec, model, seen, taken, shared)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a method or model may exit()
        return Answer(error=f"{type(error).__name__}: {one_line(error)}")


def _listed(given: Any, name: str) -> list[Any]:
    found = list(given) if isinstance(given, list | tuple) else [given]
    if not found:
        raise ValueError(f"{name} must hold at least one; got none")
    return found


def _pixels(picture: Picture) -> Tensor:
    """``[3, H, W]`` in [0, 1]."""
    if not isinstance(picture, Tensor):
        return read_image(picture)
    return check_image(picture, "picture").float().expand(3, -1, -1)


def _remark(answer: ClassExplanation) -> str:
    """What must be known of a map: what is odd about it, without the advice."""
    return "; ".join(remark.partition(";")[0] for remark in answer.answer.remarks)


def _short(label: str) -> str:
    """The first of several names, on two lines where it is long."""
    words = label.split(",", maxsplit=1)[0].replace("_", " ").split()
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 16:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
