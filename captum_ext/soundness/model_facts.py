"""What one observed run says of a model: the layers that ran, and what lies between them.

:func:`observe` runs a model once under hooks on the first example, walks the autograd graph of its
output, and runs it a second time on two examples: do examples depend on each other, or runs differ?
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from captum_ext.checks import as_tuple, is_continuous, one_line
from captum_ext.layers import CONVOLUTIONS
from captum_ext.passes import checking
from captum_ext.randomness import global_seed
from captum_ext.soundness.caller_state import keep_caller_state, training_modules
from captum_ext.soundness.graph import (
    LINEAR,
    Node,
    dependence,
    kind_of,
    nodes_of,
    operation_name,
    tensors_of,
    upstream,
)
from captum_ext.soundness.model_lock import MODEL_LOCK
from captum_ext.soundness.model_output import output_form, pick_output

#: By how much, relative to the largest output, batch mates may change an output by rounding.
BATCH_ROUNDING = {torch.float64: 1e-7, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.2}
#: Models of these get their inputs in their own dtype.
LOW_PRECISION = (torch.float16, torch.bfloat16)
#: Facts are kept for so many kinds of inputs of a model.
MOST_KEPT = 8


@dataclass(frozen=True)
class LayerRun:
    """One call of a module.

    Attributes:
        name: the module's name in the model; ``""`` is the model itself.
        kind: its class.
        input_shape, output_shape: of the first tensor; None where there is none.
        input_depends, output_depends: the numbers of the inputs that it depends on.
        reaches_output: whether the model's output depends on it.
        is_leaf: it called no other module.
        cuts_patches: it is a convolution whose windows lie side by side, as in transformers.
    """

    name: str
    kind: type[nn.Module]
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    input_depends: frozenset[int]
    output_depends: frozenset[int]
    reaches_output: bool
    is_leaf: bool
    cuts_patches: bool = False


@dataclass(frozen=True)
class Operation:
    """An operation between the inputs and the output that is not linear, or joins branches.

    Attributes:
        kind: one of :data:`captum_ext.soundness.graph.KINDS`.
        name: as torch calls it.
        layer: the name of the innermost module that it ran in.
        layer_kind: the class of that module, where it called no other module; else None: the
            operation stands between modules.
    """

    kind: str
    name: str
    layer: str
    layer_kind: type[nn.Module] | None

    @property
    def between(self) -> bool:
        """Whether no module accounts for it."""
        return self.layer_kind is None


@dataclass(frozen=True)
class ModelFacts:
    """What was seen of a model.

    Attributes:
        model_name: the class of the model.
        is_module: whether it is a ``torch.nn.Module``; a function has no layers.
        runs: the modules that ran, in the order in which they ended.
        operations: that lie between the inputs and the output; the plain linear ones are left out.
        traced: whether the output has a graph that leads to an input.
        output_form: ``"tensor"``, or what the tensor is taken from (see
            :func:`captum_ext.soundness.model_output.output_form`).
        output_shape: of one example, its batch included; None where the run failed.
        used_inputs, unused_inputs: the numbers of the differentiable inputs that the output
            depends on, and of those that it ignores.
        changes_inputs: the numbers of the inputs that the model changes in place.
        coupled: an example's output depends on the other examples of its batch.
        random: two runs on one example differ.
        training: the submodules in training mode.
        compiled, scripted, quantized: the names of such submodules.
        rule_layers: the names of modules that the caller has given a rule for LRP.
        dtype: of the model's parameters; None where there is none.
        error: why the run failed; empty where it did not.
        output_error: why no tensor of the output can be taken; empty where one can.
    """

    model_name: str
    is_module: bool
    runs: tuple[LayerRun, ...] = ()
    operations: tuple[Operation, ...] = ()
    traced: bool = False
    output_form: str = "tensor"
    output_shape: tuple[int, ...] | None = None
    used_inputs: frozenset[int] = frozenset()
    unused_inputs: tuple[int, ...] = ()
    changes_inputs: tuple[int, ...] = ()
    coupled: bool = False
    random: bool = False
    training: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()
    scripted: tuple[str, ...] = ()
    quantized: tuple[str, ...] = ()
    rule_layers: tuple[str, ...] = ()
    dtype: torch.dtype | None = None
    error: str = ""
    output_error: str = ""
    _modules: Mapping[str, ReferenceType[nn.Module]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def hooks_fire(self) -> bool:
        """Whether hooks on layers see the run: a scripted model's do not."""
        return any(run.name for run in self.runs)

    def module(self, name: str) -> nn.Module:
        """The module of a run.

        Raises:
            ValueError: the model lacks it, or is gone.
        """
        module = self._modules[name]() if name in self._modules else None
        if module is None:
            raise ValueError(f"{self.model_name} has no module {name!r}")
        return module

    def ran(self, *kinds: type[nn.Module]) -> list[LayerRun]:
        """The runs of modules of given kinds, in order.

        Example:
            >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
            >>> [run.name for run in observe(model, torch.ones(1, 2)).ran(nn.Linear)]
            ['0', '2']
        """
        return [run for run in self.runs if issubclass(run.kind, kinds)]

    def outside(self, kind: str, *layers: type[nn.Module]) -> list[Operation]:
        """The operations of a kind that ran outside of given kinds of layers.

        Example:
            >>> class Twice(nn.Module):
            ...     def forward(self, x):
            ...         return x + x
            >>> len(observe(Twice(), torch.ones(1, 2)).outside("addition"))
            1
        """
        return [
            operation
            for operation in self.operations
            if operation.kind == kind
            and (operation.layer_kind is None or not issubclass(operation.layer_kind, layers))
        ]


