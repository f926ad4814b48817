"""What methods are asked about one picture, and what they answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from captum.attr import Attribution
from torch import Tensor, nn

from captum_ext.baselines import BASELINES
from captum_ext.checks import check_choice, one_line
from captum_ext.coerce import baselines_of
from captum_ext.explanation import accepted_arguments, explain
from captum_ext.forward import Passes, Remembered, count_passes
from captum_ext.models import Classifier, TopClass
from captum_ext.spec import MethodSpec, Need

#: Which output is explained. ``"auto"``: the logit, where a method uses gradients, as that of a
#: probability near 1 vanishes; the probability, where it only runs the model.
OUTPUTS = ("auto", "logit", "probability")


def only_runs(spec: MethodSpec) -> bool:
    """Whether a method only runs the model, forward and as a whole.

    Example:
        >>> from captum_ext import get_method
        >>> only_runs(get_method("occlusion")), only_runs(get_method("saliency"))
        (True, False)
    """
    return not spec.needs & {Need.GRADIENTS, Need.MODULE, Need.LAYER}


def output_for(spec: MethodSpec, output: str) -> str:
    """Which output of a model that gives logits a method explains.

    Args:
        spec: the method; one that is defined on one output explains that.
        output: one of :data:`OUTPUTS`.

    Returns:
        ``"logit"`` or ``"probability"``.

    Example:
        >>> from captum_ext import get_method
        >>> output_for(get_method("occlusion"), "auto"), output_for(get_method("pda"), "logit")
        ('probability', 'probability')
    """
    if Need.PROBABILITIES in spec.needs:
        return "probability"
    if Need.LOGITS in spec.needs:
        return "logit"
    if output != "auto":
        return output
    return "probability" if only_runs(spec) else "logit"


@dataclass
class Answer:
    """What one method says about one class.

    Attributes:
        method: the method.
        about: the class.
        output: which output was explained, ``"logit"`` or ``"probability"``.
        attribution: ``[3, h, w]``, of what the model sees; None where there is none.
        problem: why there is none.
        note: what is odd about it.
        passes: examples sent through the model; what the same method has asked for another class
            before is not asked again.
        seconds: wall time.
    """

    method: MethodSpec
    about: TopClass
    output: str
    attribution: Tensor | None = field(default=None, repr=False)
    problem: str = ""
    note: str = ""
    passes: Passes = field(default_factory=Passes)
    seconds: float = 0.0

    @property
    def remark(self) -> str:
        """Why there is no attribution, or what is odd about it."""
        if self.attribution is None:
            return self.problem
        return self.note if bool(self.attribution.any()) else "zero everywhere"


@dataclass
class Task:
    """What all methods are asked about one picture, and what they need for it."""

    model: Classifier
    seen: Tensor
    output: str
    baseline: str | None
    references: Tensor | None
    layer: nn.Module | None
    arguments: dict[str, Any]
    seed: int
    passes: int | None = None

    def __post_init__(self) -> None:
        # Beside an accelerator, to remember would take longer than to ask again.
        self.asked = Remembered(self.model) if self.seen.device.type == "cpu" else self.model

    def check(self, specs: Sequence[MethodSpec]) -> None:
        """Refuses what no method has a use for, before the model runs.

        Raises:
            TypeError, ValueError: it names the argument.
        """
        for name in ("inputs", "target"):
            if name in self.arguments:
                raise ValueError(f"arguments must not hold {name}, which is known")
        if self.baseline is not None:
            check_choice(self.baseline, "baseline", BASELINES)
        used: set[str] = set()
        problems: list[str] = []
        for spec in specs:
            try:
                attribution = self._made(spec, self.model)
            except (TypeError, ValueError) as error:
                problems.append(str(error))
                continue
            accepted, _ = accepted_arguments(attribution)
            used |= accepted & set(self.arguments)
            used |= {"references"} if spec.takes_references else set()
            used |= {"layer"} if spec.takes_layer else set()
            used |= {"baseline"} if self._takes_baseline(spec, accepted) else set()
        if len(problems) == len(specs):
            raise ValueError("; ".join(problems))
        given = {
            "references": self.references is not None,
            "layer": self.layer is not None,
            "baseline": self.baseline is not None,
        } | dict.fromkeys(self.arguments, True)
        names = ", ".join(spec.name for spec in specs)
        for argument, there in given.items():
            if there and argument not in used:
                raise TypeError(f"{argument} is not taken by {names}")

    def answer(self, spec: MethodSpec, about: TopClass) -> Answer:
        """What a method says about a class; a failure is an answer, too."""
        asked, output = self._model_for(spec, about)
        answer = Answer(spec, about, output)
        if self.references is None and spec.needs & {Need.REFERENCES, Need.BACKGROUND}:
            answer.note = "compared with noise, in want of references"
        start = time.perf_counter()
        try:
            with count_passes(self.model) as answer.passes:
                attribution = explain(
                    asked,
                    self.seen,
                    about.index,
                    spec,
                    layer=self.layer if spec.takes_layer else None,
                    references=self.references if spec.takes_references else None,
                    passes=self.passes,
                    generator=self.seed,
                    arguments=self._arguments(spec, asked),
                )
        except Exception as error:
            answer.problem = one_line(error)
        else:
            if bool(torch.isfinite(attribution).all()):
                answer.attribution = attribution[0].cpu()
            else:
                answer.problem = "the attribution is not finite"
        answer.seconds = time.perf_counter() - start
        return answer

    def _model_for(self, spec: MethodSpec, about: TopClass) -> tuple[nn.Module, str]:
        """The model as a method shall see it, and which output it then gives."""
        asked: nn.Module = self.asked if only_runs(spec) else self.model
        if not about.has_logit:
            return asked, "probability"
        output = output_for(spec, self.output)
        if output == "probability":
            asked = nn.Sequential(asked, nn.Softmax(dim=1)).eval()
        return asked, output

    def _made(self, spec: MethodSpec, asked: nn.Module) -> Attribution:
        return spec.make(asked, self.layer if spec.takes_layer else None)

    def _arguments(self, spec: MethodSpec, asked: nn.Module) -> dict[str, Any]:
        accepted, _ = accepted_arguments(self._made(spec, asked))
        chosen = {key: value for key, value in self.arguments.items() if key in accepted}
        if self.baseline is not None and self._takes_baseline(spec, accepted):
            made = baselines_of(self.baseline, spec, self.model, (self.seen,), self.seed)
            chosen.setdefault("baselines", made[0])
        return chosen

    def _takes_baseline(self, spec: MethodSpec, accepted: set[str]) -> bool:
        return "baselines" in accepted and not spec.needs & {Need.REFERENCES, Need.BACKGROUND}
