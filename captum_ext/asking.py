"""The only place where a method is asked about a model, its cost counted, a failure an answer.

:func:`ask` answers a :class:`Request` with an :class:`Answer`. :func:`captum_ext.explain`,
pictures, the exam, studies and metrics all stand on it.
"""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from captum.attr import Attribution
from torch import Tensor, nn

from captum_ext.checks import as_tuple, check_choice, check_inputs, one_line
from captum_ext.coerce import baselines_of, layer_of
from captum_ext.forward import (
    Passes,
    Remembered,
    count_passes,
    default_batch_size,
    predicted_target,
)
from captum_ext.outputs import output_settings, with_output
from captum_ext.randomness import global_seed
from captum_ext.signatures import accepted_arguments
from captum_ext.spec import MethodSpec, Resolution
from captum_ext.targets import check_target, clear_target_errors, plain_target

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
        baseline: name of a baseline, of :data:`captum_ext.baselines.BASELINES`.
        references: examples of other images, a tensor ``[R, ...]`` for each input.
        layer: for methods that look into one, or its name.
        settings: arguments of ``attribute()``, in place of the defaults.
        passes: the most passes that the method may take; None: no limit.
        seed: of what is drawn.
        resolution: see :func:`captum_ext.explain`.
    """

    target: Any = None
    output: str | None = None
    outputs: str = "softmax"
    baseline: str | None = None
    references: Tensor | tuple[Tensor, ...] | None = field(default=None, repr=False)
    layer: nn.Module | str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    passes: int | None = None
    seed: int = 0
    resolution: Resolution = "image"


@dataclass
class Answer:
    """What a method says, and what it cost.

    Attributes:
        heat: the attribution, of the shape, dtype and device of the example; None where there is
            none.
        beside: what ``attribute()`` returned beside it, as a convergence delta.
        output: which output was explained; empty where the model's only one was.
        settings: the arguments that were chosen for the method, without its defaults.
        error: why there is no attribution, in one line.
        traceback: of the error.
        applies: False where the method does not work on such a model or input at all.
        remarks: what is odd about the attribution.
        passes: examples that the method sent to the model, those answered from memory included.
        computed: examples that went through the model.
        seconds: wall time, as if no other method had asked the same before.
        elapsed: wall time that it really took.
        exception: that was raised; None where :attr:`error` is about the attribution.
    """

    heat: Any = field(default=None, repr=False)
    beside: Sequence[Any] = field(default=(), repr=False)
    output: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    error: str = ""
    traceback: str = field(default="", repr=False)
    applies: bool = True
    remarks: list[str] = field(default_factory=list)
    passes: Passes = field(default_factory=Passes)
    computed: Passes = field(default_factory=Passes)
    seconds: float = 0.0
    elapsed: float = 0.0
    exception: Exception | None = field(default=None, repr=False)

    @property
    def remark(self) -> str:
        """Why there is no attribution, or what is odd about it."""
        return self.error or "; ".join(self.remarks)


def ask(
    spec: MethodSpec,
    model: Callable[..., Any],
    example: Tensor | tuple[Tensor, ...],
    request: Request,
    shared: Remembered | None = None,
) -> Answer:
    """Asks a method about a model; a failure is an answer, too.

    Args:
        spec: the method.
        model: a module, or a function where the method needs no module; its passes are counted.
        example: what the model sees, ``[B, ...]``, or a tuple of such.
        request: what is asked.
        shared: answers as ``model`` does, and keeps its answers for the next method that only runs
            the model.

    Example:
        >>> from captum_ext.registry import get_method
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        >>> answer = ask(get_method("saliency"), model, torch.rand(1, 3, 2, 2), Request(target=1))
        >>> answer.heat.shape, answer.passes
        (torch.Size([1, 3, 2, 2]), Passes(forward=1, backward=1))
        >>> ask(get_method("saliency"), abs, torch.rand(1, 2), Request(target=9)).error
        "target 9 does not fit the model's output of shape (1, 2)"
    """
    answer = Answer()
    if request.references is None and spec.compares:
        answer.remarks.append(NOISE)
    spared = shared.spared if shared is not None else 0.0
    start = time.perf_counter()
    try:
        module, answer.output = with_output(spec, model, request.output, request.outputs, shared)
        problem = spec.problem_with(module, layer_of(model, request.layer)) or _too_large(
            spec, example, request
        )
        answer.applies = problem is None
        if problem is not None:
            raise ValueError(problem)
        answer.settings = chosen_settings(spec, model, as_tuple(example), request)
        prepared = replace(request, settings=answer.settings, baseline=None)
        with _counting(answer, module, model):
            answer.heat, answer.beside = run_method(spec, module, example, prepared, model)
        _check_values(answer)
    except Exception as error:
        answer.heat, answer.exception = None, error
        answer.error, answer.traceback = one_line(error), traceback.format_exc()
    answer.elapsed = answer.seconds = time.perf_counter() - start
    if shared is not None:
        answer.seconds += shared.spared - spared
    return answer


def chosen_settings(
    spec: MethodSpec, model: Callable[..., Any], inputs: tuple[Tensor, ...], request: Request
) -> dict[str, Any]:
    """A request's arguments of ``attribute()``, as the method takes them.

    Lists are tuples, and baselines of a name are tensors.

    Args:
        spec, model, request: as of :func:`ask`.
        inputs: what the model sees.

    Raises:
        TypeError, ValueError: a value that does not fit the inputs; an unknown name.
    """
    chosen = {name: _as_tuples(value) for name, value in request.settings.items()}
    if request.baseline is not None:
        chosen.setdefault("baselines", request.baseline)
    if isinstance(chosen.get("baselines"), str):
        made = baselines_of(chosen["baselines"], spec, model, inputs, request.seed)
        chosen["baselines"] = made if len(made) > 1 else made[0]
    return chosen if spec.convert is None else spec.convert(inputs, chosen)


def run_method(
    spec: MethodSpec,
    model: Callable[..., Any],
    example: Any,
    request: Request,
    base: Callable[..., Any] | None = None,
) -> tuple[Any, tuple[Any, ...]]:
    """Runs a method with defaults that suit the example.

    Args:
        spec: the method.
        model: as the method sees it.
        example: a tensor ``[B, ...]`` or a tuple of them.
        request: what is asked; ``model`` gives the output that it asks for.
        base: the model whose layers and baselines have names; None: ``model``.

    Returns:
        The attribution, of the shape, dtype and device of ``example``, without autograd graph, and
        what ``attribute()`` returned beside it.

    Raises:
        TypeError, ValueError: as of :func:`captum_ext.explain`.
    """
    base = model if base is None else base
    target = plain_target(request.target)
    check_choice(request.resolution, "resolution", ("pixel", "image"))
    tensors = check_inputs(example)
    check_target(target, tensors[0].shape[0])
    several = isinstance(example, tuple)
    attribution = spec.make(model, layer_of(base, request.layer))
    accepted, takes_any = accepted_arguments(attribution)
    unknown = sorted(set(request.settings) - accepted)
    if unknown and not takes_any:
        raise TypeError(
            f"{spec.name} does not take {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(accepted - {'inputs', 'target'}))}"
        )
    # Copies, so that no method can leave a mark on the caller's tensors.
    where = _device_of(model, tensors[0].device)
    copies = tuple(tensor.detach().clone().to(where) for tensor in tensors)
    settings = spec.arguments(copies if several else copies[0], request.resolution, request.seed)
    compared: dict[str, Any] = {}
    if request.references is not None:
        examples = _examples(request.references, copies)
        compared = spec.reference_arguments(examples if several else examples[0])
    chosen = compared | chosen_settings(spec, base, copies, request)
    if request.passes is not None:
        settings |= spec.within(
            request.passes, copies if several else copies[0], request.resolution, chosen
        )
    settings |= {
        name: value
        for name, value in output_settings(spec, request.output, request.outputs).items()
        if name in accepted
    }
    settings |= _general(attribution, model, copies, request.seed, accepted) | chosen
    additional = settings.get("additional_forward_args")
    if target is None:
        target = predicted_target(model, copies, additional)
    if "target" in accepted or takes_any:
        settings["target"] = target
    with (
        clear_target_errors(model, copies, target, additional),
        global_seed(request.seed),
        warnings.catch_warnings(),
    ):
        # Captum warns that it does what this function asked it to do.
        warnings.filterwarnings("ignore", message=_ROUTINE_WARNINGS, category=UserWarning)
        result = attribution.attribute(copies if several else copies[0], **settings)
    return _parts(_like_inputs(result, example), example)


_ROUTINE_WARNINGS = (
    r"\s*(Input Tensor \d+ did not already require gradients|Setting (forward, )?backward hooks"
    r"|You are providing multiple inputs for Lime|Converting a tensor with requires_grad)"
)


def _too_large(spec: MethodSpec, example: Any, request: Request) -> str | None:
    """Why a method would not end: more features than it can take, one for each pixel."""
    n_features, most = as_tuple(example)[0][0].numel(), spec.max_features
    if request.resolution != "pixel" or most is None or n_features <= most:
        return None
    return f"{spec.name} does not scale to {n_features} features (at most {most})"


@contextmanager
def _counting(
    answer: Answer, module: Callable[..., Any], model: Callable[..., Any]
) -> Iterator[None]:
    """Counts what the method asks of ``module``, and what of it reaches ``model``."""
    with ExitStack() as stack:
        if isinstance(module, nn.Module):
            answer.passes = answer.computed = stack.enter_context(count_passes(module))
        if module is not model and isinstance(model, nn.Module):
            computed = stack.enter_context(count_passes(model))
            if isinstance(module, nn.Module) and model in module.modules():
                answer.computed = computed
        yield


def _check_values(answer: Answer) -> None:
    """Drops an attribution that is not finite, and remarks on one that is zero."""
    parts = as_tuple(answer.heat)
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        answer.heat, answer.error = None, NOT_FINITE
    elif not any(bool(part.any()) for part in parts):
        answer.remarks.append(ZERO)


def _parts(result: Any, example: Any) -> tuple[Any, tuple[Any, ...]]:
    """The attribution in what ``attribute()`` returned, and what came beside it."""
    if not isinstance(result, tuple):
        return result, ()
    if isinstance(example, tuple) and not isinstance(result[0], tuple):
        return result, ()
    return result[0], tuple(result[1:])


def _examples(references: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """References, known to be like the inputs, where these are."""
    examples = check_inputs(references, "references")
    if [part.shape[1:] for part in examples] != [x.shape[1:] for x in inputs]:
        raise ValueError(
            f"references must be like inputs, {[tuple(x.shape[1:]) for x in inputs]} each; got "
            f"{[tuple(part.shape[1:]) for part in examples]}"
        )
    return tuple(part.to(x) for part, x in zip(examples, inputs, strict=True))


def _general(
    attribution: Attribution,
    model: Callable[..., Any],
    inputs: tuple[Tensor, ...],
    seed: int,
    accepted: set[str],
) -> dict[str, Any]:
    """The arguments that many methods have: the seed, and batch sizes for Captum's."""
    general = {"generator": seed}
    # Captum's own, also in a class that inherits it: by itself it takes one row, or all, at once.
    if attribution.attribute.__module__.startswith("captum."):
        batch_size = default_batch_size(inputs, model)
        general["perturbations_per_eval"] = max(1, batch_size // inputs[0].shape[0])
        general["internal_batch_size"] = max(batch_size, inputs[0].shape[0])
    return {name: value for name, value in general.items() if name in accepted}


def _device_of(model: Callable[..., Any], inputs: torch.device) -> torch.device:
    """Where a module's parameters are; where the inputs are, if there are none."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), inputs)


def _as_tuples(value: Any) -> Any:
    """Lists as the tuples that methods want; study files and the command line have lists."""
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list) else value


def _like_inputs(result: Any, inputs: Any) -> Any:
    """Detached, in its input's dtype and on its device; what comes beside attributions as it is."""
    if isinstance(inputs, tuple) and isinstance(result, tuple) and len(result) == len(inputs):
        pairs = zip(result, inputs, strict=True)
        return tuple(_like_inputs(part, tensor) for part, tensor in pairs)
    if isinstance(result, tuple):
        return tuple(_like_inputs(part, inputs) for part in result)
    if not isinstance(result, Tensor):
        return result
    like = inputs if isinstance(inputs, Tensor) else inputs[0]
    dtype = like.dtype if like.is_floating_point() else result.dtype
    return result.detach().to(like.device, dtype)
