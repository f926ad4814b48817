"""The only place where a method is asked about a model: its cost counted, its answer checked.

:func:`ask` answers a :class:`Request` with an :class:`Answer`, where a failure is an answer, too;
:func:`run_method` raises. :func:`captum_ext.explain`, pictures, the exam, studies and metrics all
stand on them.
"""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from captum.attr import Attribution, DeepLiftShap
from torch import Tensor, nn

from captum_ext.checks import (
    as_tuple,
    check_choice,
    check_differentiable,
    check_inputs,
    is_continuous,
    one_line,
)
from captum_ext.coerce import baselines_of, layer_of
from captum_ext.forward import Remembered, count_passes, default_batch_size, predicted_target
from captum_ext.outputs import (
    only_runs,
    output_settings,
    problem_with_outputs,
    with_output,
)
from captum_ext.passes import checking
from captum_ext.randomness import global_seed
from captum_ext.request import NOISE, NOT_FINITE, ZERO, Answer, Request
from captum_ext.signatures import accepted_arguments, argument_defaults
from captum_ext.soundness import ModelFacts, eager, guarded, keep_caller_state, observe
from captum_ext.soundness.arguments import (
    COUNTS,
    PER_INPUT,
    check_layout,
    checked_arguments,
    count_features,
)
from captum_ext.soundness.evidence import collect_evidence
from captum_ext.soundness.identities import Check, Identity, MethodRun, general_checks
from captum_ext.soundness.model_lock import MODEL_LOCK
from captum_ext.soundness.signature_checks import check_captums, checked_by_signature
from captum_ext.spec import MethodSpec, Need
from captum_ext.targets import (
    check_additional,
    check_batch_first,
    check_one_output,
    check_target,
    clear_target_errors,
    plain_target,
)
from captum_ext.value_checks import AttributionWarning

__all__ = ["NOISE", "NOT_FINITE", "ZERO", "Answer", "Request", "ask", "run_method", "warn_of"]

_ROUTINE_WARNINGS = (
    r"\s*(Input Tensor \d+ did not already require gradients|Setting (forward, )?backward hooks"
    r"|You are providing multiple inputs for Lime|Converting a tensor with requires_grad)"
)


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
    spared = shared.spared if shared is not None else 0.0
    start = time.perf_counter()
    try:
        with _remarks(answer):
            _MethodCall(spec, model, example, request, shared, answer).run()
        _check_values(answer)
    except Exception as error:
        answer.heat, answer.traceback = None, traceback.format_exc()
        answer.exception, answer.error = _without_frames(error), one_line(error)
    answer.elapsed = answer.seconds = time.perf_counter() - start
    if shared is not None:
        answer.seconds += shared.spared - spared
    return answer


def run_method(
    spec: MethodSpec, model: Callable[..., Any], example: Any, request: Request
) -> Answer:
    """Asks a method about a model, and raises what goes wrong.

    Args:
        spec, model, example, request: as of :func:`ask`.

    Returns:
        The answer; its attribution has the shape, dtype and device of ``example``, and no autograd
        graph.

    Raises:
        TypeError, ValueError: as of :func:`captum_ext.explain`.
    """
    answer = Answer()
    _MethodCall(spec, model, example, request, None, answer).run()
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


