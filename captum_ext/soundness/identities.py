"""What an attribution must fulfil: each identity is checked after the run, with its numbers.

A spec lists the identities of its method (:attr:`captum_ext.MethodSpec.promises`). The checks that
run the model do so inside of :func:`captum_ext.passes.checking`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from captum_ext.checks import as_tuple
from captum_ext.soundness.evidence import Sides
from captum_ext.soundness.graph import RELU, dependence, kind_of, nodes_of, upstream
from captum_ext.soundness.model_facts import ModelFacts, count_kinds
from captum_ext.targets import select_target

#: Rows that a check sends through the model together.
CHECK_ROWS = 16
#: Rounding errors of a sum are so many times the dtype's precision of its terms; of half
#: precision, at most this part.
ROUNDING, MOST_ROUNDING = 256, 0.1
#: Rounding errors of so large a part of the output leave nothing of it.
LOST_IN_ROUNDING = 0.01
#: By what part of the output's change the sum of a path's few gradients may miss it.
PATH_TOLERANCE = 0.05
#: Maps that agree so far, relative to their largest value, are equal.
EQUAL_MAPS = 1e-3


@dataclass(frozen=True)
class Check:
    """Whether an identity holds for an answer.

    Attributes:
        name: of the identity, ``"completeness"``.
        holds: whether it does; None where that cannot be told.
        text: what is wrong, with the numbers and the remedy; empty where it holds.
        value: what was found, for the example that misses most.
        expected: what it should be.
    """

    name: str
    holds: bool | None
    text: str = ""
    value: float = math.nan
    expected: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON: no NaN.

        Example:
            >>> Check("finite", True).as_dict()
            {'name': 'finite', 'holds': True, 'text': '', 'value': None, 'expected': None}
        """
        numbers = {"value": self.value, "expected": self.expected}
        finite = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        return {"name": self.name, "holds": self.holds, "text": self.text} | finite


