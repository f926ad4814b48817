"""What a method is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from captum_ext.budgets import Resolution
from captum_ext.passes import Passes
from captum_ext.soundness.identities import Check

ZERO = "zero everywhere"
NOT_FINITE = "the attribution is not finite"
NOISE = "compared with noise: no references were given"


@dataclass(frozen=True)
class Request:
    """What a method is asked about an example.

    Attributes:
        target: in Captum's forms; None: each example's highest output.
        output: one of :data:`captum_ext.choices.OUTPUTS`, for a classifier; None: as the model
            gives it.
        outputs: what the model gives, one of :data:`captum_ext.choices.OUTPUT_KINDS`, and not
            ``"auto"``; not looked at where ``output`` is None.
        part: which part of the model's output counts, where it is not one tensor.
        baseline: name of a baseline, of :data:`captum_ext.baselines.BASELINES`.
        references: examples of other images, a tensor ``[R, ...]`` for each input.
        layer: for methods that look into one, or its name.
        settings: arguments of ``attribute()``, in place of the defaults.
        passes: the most passes that the method may take; None: no limit.
        seed: of what is drawn.
        resolution: see :func:`captum_ext.explain`.
        checks: whether the answer is checked where that takes passes.
        strict: whether a check that fails is an error.
    """

    target: Any = None
    output: str | None = None
    outputs: str = "softmax"
    part: int | str | None = None
    baseline: str | None = None
    references: Tensor | tuple[Tensor, ...] | None = field(default=None, repr=False)
    layer: nn.Module | str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    passes: int | None = None
    seed: int = 0
    resolution: Resolution = "image"
    checks: bool = True
    strict: bool = False


@dataclass
class Answer:
    """What a method says, what it cost, and whether it can be right.

    Attributes:
        heat: the attribution, of the shape, dtype and device of the example; None where there is
            none.
        beside: what ``attribute()`` returned beside it, as a convergence delta.
        output: which output was explained; empty where the model's only one was.
        settings: the arguments that were chosen for the method, without its defaults.
        checks: what the attribution must fulfil, and whether it does.
        error: why there is no attribution, in one line.
        traceback: of the error.
        applies: False where the method does not work on such a model or input at all.
        remarks: what is odd about the attribution; the checks that fail are among them.
        passes: examples that the method sent to the model, those answered from memory included.
        computed: examples that went through the model.
        check_passes: examples that the checks sent through the model; they count nowhere else.
        seconds: wall time, as if no other method had asked the same before.
        elapsed: wall time that it really took.
        exception: that was raised; None where :attr:`error` is about the attribution.
    """

    heat: Any = field(default=None, repr=False)
    beside: Sequence[Any] = field(default=(), repr=False)
    output: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    checks: list[Check] = field(default_factory=list)
    error: str = ""
    traceback: str = field(default="", repr=False)
    applies: bool = True
    remarks: list[str] = field(default_factory=list)
    passes: Passes = field(default_factory=Passes)
    computed: Passes = field(default_factory=Passes)
    check_passes: Passes = field(default_factory=Passes)
    seconds: float = 0.0
    elapsed: float = 0.0
    exception: Exception | None = field(default=None, repr=False)

    @property
    def failed(self) -> list[Check]:
        """The checks that do not hold."""
        return [check for check in self.checks if check.holds is False]

    @property
    def remark(self) -> str:
        """Why there is no attribution, or what is odd about it."""
        return self.error or "; ".join(self.remarks)