@dataclass
class _MethodCall:
    """One method, one model, one example: from the request to the checked answer."""

    spec: MethodSpec
    model: Callable[..., Any]
    example: Any
    request: Request
    shared: Remembered | None
    answer: Answer

    def run(self) -> None:
        spec, request = self.spec, self.request
        target = plain_target(request.target)
        check_choice(request.resolution, "resolution", ("pixel", "image"))
        tensors = check_inputs(self.example)
        check_layout(tensors)
        check_target(target, len(tensors[0]))
        if isinstance(target, Tensor) and target.dim() == 0:
            # Captum's lime takes the length of a target tensor.
            target = int(target)
        if request.references is None and spec.compares:
            self.answer.remarks.append(NOISE)
        where = _device_of(self.model, tensors[0].device)
        # Copies, so that no method can leave a mark on the caller's tensors.
        self.copies = tuple(x.detach().clone().to(where) for x in tensors)
        self.additional = request.settings.get("additional_forward_args")
        check_additional(self.additional, len(tensors[0]))
        self._take_differentiable()
        facts = observe(eager(self.model), self.copies, self.additional, request.part)
        if facts.output_error:
            raise ValueError(facts.output_error)
        check_batch_first(facts.output_shape)
        alone = spec.goes_alone or facts.random or facts.training
        with (
            MODEL_LOCK.alone() if alone else MODEL_LOCK.shared(),
            keep_caller_state(self.model),
            global_seed(request.seed) if alone else nullcontext(),
        ):
            self._run(facts, target)

    def _take_differentiable(self) -> None:
        """Leaves whole numbers beside other inputs to the model: they get no attribution."""
        floats = [n for n, x in enumerate(self.copies) if is_continuous(x)]
        if not floats:
            floats = list(range(len(self.copies)))
            if any(x.dtype == torch.bool for x in self.copies):
                raise TypeError("inputs must hold numbers; got torch.bool: pass inputs.float()")
        self.explained = floats
        self.others = [n for n in range(len(self.copies)) if n not in floats]
        self.inputs = tuple(self.copies[n] for n in floats)
        if self.others:
            numbers = ", ".join(map(str, self.others))
            self.answer.checks.append(
                Check(
                    "continuous inputs",
                    False,
                    f"input {numbers} holds whole numbers: it was left as it is and has no "
                    "attribution",
                )
            )

    def _run(self, facts: ModelFacts, target: Any) -> None:
        spec, request, answer = self.spec, self.request, self.answer
        if Need.GRADIENTS in spec.needs and not all(map(is_continuous, self.inputs)):
            answer.applies = False
            check_differentiable(self.inputs)
        if request.output is not None and not hasattr(self.model, "with_output"):
            problem = problem_with_outputs(spec, request.outputs)
            if problem is not None:
                answer.applies = False
                raise ValueError(problem)
        # PAIR's functions need not give values, where only gradients are wanted.
        if facts.error and not getattr(self.model, "gives_one_score", False):
            self._raise_models_error()
        base = eager(self.model) if spec.needs_module else self.model
        order = (*self.explained, *self.others) if self.others else ()
        plain = guarded(base, facts, request.part, order)
        shared = self.shared if plain is self.model else None
        layer = layer_of(base, request.layer)
        try:
            module, answer.output = with_output(
                spec, plain, request.output, request.outputs, shared
            )
            if module is not plain and module is not shared and not only_runs(spec):
                facts = observe(module, self.inputs, self._additional())
            attribution = spec.make(module, layer, facts)
            self._check_size()
        except (TypeError, ValueError):
            answer.applies = False
            raise
        settings = self._settings(attribution, module)
        if target is None:
            target = predicted_target(module, self.inputs, settings.get("additional_forward_args"))
        check_one_output(target, facts.output_shape, len(self.inputs[0]))
        if "target" in self.accepted:
            settings["target"] = target
        with ExitStack() as stack:
            notes = stack.enter_context(collect_evidence()) if request.checks else {}
            self._count(stack, module)
            if facts.compiled and spec.needs_module:
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            result = self._attribute(attribution, module, settings, target)
            self._check_not_empty(result)
            originals = self._given(tuple(as_tuple(self.example)[n] for n in self.explained))
            answer.heat, answer.beside = _parts(_like_inputs(result, originals), originals)
            heat = zip(as_tuple(answer.heat), self.inputs, strict=False)
            run = MethodRun(
                module,
                facts,
                self.inputs,
                tuple(part.to(x.device) if isinstance(part, Tensor) else part for part, x in heat),
                target,
                self._additional(),
                settings,
                notes,
            )
            self._check(run)
        self._restore_inputs()

    def _raise_models_error(self) -> None:
        """Runs the model as it is given: what it raises passes unchanged, whatever the method."""
        with torch.no_grad(), global_seed(self.request.seed), checking():
            self.model(*(x.clone() for x in self.copies), *self._given_additional())

    def _additional(self) -> tuple[Any, ...]:
        """What the model takes beside the inputs that are explained."""
        return (*(self.copies[n] for n in self.others), *self._given_additional())

    def _given_additional(self) -> tuple[Any, ...]:
        return () if self.additional is None else as_tuple(self.additional)

    def _given(self, tensors: tuple[Any, ...]) -> Any:
        """A tuple only where the example is one."""
        return tensors if isinstance(self.example, tuple) else tensors[0]

    def _check_size(self) -> None:
        """Refuses more features than the method can take, one for each pixel."""
        n_features, most = self.inputs[0][0].numel(), self.spec.max_features
        if self.request.resolution == "pixel" and most is not None and n_features > most:
            raise ValueError(
                f"{self.spec.name} does not scale to {n_features} features (at most {most})"
            )

    def _settings(self, attribution: Attribution, module: Any) -> dict[str, Any]:
        """All arguments of ``attribute()`` but the inputs and the target."""
        spec, request, inputs = self.spec, self.request, self.inputs
        self.accepted, takes_any = accepted_arguments(attribution)
        if takes_any:
            self.accepted = self.accepted | {"target"}
        given = self._without_others(request.settings)
        unknown = sorted(set(given) - self.accepted)
        if unknown and not takes_any:
            raise TypeError(
                f"{spec.name} does not take {', '.join(unknown)}; it takes "
                f"{', '.join(sorted(self.accepted - {'inputs', 'target'}))}"
            )
        own = replace(request, settings=given)
        chosen = chosen_settings(spec, self.model, inputs, own)
        self.answer.settings = dict(chosen)
        chosen = checked_by_signature(chosen, argument_defaults(attribution), COUNTS)
        chosen = checked_arguments(chosen, inputs, spec.compares)
        settings = spec.arguments(self._given(inputs), request.resolution, request.seed)
        if request.references is not None:
            check_differentiable(inputs)
            examples = _examples(request.references, self.copies)
            examples = tuple(examples[n] for n in self.explained)
            chosen = spec.reference_arguments(self._given(examples)) | chosen
        if request.passes is not None:
            # A count of None is left open, and the number of passes decides it.
            chosen = {n: v for n, v in chosen.items() if v is not None or n not in COUNTS}
            settings |= spec.within(request.passes, self._given(inputs), request.resolution, chosen)
        settings |= {
            name: value
            for name, value in output_settings(spec, request.output, request.outputs).items()
            if name in self.accepted
        }
        settings |= _general(attribution, module, inputs, request.seed, self.accepted) | chosen
        if self.others:
            settings["additional_forward_args"] = self._additional()
        if settings.get("additional_forward_args") is not None:
            # Captum's lime iterates over what is no tensor.
            settings["additional_forward_args"] = as_tuple(settings["additional_forward_args"])
        self._check_features(settings)
        if _is_captums(attribution) or spec.origin == "captum":
            least = 2 if isinstance(attribution, DeepLiftShap) else 1
            check_captums(settings, inputs, least if Need.BACKGROUND in spec.needs else 0)
        return settings

    def _check_features(self, settings: dict[str, Any]) -> None:
        least = self.spec.min_features
        if least > 1:
            n_features = count_features(settings, self.inputs)
            if n_features < least:
                raise ValueError(
                    f"feature_mask must have at least {least} features for {self.spec.name}; got "
                    f"{n_features}: of one feature, use feature_ablation"
                )

    def _check_not_empty(self, result: Any) -> None:
        """Captum's guided_grad_cam gives an empty tensor where it cannot resize the layer's map."""
        for part, x in zip(as_tuple(result), self.inputs, strict=False):
            if isinstance(part, Tensor) and part.numel() == 0:
                raise ValueError(
                    f"{self.spec.name} does not work with this layer: its output cannot be resized "
                    f"to an input of shape {tuple(x.shape)}"
                )

    def _without_others(self, settings: Any) -> dict[str, Any]:
        """Settings without those of the inputs that are not explained."""
        left = dict(settings)
        for name in PER_INPUT:
            value = left.get(name)
            if self.others and isinstance(value, list | tuple) and len(value) == len(self.copies):
                left[name] = tuple(value[n] for n in self.explained)
        if self.others:
            left.pop("additional_forward_args", None)
        return left

    def _attribute(
        self, attribution: Attribution, module: Any, settings: dict[str, Any], target: Any
    ) -> Any:
        additional = settings.get("additional_forward_args")
        with ExitStack() as stack:
            stack.enter_context(clear_target_errors(module, self.inputs, target, additional))
            if self.spec.build is None:
                stack.callback(_break_cycles, attribution)
            if self.spec.goes_alone:
                # Captum warns that it does what this function asked it to do.
                stack.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", message=_ROUTINE_WARNINGS, category=UserWarning)
            # A clone each, because methods work in place, and the checks need the inputs.
            given = self._given(tuple(x.clone() for x in self.inputs))
            return attribution.attribute(given, **settings)

    def _count(self, stack: ExitStack, module: Any) -> None:
        """Counts what the method asks of ``module``, and what of it reaches the model."""
        answer, model = self.answer, self.model
        if isinstance(module, nn.Module):
            answer.passes = answer.computed = stack.enter_context(count_passes(module))
            answer.check_passes = stack.enter_context(count_passes(module, of_checks=True))
        scripted = isinstance(model, torch.jit.ScriptModule)
        if module is not model and isinstance(model, nn.Module) and not scripted:
            computed = stack.enter_context(count_passes(model))
            if isinstance(module, nn.Module) and model in module.modules():
                answer.computed = computed

    def _check(self, run: MethodRun) -> None:
        answer, request = self.answer, self.request
        answer.checks += general_checks(run.inputs, run.attributions)
        sound = all(check.holds for check in answer.checks if check.name in ("shape", "finite"))
        if request.checks and sound:
            with checking():
                for identity in self.spec.promises:
                    check = _checked(identity, run)
                    if check is not None:
                        answer.checks.append(check)
        answer.remarks += [check.text for check in answer.failed]
        if request.strict and answer.failed:
            raise ValueError(
                f"{self.spec.name}: " + "; ".join(check.text for check in answer.failed)
            )

    def _restore_inputs(self) -> None:
        """Zeros for the inputs that have no attribution."""
        if not self.others:
            return
        parts: list[Tensor | None] = [None] * len(self.copies)
        for number, part in zip(self.explained, as_tuple(self.answer.heat), strict=True):
            parts[number] = part
        originals = as_tuple(self.example)
        self.answer.heat = tuple(
            torch.zeros_like(x) if part is None else part
            for part, x in zip(parts, originals, strict=True)
        )