@dataclass(frozen=True)
class MethodRun:
    """A run of a method, for its checks.

    Attributes:
        model: as the method saw it.
        facts: of the model.
        inputs: that were explained, ``[B, ...]`` each.
        attributions: like the inputs.
        target: in Captum's forms; None where the model gives one number for each example.
        additional: what else the model takes.
        settings: the arguments of ``attribute()``.
        notes: what the method noted; see :mod:`captum_ext.soundness.evidence`.
    """

    model: Callable[..., Any]
    facts: ModelFacts
    inputs: tuple[Tensor, ...]
    attributions: tuple[Tensor, ...]
    target: Any = None
    additional: tuple[Any, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, list[Any]] = field(default_factory=dict)

    def scores(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The explained output at other inputs of as many examples, ``[B]`` in float64."""
        parts = []
        with torch.no_grad():
            for rows in self.chunks():
                values = self.model(*(x[rows].clone() for x in inputs), *self.additional_of(rows))
                parts.append(select_target(values, self.target_of(rows)).double().reshape(-1))
        return torch.cat(parts)

    def chunks(self) -> Iterator[slice]:
        """The examples in batches."""
        n_examples = len(self.inputs[0])
        for start in range(0, n_examples, CHECK_ROWS):
            yield slice(start, min(start + CHECK_ROWS, n_examples))

    def target_of(self, rows: slice) -> Any:
        """The targets of some examples."""
        if isinstance(self.target, list):
            return self.target[rows]
        if isinstance(self.target, Tensor) and self.target.numel() > 1:
            return self.target[rows]
        return self.target

    def additional_of(self, rows: slice) -> tuple[Any, ...]:
        """What else the model takes for some examples."""
        n_examples = len(self.inputs[0])
        return tuple(
            x[rows] if isinstance(x, Tensor) and x.dim() and len(x) == n_examples else x
            for x in self.additional
        )


class Identity(Protocol):
    """Something that every right answer of a method fulfils."""

    @property
    def name(self) -> str:
        """In one word or two."""

    def check(self, run: MethodRun) -> Check | None:
        """Whether a run fulfils it; None where it does not apply."""


@dataclass(frozen=True)
class Completeness:
    """The attributions sum to ``f(x) - f(baseline)``, the mean over several baselines.

    Args:
        tolerance: by what part of the difference the sum may miss it.
        advice: what to do where it does.
        of_size: by what part of the sum of all magnitudes it may miss it, beside that, as far as
            this is at most :attr:`tolerance` of the output. Errors of a quadrature grow with that
            sum, and the difference may be near zero.
        of_features: attributions are one number for each feature of ``feature_mask``, repeated
            over its elements.
        of_set: baselines are a set that all examples share, also where there are as many of them.
        noted: the method notes both sides itself; its baseline is the end of a path.

    Example:
        >>> model, x = nn.Linear(2, 1), torch.ones(1, 2)
        >>> facts = ModelFacts("Linear", True, dtype=torch.float32)
        >>> right = model.weight.detach() * x
        >>> Completeness().check(MethodRun(model, facts, (x,), (right,), 0)).holds
        True
    """

    tolerance: float = 0.01
    advice: str = "do not trust it"
    of_size: float = 0.0
    of_features: bool = False
    of_set: bool = False
    noted: bool = False

    name = "completeness"

    def check(self, run: MethodRun) -> Check | None:
        sides = self._noted(run) if self.noted else self._computed(run)
        if sides is None:
            return None
        total, change = (side.detach().double().cpu() for side in sides)
        size = _sums([a.detach().abs() for a in run.attributions]).cpu()
        allowed = self.tolerance * change.abs()
        if self.of_size:
            output = run.scores(run.inputs).abs().cpu()
            allowed += torch.minimum(self.of_size * size, self.tolerance * output)
        return compare(self.name, total, change, size, allowed, run, self._text)

    def _text(self, value: float, expected: float) -> str:
        return (
            f"breaks completeness: sums to {value:.4g} where the output changes by "
            f"{expected:.4g}; {self.advice}"
        )

    def _noted(self, run: MethodRun) -> Sides | None:
        notes: list[Sides] = run.notes.get(self.name, [])
        if not notes:
            return None
        return torch.cat([left.reshape(-1) for left, _ in notes]), torch.cat(
            [right.reshape(-1) for _, right in notes]
        )

    def _computed(self, run: MethodRun) -> Sides | None:
        baselines = expanded_baselines(run.settings.get("baselines"), run.inputs, self.of_set)
        if baselines is None:
            return None
        start = torch.stack([run.scores(each) for each in baselines]).mean(0)
        change = run.scores(run.inputs) - start
        mask = run.settings.get("feature_mask") if self.of_features else None
        if mask is None:
            return _sums(run.attributions), change
        return _sum_of_features(run.attributions, as_tuple(mask)), change


def compare(
    name: str,
    total: Tensor,
    expected: Tensor,
    size: Tensor,
    allowed: Tensor,
    run: MethodRun,
    text: Callable[[float, float], str],
) -> Check | None:
    """A check that two numbers of each example are equal.

    Args:
        name: of the identity.
        total, expected: ``[B]`` in float64.
        size: ``[B]``, of the terms of both sides, whose rounding errors are pardoned.
        allowed: ``[B]``, by how much ``total`` may miss it beside that.
        run: that is checked.
        text: what to say where they are not.
    """
    if len(total) != len(expected) or not len(total):
        return None
    rounding = min(ROUNDING * precision_of(run), MOST_ROUNDING)
    slack = allowed + rounding * (size + expected.abs())
    missed = (total - expected).abs() - slack
    worst = int(missed.nan_to_num(math.inf).argmax())
    value, target = float(total[worst]), float(expected[worst])
    if bool((missed <= 0).all()):
        return Check(name, True, "", value, target)
    if not (math.isfinite(value) and math.isfinite(target)):
        return Check(name, None, "", value, target)
    return Check(name, False, text(value, target), value, target)


def precision_of(run: MethodRun) -> float:
    """The rounding error of a number in a run: that of the inputs' dtype, or the model's."""
    dtypes = (torch.float32, run.inputs[0].dtype, run.facts.dtype)
    return max(float(torch.finfo(d).eps) for d in dtypes if d is not None and d.is_floating_point)


def expanded_baselines(
    baselines: Any, inputs: tuple[Tensor, ...], of_set: bool = False
) -> list[tuple[Tensor, ...]] | None:
    """Baselines in any of Captum's forms, as tensors like the inputs; a set of them as a list.

    Args:
        baselines, inputs: as of ``attribute()``.
        of_set: tensors are sets, also of as many baselines as there are examples.

    Returns:
        One tuple for a single baseline, one for each of a set that is shared by all examples; None
        for what is neither.

    Example:
        >>> x = torch.ones(2, 3)
        >>> [each[0].shape for each in expanded_baselines(torch.zeros(4, 3), (x,))]
        [torch.Size([2, 3]), torch.Size([2, 3]), torch.Size([2, 3]), torch.Size([2, 3])]
    """
    given = (None,) * len(inputs) if baselines is None else as_tuple(baselines)
    if callable(baselines) or len(given) != len(inputs):
        return None
    sets: list[list[Tensor]] = []
    for value, x in zip(given, inputs, strict=True):
        if isinstance(value, Tensor) and value.dim() == x.dim() and value.shape[1:] == x.shape[1:]:
            if not of_set and len(value) in (1, len(x)):
                sets.append([value.to(x).expand_as(x)])
            else:
                sets.append([row.to(x).expand_as(x) for row in value])
        elif value is None or (not isinstance(value, Tensor) and isinstance(value, int | float)):
            sets.append([torch.full_like(x, value or 0)])
        else:
            return None
    most = max(map(len, sets))
    if any(len(each) not in (1, most) for each in sets):
        return None
    return [tuple(each[n % len(each)] for each in sets) for n in range(most)]


def _sums(parts: Sequence[Tensor]) -> Tensor:
    """The sum over all features of each example, ``[B]`` in float64."""
    rows = [_wide(part).detach().double().flatten(1).sum(1) for part in parts]
    return torch.stack(rows).sum(0)


def _sum_of_features(attributions: tuple[Tensor, ...], masks: tuple[Tensor, ...]) -> Tensor:
    """The sum over features of each feature's mean attribution, ``[B]``."""
    values, numbers = [], []
    for attribution, mask in zip(attributions, masks, strict=True):
        flat = _wide(attribution).double().flatten(1)
        values.append(flat)
        numbers.append(mask.to(attribution.device).expand_as(attribution).reshape(len(flat), -1))
    value, number = torch.cat(values, 1), torch.cat(numbers, 1).long()
    n_features = int(number.max()) + 1
    total = value.new_zeros(len(value), n_features).scatter_add_(1, number, value)
    count = value.new_zeros(len(value), n_features).scatter_add_(1, number, torch.ones_like(value))
    return (total / count.clamp(min=1)).sum(1)


@dataclass(frozen=True)
class Conservation:
    """Relevance is conserved: what the output has arrives at the inputs, but for what layers take.

    A layer's bias and its rule's epsilon take a part; the method notes how much. What is lost or
    doubled between the layers, in additions or functions, breaks the identity.

    Args:
        tolerance: the part of the output that may be missing.
    """

    tolerance: float = 0.01

    name = "conservation"

    def check(self, run: MethodRun) -> Check | None:
        notes: list[tuple[Tensor, Tensor, Tensor]] = run.notes.get(self.name, [])
        if not notes:
            return None
        total, expected, flow = (
            torch.cat(list(side)).double().cpu() for side in zip(*notes, strict=True)
        )
        output = run.scores(run.inputs).cpu()
        growth = float((flow / output.abs().clamp(min=torch.finfo(output.dtype).tiny)).max())
        if growth * precision_of(run) > LOST_IN_ROUNDING:
            text = (
                f"is lost in rounding: between the layers the relevance grows to {growth:.2g} "
                f"times the output, and sums to {float(total[0]):.4g} where that is "
                f"{float(output[0]):.4g}; do not use it on this model"
            )
            return Check(self.name, False, text, float(total[0]), float(output[0]))
        allowed = self.tolerance * expected.abs()
        return compare(self.name, total, expected, flow, allowed, run, self._text(run.facts))

    @staticmethod
    def _text(facts: ModelFacts) -> Callable[[float, float], str]:
        between = count_kinds([each for each in facts.operations if each.between])
        cause = f": between its layers the model has {between}" if between else ""

        def text(value: float, expected: float) -> str:
            return (
                f"breaks conservation: the relevance sums to {value:.4g} where the output, less "
                f"what the layers take, is {expected:.4g}{cause}; do not use it on this model"
            )

        return text


@dataclass(frozen=True)
class GuidedRelus:
    """Every ReLU of the model lets only positive gradients pass.

    The check walks the autograd graph of one pass, where each ReLU shows, and does itself what the
    method promises.

    Args:
        deconvolution: positive gradients pass whatever the ReLU's input, as in Deconvolution.
    """

    deconvolution: bool = False

    name = "every ReLU"

    def check(self, run: MethodRun) -> Check | None:
        missing = 0
        maps = []
        for rows in run.chunks():
            gradients, n_relus = self._gradients(run, rows)
            maps.append(gradients)
            missing = n_relus
        right = [torch.cat(each) for each in zip(*maps, strict=True)]
        scale = max(float(each.abs().max()) for each in right)
        pairs = list(zip(run.attributions, right, strict=True))
        misses = max(float((a - r.to(a)).abs().max()) for a, r in pairs)
        if misses <= EQUAL_MAPS * scale + torch.finfo(torch.float32).tiny:
            return Check(self.name, True, "", misses, 0.0)
        outside = len(run.facts.outside(RELU, nn.ReLU))
        where = (
            f"{outside} of the {missing} ReLUs run outside of nn.ReLU modules"
            if outside
            else "a hook did not see all ReLUs"
        )
        return Check(
            self.name,
            False,
            f"does not guide every ReLU: {where}, and the map misses the right one by "
            f"{misses / scale if scale else math.inf:.2g} of its largest value; make every ReLU an "
            "nn.ReLU module of its own",
            misses,
            0.0,
        )

    def _gradients(self, run: MethodRun, rows: slice) -> tuple[list[Tensor], int]:
        leaves = [x[rows].detach().clone().requires_grad_() for x in run.inputs]
        with torch.enable_grad():
            output = run.model(*(leaf.clone() for leaf in leaves), *run.additional_of(rows))
            score = select_target(output, run.target_of(rows)).sum()
        ordered = upstream(nodes_of(score))
        depends = dependence(ordered, leaves)
        relus = [node for node in ordered if depends[node] and kind_of(node, depends) == RELU]
        for node in relus:
            node.register_hook(self._positive)
        gradients = torch.autograd.grad(score, leaves, allow_unused=True)
        return [
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(leaves, gradients, strict=True)
        ], len(relus)

    def _positive(self, to_input: tuple[Any, ...], to_output: tuple[Any, ...]) -> tuple[Any, ...]:
        source = to_output if self.deconvolution else to_input
        return (torch.relu(source[0]), *to_input[1:])


@dataclass(frozen=True)
class LayeredRelus:
    """Every ReLU of the model is an ``nn.ReLU``, where a hook can guide it.

    For methods that guide ReLUs and then do more, whose map :class:`GuidedRelus` cannot check.

    Example:
        >>> from captum_ext.soundness import observe
        >>> facts = observe(torch.relu, torch.ones(1, 2))
        >>> x = (torch.ones(1, 2),)
        >>> LayeredRelus().check(MethodRun(torch.relu, facts, x, x)).holds
        False
    """

    name = "every ReLU"

    def check(self, run: MethodRun) -> Check | None:
        outside = len(run.facts.outside(RELU, nn.ReLU))
        if not outside:
            return Check(self.name, True, "", 0.0, 0.0)
        n_relus = sum(operation.kind == RELU for operation in run.facts.operations)
        return Check(
            self.name,
            False,
            f"does not guide every ReLU: {outside} of the {n_relus} ReLUs run outside of nn.ReLU "
            "modules; make every ReLU an nn.ReLU module of its own",
            outside,
            0.0,
        )


@dataclass(frozen=True)
class ClassDependence:
    """The map of another class is another one.

    Example:
        >>> ClassDependence().name
        'class dependence'
    """

    name = "class dependence"

    def check(self, run: MethodRun) -> Check | None:
        shape = run.facts.output_shape
        if shape is None or len(shape) != 2 or shape[1] < 2 or not isinstance(run.target, int):
            return None
        guided = GuidedRelus()
        maps = []
        for target in (run.target, (run.target + 1) % shape[1]):
            other = MethodRun(
                run.model, run.facts, run.inputs, run.attributions, target, run.additional
            )
            maps.append(guided._gradients(other, slice(0, 1))[0])
        first, second = (torch.cat([each.flatten() for each in parts]).double() for parts in maps)
        norms = float(first.norm() * second.norm())
        if norms == 0:
            return None
        cosine = float(first @ second) / norms
        if abs(cosine) < 1 - 1e-9:
            return Check(self.name, True, "", cosine, 1.0)
        return Check(
            self.name,
            False,
            f"does not depend on the class: its maps of two classes have the cosine {cosine:.4g}; "
            "do not read it as evidence for a class",
            cosine,
            1.0,
        )


def general_checks(inputs: tuple[Tensor, ...], attributions: tuple[Any, ...]) -> list[Check]:
    """What every attribution fulfils: the inputs' shapes, finite values, not the same everywhere.

    Example:
        >>> x = torch.rand(1, 3)
        >>> [check.name for check in general_checks((x,), (torch.zeros(1, 3),)) if not check.holds]
        ['not zero']
    """
    shapes = [tuple(a.shape) if isinstance(a, Tensor) else type(a).__name__ for a in attributions]
    wanted = [tuple(x.shape) for x in inputs]
    if shapes != wanted:
        text = f"has the shape {shapes} where the inputs have {wanted}"
        return [Check("shape", False, text)]
    bad = sum(int((~torch.isfinite(a)).sum()) for a in attributions)
    n_values = sum(a.numel() for a in attributions)
    if bad:
        text = f"is not finite: {bad} of {n_values} values are NaN or infinite"
        return [Check("finite", False, text, float(bad), 0.0)]
    checks = [Check("shape", True), Check("finite", True, "", 0.0, 0.0)]
    if not any(bool(a.any()) for a in attributions):
        return [*checks, Check("not zero", False, "zero everywhere", 0.0)]
    checks.append(Check("not zero", True))
    varied = [
        a for a, x in zip(attributions, inputs, strict=True) if a[0].numel() > 1 and _varies(x)
    ]
    if varied and not any(_varies(a) for a in varied):
        checks.append(Check("not constant", False, "the same everywhere"))
    return checks


def _varies(x: Tensor) -> bool:
    """Whether an example differs from place to place: of images, within a channel."""
    flat = x.flatten(2) if x.dim() > 2 else _wide(x)
    return bool((flat != flat[..., :1]).any())


def _wide(x: Tensor) -> Tensor:
    return x.unsqueeze(1) if x.dim() == 1 else x
