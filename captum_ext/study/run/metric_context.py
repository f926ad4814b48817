"""What a metric is asked in a study: a question about one attribution.

A metric of :mod:`captum_ext.metrics` is called with what a cell knows: the model, the image, the
attribution, the class, and where a metric wants it the mask or the method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from captum_ext.analysis.results import Direction, MetricFacts
from captum_ext.asking import Request, run_method
from captum_ext.checks import check_choice
from captum_ext.coerce import layer_of
from captum_ext.forward import count_passes
from captum_ext.spec import MethodSpec
from captum_ext.study.define.images import mask_of
from captum_ext.study.define.models import Aim, StudyModel

#: Which output of the model metrics look at.
OUTPUTS = ("probability", "logit")


@dataclass
class Spared:
    """What a metric did not have to ask again, or asked a copy of the model."""

    forward: int = 0
    seconds: float = 0.0


@dataclass
class MetricContext:
    """What a metric may know of an attribution.

    Attributes:
        subject, aim: the model, the image and the class.
        spec, request: the method, and what it was asked.
        asked: the model as the method saw it.
        attribution: ``[1, C, h, w]``.
        mask_file: shows where the object is; None where there is none.
        seed: of what is drawn.
        beside: what the method was told to return beside the attribution, as a convergence delta.
        memory: what metrics of the same attribution share.
        spared: passes and seconds that are the metric's, too, but were not its model's.
    """

    subject: StudyModel
    aim: Aim
    spec: MethodSpec
    request: Request
    asked: nn.Module
    attribution: Tensor
    mask_file: Path | None
    seed: int
    beside: Sequence[Any] = ()
    memory: dict[str, Any] = field(default_factory=dict)
    spared: Spared = field(default_factory=Spared)

    @property
    def mask(self) -> Tensor | None:
        """Where the object is, ``[1, 1, h, w]``; None where that is not known.

        Raises:
            ValueError: a file that cannot be read.
        """
        if self.mask_file is None:
            return self.subject.truth()
        if "mask" not in self.memory:
            self.memory["mask"] = self.subject.see_mask(mask_of(self.mask_file))
        found: Tensor = self.memory["mask"]
        return found

    def call(self, metric: Callable[..., Any], settings: Mapping[str, Any], **more: Any) -> Any:
        """A metric of :mod:`captum_ext.metrics`, on the output that ``settings`` chooses."""
        chosen = dict(settings)
        model = self.subject.scored(
            self.aim, check_choice(chosen.pop("output", OUTPUTS[0]), "output", OUTPUTS)
        )
        return metric(model, self.aim.seen, self.attribution, self.aim.target, **chosen, **more)

    def explain(self, model: nn.Module, image: Tensor, target: Any) -> Tensor:
        """The same method about a changed image or model."""
        layer = layer_of(self.asked, self.request.layer)
        if layer is not None and model is not self.asked:
            # The same layer of a copy.
            names = {id(module): name for name, module in self.asked.named_modules()}
            layer = model.get_submodule(names[id(layer)])
        request = replace(self.request, target=target, layer=layer, seed=self.seed)
        with count_passes(model) as passes:
            attribution, _ = run_method(self.spec, model, image, request)
        if self.subject.counted not in model.modules():
            self.spared.forward += passes.forward
        return attribution


Measure = Callable[[MetricContext, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class StudyMetric:
    """A metric, as a study knows it.

    Args:
        name, title, direction, about: see :class:`captum_ext.analysis.results.MetricFacts`.
        measure: gives the number for a question and the settings.
        settings: which there are; None: any.
        stochastic: draws random numbers, unless it is told otherwise.
        needs_mask: wants to know where the object is.
        needs_exam: wants a model whose answer is known.
    """

    name: str
    title: str
    direction: Direction
    about: str
    measure: Measure
    settings: frozenset[str] | None = frozenset()
    stochastic: bool = False
    needs_mask: bool = False
    needs_exam: bool = False

    def facts(self, name: str, title: str | None = None) -> MetricFacts:
        """What a reader must know of it, under the name that a study gives it."""
        return MetricFacts(name, title or self.title, self.direction, self.about)


def number_of(result: Any) -> float:
    """The one number that a metric gave.

    Raises:
        ValueError: something else.

    Example:
        >>> number_of(Tensor([0.5]))
        0.5
    """
    if isinstance(result, Tensor) and result.numel() == 1:
        return float(result.detach())
    if isinstance(result, Real):
        return float(result)
    what = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
    raise ValueError(f"a metric must give one number; got {what}")