_facts: WeakKeyDictionary[Any, dict[Any, ModelFacts]] = WeakKeyDictionary()


def observe(
    model: Callable[..., Any],
    inputs: Tensor | tuple[Tensor, ...],
    additional_forward_args: Any = None,
    output: int | str | None = None,
) -> ModelFacts:
    """Runs a model twice on its inputs, and says what was seen.

    The facts of a module are kept while it lives: the second call for inputs of the same shape
    costs nothing. The model, its buffers and the global random state stay as they were.

    Args:
        model: a module or a function.
        inputs: ``[B, ...]``, or a tuple of such.
        additional_forward_args: as of Captum's ``attribute()``.
        output: which part of the output counts, where it is not one tensor.

    Returns:
        The facts; where the model raised an error, with :attr:`ModelFacts.error`.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
        >>> facts = observe(model, torch.rand(1, 1, 2, 2))
        >>> [run.kind.__name__ for run in facts.runs]
        ['Flatten', 'Linear', 'ReLU', 'Sequential']
        >>> [(operation.kind, operation.layer) for operation in facts.operations]
        [('ReLU', '2')]
    """
    tensors = as_tuple(inputs)
    additional = () if additional_forward_args is None else as_tuple(additional_forward_args)
    key = _key(model, tensors, additional, output)
    known = _facts.setdefault(model, {}) if isinstance(model, nn.Module) else {}
    if key not in known:
        if len(known) >= MOST_KEPT:
            known.clear()
        # Nobody else may have hooks on the model while it is observed; what is known needs no lock.
        with MODEL_LOCK.alone():
            known[key] = _observe(model, tensors, additional, output)
    return known[key]


def forget(model: nn.Module) -> None:
    """Forgets what is known of a model: the next call observes it anew."""
    _facts.pop(model, None)


def _key(
    model: Any, tensors: tuple[Tensor, ...], additional: tuple[Any, ...], output: Any
) -> tuple[Any, ...]:
    shapes = tuple(
        (tuple(x.shape[1:]), min(len(x), 2), x.dtype, str(x.device))
        if isinstance(x, Tensor) and x.dim()
        else type(x)
        for x in (*tensors, *additional)
    )
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    return shapes, output, tuple((id(module), module.training) for module in modules)


def _observe(
    model: Any, tensors: tuple[Tensor, ...], additional: tuple[Any, ...], output: Any
) -> ModelFacts:
    static = _static_facts(model)
    if static["dtype"] in LOW_PRECISION:
        # As captum_ext.soundness.guarded() does.
        tensors = tuple(x.to(static["dtype"]) if x.is_floating_point() else x for x in tensors)
    n_examples = len(tensors[0])

    def rows(count: int) -> tuple[list[Tensor], list[Any]]:
        return [x.detach()[:count] for x in tensors], [
            x.detach()[:count] if isinstance(x, Tensor) and x.dim() and len(x) == n_examples else x
            for x in additional
        ]

    eager = torch.compiler.set_stance("force_eager") if static["compiled"] else nullcontext()
    kept = keep_caller_state(model, warns=False)
    with kept, global_seed(0), checking(), warnings.catch_warnings(), eager:
        warnings.simplefilter("ignore")
        try:
            try:
                seen, first = _first_run(model, *rows(1), output)
            except _OutputError:
                raise
            except Exception:
                # In training mode BatchNorm takes no single example.
                if n_examples == 1:
                    raise
                seen, first = _first_run(model, *rows(n_examples), output)
                seen["coupled"] = True
        except _OutputError as error:
            return ModelFacts(**static, output_error=one_line(error))
        except Exception as error:
            return ModelFacts(**static, error=one_line(error))
        facts = static | seen
        try:
            with torch.no_grad():
                facts |= _second_run(model, *rows(2), first, output)
        except Exception:
            # The model takes one example at a time: each is its own batch.
            facts |= {"coupled": False}
    return ModelFacts(**facts)