def warn_of(spec: MethodSpec, answer: Answer, stacklevel: int = 3) -> None:
    """Issues an :class:`~captum_ext.AttributionWarning` for each check that fails."""
    for check in answer.failed:
        warnings.warn(f"{spec.name}: {check.text}", AttributionWarning, stacklevel=stacklevel)


@contextmanager
def _remarks(answer: Answer) -> Iterator[None]:
    """Makes remarks of what methods warn of; other warnings go on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AttributionWarning)
        try:
            yield
        finally:
            for warning in caught:
                if issubclass(warning.category, AttributionWarning):
                    answer.remarks.append(str(warning.message))
    for warning in caught:
        if not issubclass(warning.category, AttributionWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def _checked(identity: Identity, run: MethodRun) -> Check | None:
    """A check; unknown where the model cannot answer it."""
    try:
        return identity.check(run)
    except Exception as error:
        return Check(identity.name, None, f"could not be checked: {one_line(error)}")


def _break_cycles(attribution: Attribution) -> None:
    """Drops an object's references to its own methods, as in KernelShap.

    They would keep it, and the model, alive until the garbage collector runs.
    """
    for name, value in list(vars(attribution).items()):
        if getattr(value, "__self__", None) is attribution:
            delattr(attribution, name)


def _without_frames(error: Exception) -> Exception:
    """An error that keeps no frame alive, nor what its frames hold."""
    chained: BaseException | None = error
    while chained is not None:
        chained.__traceback__ = None
        chained = chained.__cause__ or chained.__context__
    return error


def _check_values(answer: Answer) -> None:
    """Drops an attribution that is not finite."""
    if not all(bool(torch.isfinite(part).all()) for part in as_tuple(answer.heat)):
        answer.heat, answer.error = None, NOT_FINITE


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
    if _is_captums(attribution):
        batch_size = default_batch_size(inputs, model)
        general["perturbations_per_eval"] = max(1, batch_size // inputs[0].shape[0])
        general["internal_batch_size"] = max(batch_size, inputs[0].shape[0])
    return {name: value for name, value in general.items() if name in accepted}


def _is_captums(attribution: Attribution) -> bool:
    """Whether Captum computes the attribution, also for a class that inherits it."""
    return attribution.attribute.__module__.startswith("captum.")


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
