"""Which methods keep their promises on a model: each is run once, and its answer checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from captum.attr import Attribution

from captum_ext.asking import NOISE, Request, ask
from captum_ext.baselines import uniform_noise
from captum_ext.checks import as_tuple, check_int
from captum_ext.choices import OUTPUTS, TRIAL_PASSES
from captum_ext.coerce import inputs_of, layer_of, model_of, references_of, target_of
from captum_ext.forward import Passes
from captum_ext.models import Classifier
from captum_ext.randomness import GeneratorLike, seed_of
from captum_ext.registry import as_spec, methods
from captum_ext.request import Answer
from captum_ext.results import aligned
from captum_ext.soundness.identities import Check
from captum_ext.spec import MethodSpec, TooFewPassesError

#: References of noise, where none are given: each costs as much as the first.
N_REFERENCES = 2
#: What became of a method.
WORKS, REFUSED, BREAKS, FAILS = "works", "refused", "breaks its promise", "fails"


@dataclass(frozen=True)
class Verdict:
    """What became of a method on a model.

    Attributes:
        method: its name.
        title: its title.
        status: ``"works"``, ``"refused"`` (it does not work on such a model), ``"breaks its
            promise"``, or ``"fails"`` (with an error).
        detail: why, with the numbers; else what is odd about the answer.
        checks: of the answer.
        passes: that the method took.
        check_passes: that its checks took.
        seconds: wall time, checks included.
    """

    method: str
    title: str
    status: str
    detail: str = ""
    checks: list[Check] = field(default_factory=list, repr=False)
    passes: Passes = field(default_factory=Passes)
    check_passes: Passes = field(default_factory=Passes)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "method": self.method,
            "status": self.status,
            "detail": self.detail,
            "checks": [check.as_dict() for check in self.checks],
            "forward": self.passes.forward,
            "backward": self.passes.backward,
            "check_forward": self.check_passes.forward,
            "check_backward": self.check_passes.backward,
            "seconds": round(self.seconds, 3),
        }


class Examination(list[Verdict]):
    """The verdicts on all methods, which print as a table.

    Example:
        >>> print(Examination([Verdict("rise", "RISE", WORKS, passes=Passes(200))]))
        method  verdict  passes  seconds  detail
        ------  -------  ------  -------  ------
        rise    works       200     0.00
    """

    def __str__(self) -> str:
        rows = [
            (v.method, v.status, str(v.passes.total), f"{v.seconds:.2f}", v.detail) for v in self
        ]
        header = ("method", "verdict", "passes", "seconds", "detail")
        return "\n".join(line.rstrip() for line in aligned(header, rows, (0, 1, 4)))

    def of(self, status: str) -> list[str]:
        """The names of the methods with a status."""
        return [verdict.method for verdict in self if verdict.status == status]


def examine(
    model: Any,
    inputs: Any,
    target: Any = None,
    *,
    methods: Iterable[str | MethodSpec | type[Attribution]] | None = None,
    references: Any = None,
    layer: Any = None,
    outputs: str | None = None,
    output: int | str | None = None,
    passes: int = TRIAL_PASSES,
    generator: GeneratorLike = None,
    on_start: Callable[[MethodSpec], None] | None = None,
) -> Examination:
    """Runs every method once on a small budget, and says which of them keep their promises here.

    Args:
        model, inputs, target, references, layer, outputs, output: as of
            :func:`captum_ext.explain`. References of noise are made where none are given.
        methods: names, specs or classes; None takes all.
        passes: that each method may take; one that needs more at the least takes these.
        generator: seed of what is drawn.
        on_start: called with each method before it runs.

    Returns:
        A verdict on each method.

    Raises:
        TypeError, ValueError: as of :func:`captum_ext.explain`, where no method could run.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> [(v.method, v.status) for v in examine(
        ...     model, torch.rand(1, 3, 2, 2), 1, methods=["saliency", "deep_lift", "grad_cam"]
        ... )]
        [('saliency', 'works'), ('deep_lift', 'works'), ('grad_cam', 'refused')]
    """
    model = model_of(model, None)
    inputs = inputs_of(model, inputs)
    check_int(passes, "passes", minimum=1)
    if references is None:
        noise = [uniform_noise(x, n=N_REFERENCES, generator=0) for x in as_tuple(inputs)]
        compared = tuple(noise) if isinstance(inputs, tuple) else noise[0]
    else:
        compared = references_of(model, references)
    known = isinstance(model, Classifier)
    if known and outputs is None:
        (highest,) = model.top(inputs[:1], 1)
        outputs = highest.outputs
    request = Request(
        target=target_of(model, target),
        output=OUTPUTS[0] if outputs else None,
        outputs=outputs or "softmax",
        part=output,
        layer=layer_of(model, layer),
        seed=seed_of(generator),
    )
    chosen = [as_spec(each) for each in methods] if methods is not None else _all()
    verdicts = Examination()
    for spec in chosen:
        if on_start is not None:
            on_start(spec)
        own = replace(
            request,
            references=compared if spec.takes_references else None,
            layer=request.layer if spec.takes_layer else None,
        )
        answer = _within(spec, model, inputs, own, passes)
        if references is None and spec.takes_references and not answer.error:
            answer.remarks.append(NOISE)
        verdicts.append(_verdict(spec, answer))
    return verdicts


def _all() -> list[MethodSpec]:
    return methods()


def _within(spec: MethodSpec, model: Any, inputs: Any, request: Request, passes: int) -> Answer:
    """The answer on a budget: the given one, or the least that the method can do with."""
    if spec.budget is None:
        return ask(spec, model, inputs, request)
    answer = ask(spec, model, inputs, replace(request, passes=passes))
    if isinstance(answer.exception, TooFewPassesError):
        answer = ask(spec, model, inputs, replace(request, passes=answer.exception.least))
    return answer


def _verdict(spec: MethodSpec, answer: Answer) -> Verdict:
    status = WORKS
    if answer.error:
        refused = not answer.applies or isinstance(answer.exception, ValueError | TypeError)
        status = REFUSED if refused else FAILS
    elif answer.failed:
        status = BREAKS
    return Verdict(
        spec.name,
        spec.title,
        status,
        answer.remark,
        answer.checks,
        answer.passes,
        answer.check_passes,
        answer.elapsed,
    )