class _OutputError(ValueError):
    """No tensor of the model's output can be taken."""


def _first_run(
    model: Any, inputs: list[Tensor], additional: list[Any], output: Any
) -> tuple[dict[str, Any], Tensor]:
    """What a run on one example shows, and its output."""
    leaves = [x.clone().requires_grad_() for x in inputs if is_continuous(x)]
    remaining = iter(leaves)
    with torch.enable_grad():
        passed = [next(remaining).clone() if is_continuous(x) else x.clone() for x in inputs]
        versions = [x._version for x in passed]
        with _Watch(model) as watch:
            whole = model(*passed, *additional)
    try:
        form, explained = output_form(whole, output), pick_output(whole, output)
    except (TypeError, ValueError) as error:
        raise _OutputError(one_line(error)) from None
    ordered = upstream(nodes_of(explained) or nodes_of(whole))
    reached = set(ordered)
    depends = dependence(upstream([*nodes_of(whole), *watch.nodes()]), leaves)
    numbers = [number for number, x in enumerate(inputs) if is_continuous(x)]
    used = frozenset().union(*(depends.get(node, frozenset()) for node in nodes_of(explained)))
    facts = {
        "runs": watch.layer_runs(reached, depends, numbers),
        "operations": watch.operations(ordered, depends),
        "traced": bool(used),
        "output_form": form,
        "output_shape": tuple(explained.shape),
        "used_inputs": frozenset(numbers[leaf] for leaf in used),
        "unused_inputs": tuple(n for leaf, n in enumerate(numbers) if leaf not in used),
        "changes_inputs": tuple(
            number
            for number, (x, version) in enumerate(zip(passed, versions, strict=True))
            if x._version != version
        ),
    }
    watch.forget()
    return facts, explained.detach()


def _second_run(
    model: Any, inputs: list[Tensor], additional: list[Any], first: Tensor, output: Any
) -> dict[str, Any]:
    """Whether another example in the batch, or another run, changes the first one's output."""
    if not first.dim() or first.numel() == 0 or len(first) != 1:
        return {}
    mates = inputs
    if len(inputs[0]) == 1:
        mates = [torch.cat([x, _altered(x)]) for x in inputs]
        additional = [
            torch.cat([x, x]) if isinstance(x, Tensor) and x.dim() and len(x) == 1 else x
            for x in additional
        ]
    again = pick_output(model(*(x.clone() for x in mates), *additional), output)
    if again.shape[1:] != first.shape[1:] or len(again) != 2:
        return {"coupled": True}
    if _close(again[:1], first):
        return {}
    alone = [x[:1].clone() for x in mates]
    rest = [x[:1] if isinstance(x, Tensor) and x.dim() and len(x) == 2 else x for x in additional]
    third = pick_output(model(*alone, *rest), output)
    random = not _close(third, first)
    return {"random": random, "coupled": not random}


def _altered(x: Tensor) -> Tensor:
    """Another example of the same kind."""
    return x.flip(-1) * 0.5 if x.is_floating_point() else x


def _close(a: Tensor, b: Tensor) -> bool:
    tolerance = BATCH_ROUNDING.get(b.dtype, 1e-3)
    a, b = a.double(), b.double()
    finite = torch.isfinite(a) & torch.isfinite(b)
    scale = float(b[finite].abs().max()) if bool(finite.any()) else 0.0
    return not bool(((a - b).abs()[finite] > tolerance * scale + 1e-12).any())


def _static_facts(model: Any) -> dict[str, Any]:
    """What needs no run."""
    facts: dict[str, Any] = {
        "model_name": name_of(model),
        "is_module": isinstance(model, nn.Module),
    }
    named = list(model.named_modules()) if isinstance(model, nn.Module) else []
    facts["_modules"] = {name: ref(module) for name, module in named}
    facts["compiled"] = tuple(name for name, module in named if is_compiled(module))
    facts["scripted"] = tuple(
        name for name, module in named if isinstance(module, torch.jit.ScriptModule)
    )
    facts["quantized"] = tuple(
        name for name, module in named if "quantized" in type(module).__module__
    )
    facts["rule_layers"] = tuple(name for name, module in named if hasattr(module, "rule"))
    facts["training"] = tuple(training_modules(model))
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    floats = (parameter.dtype for parameter in parameters if parameter.is_floating_point())
    facts["dtype"] = next(floats, None)
    return facts


def name_of(model: Any) -> str:
    """What messages call a model: its own name, or that of its class.

    Example:
        >>> name_of(nn.Linear(1, 1)), name_of(torch.relu)
        ('Linear', 'relu')
    """
    names = (getattr(model, "name", None), getattr(model, "__name__", None))
    return next((name for name in names if isinstance(name, str)), type(model).__name__)


def is_compiled(module: nn.Module) -> bool:
    """Whether ``torch.compile`` has wrapped a module, or ``module.compile()`` was called.

    Example:
        >>> is_compiled(nn.Linear(1, 1))
        False
    """
    return is_wrapped(module) or getattr(module, "_compiled_call_impl", None) is not None


def is_wrapped(module: Any) -> bool:
    """Whether a module is the wrapper that ``torch.compile`` has made.

    Example:
        >>> is_wrapped(nn.Linear(1, 1))
        False
    """
    # To ask torch for the wrapper's class would import its compiler, which takes seconds.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(module, compiler.OptimizedModule)


@dataclass
class _Call:
    """A call of a module: the graph's nodes at its ends."""

    name: str
    kind: type[nn.Module]
    before: list[Node] = field(default_factory=list)
    after: list[Node] = field(default_factory=list)
    shape_before: tuple[int, ...] | None = None
    shape_after: tuple[int, ...] | None = None
    is_leaf: bool = True
    cuts_patches: bool = False


class _Watch:
    """Hooks on all modules of a model while it runs once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.calls: list[_Call] = []
        self._open: list[_Call] = []
        self._handles: list[Any] = []
        self._thread = get_ident()

    def __enter__(self) -> _Watch:
        named = self.model.named_modules() if isinstance(self.model, nn.Module) else ()
        for name, module in named:
            if isinstance(module, torch.jit.ScriptModule):
                continue
            self._handles.append(
                module.register_forward_pre_hook(self._begin(name), with_kwargs=True, prepend=True)
            )
            self._handles.append(module.register_forward_hook(self._end))
        return self

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._open.clear()

    def _begin(self, name: str) -> Callable[..., None]:
        def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if get_ident() != self._thread:
                return
            if self._open:
                self._open[-1].is_leaf = False
            given = (args, kwargs)
            call = _Call(name, type(module), nodes_of(given), shape_before=_shape(given))
            call.cuts_patches = _cuts_patches(module)
            self._open.append(call)

        return begin

    def _end(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if get_ident() != self._thread or not self._open:
            return
        call = self._open.pop()
        call.after, call.shape_after = nodes_of(output), _shape(output)
        self.calls.append(call)

    def nodes(self) -> list[Node]:
        """All nodes that are kept."""
        return [node for call in self.calls for node in (*call.before, *call.after)]

    def layer_runs(
        self, reached: set[Node], depends: dict[Node, frozenset[int]], numbers: list[int]
    ) -> tuple[LayerRun, ...]:
        def of(nodes: list[Node]) -> frozenset[int]:
            leaves = frozenset().union(*(depends.get(node, frozenset()) for node in nodes))
            return frozenset(numbers[leaf] for leaf in leaves)

        return tuple(
            LayerRun(
                call.name,
                call.kind,
                call.shape_before,
                call.shape_after,
                of(call.before),
                of(call.after),
                any(node in reached for node in call.after),
                call.is_leaf,
                call.cuts_patches,
            )
            for call in self.calls
        )

    def operations(
        self, ordered: list[Node], depends: dict[Node, frozenset[int]]
    ) -> tuple[Operation, ...]:
        """Those of the nodes that are not plainly linear, each with its innermost module."""
        owners: dict[Node, _Call] = {}
        # Inner modules end first.
        for call in self.calls:
            for node in upstream(call.after, stop=set(call.before)):
                owners.setdefault(node, call)
        found = []
        for node in ordered:
            kind = kind_of(node, depends) if depends.get(node) else LINEAR
            if kind != LINEAR:
                owner = owners.get(node)
                layer_kind = owner.kind if owner is not None and owner.is_leaf else None
                name = owner.name if owner is not None else ""
                found.append(Operation(kind, operation_name(node), name, layer_kind))
        return tuple(found)

    def forget(self) -> None:
        """Lets the graph go."""
        self.calls.clear()


def _cuts_patches(module: nn.Module) -> bool:
    if not isinstance(module, CONVOLUTIONS):
        return False
    window, stride = tuple(module.kernel_size), tuple(module.stride)
    return window == stride and max(window) > 1


def _shape(value: Any) -> tuple[int, ...] | None:
    first = next(tensors_of(value), None)
    return None if first is None else tuple(first.shape)


def count_kinds(operations: list[Operation]) -> str:
    """How many operations of which name there are, for a message.

    Example:
        >>> count_kinds([Operation("addition", "Add", "", None)] * 2)
        '2 additions'
    """
    counts = Counter(operation.kind for operation in operations)
    return ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items())
