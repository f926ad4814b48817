"""What each call of ``explain()`` comes to: a right result without a trace, or a clear error."""

import inspect
import random as python_random
import re
import warnings
from functools import cache

import numpy as np
import torch
from torch import nn

import captum_ext
from captum_ext.soundness.caller_state import _HOOKS

#: Larger values overflow in what methods compute of them.
LARGE = 1e4
#: By how much rounding may change an example's attribution in a batch, as a part of the largest.
BATCH_TOLERANCE = 1e-3
#: Words of a message that say whose fault it is, beside the names of arguments.
SUBJECTS = ("model", "forward_func")

#: Faults of Captum that no check beforehand can see: ``(method, text of the error): reason``.
KNOWN: dict[tuple[str, str], str] = {}


@cache
def accepted_by(method):
    return frozenset(captum_ext.get_method(method).accepted()[0])


def violation_of(call):
    """What is wrong about what a call comes to; None where all is right."""
    state = _state(call)
    problem, result = None, None
    own_errors = _own_errors(call)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = _explain(call, call.inputs, call.target)
        except Exception as error:
            problem = _problem_of_error(call, error, own_errors)
            if problem is not None:
                error.add_note(str(call))
                error.add_note(problem)
                return error
        else:
            problem = _problem_of_result(call, result)
            if problem is None and call.plain and not own_errors:
                problem = _problem_of_batch(call, result)
    problem = problem or _difference(state, _state(call))
    return None if problem is None else AssertionError(f"{problem}\n  {call}")


def _explain(call, inputs, target):
    result = captum_ext.explain(
        call.subject.model,
        inputs,
        target,
        call.method,
        arguments=call.settings,
        full=True,
        **call.options,
    )
    return result.heat


def _own_errors(call):
    """The kinds of error that the model raises by itself, on all examples or on one."""
    inputs = call.inputs if isinstance(call.inputs, tuple) else (call.inputs,)
    additional = call.settings.get("additional_forward_args")
    additional = additional if isinstance(additional, tuple) else (additional,)
    errors = set()
    buffers = _buffers(call)
    with torch.random.fork_rng(), torch.no_grad():
        for count in (None, 1):
            rows = [x.detach()[:count].clone() if x.dim() else x.detach().clone() for x in inputs]
            try:
                call.subject.model(*rows, *(a for a in additional if a is not None))
            except Exception as error:
                errors.add(type(error))
    for buffer, value in buffers:
        buffer.copy_(value)
    return errors


def _buffers(call):
    model = call.subject.model
    buffers = model.buffers() if isinstance(model, nn.Module) else ()
    return [(buffer, buffer.clone()) for buffer in buffers]


def _problem_of_error(call, error, own_errors):
    if type(error) in own_errors:
        return None
    if any(
        method == call.method and text in f"{type(error).__name__}: {error}"
        for method, text in KNOWN
    ):
        return None
    if not isinstance(error, ValueError | TypeError):
        return f"neither a result nor a clear error: {type(error).__name__}"
    text = str(error)
    names = {*accepted_by(call.method), *inspect.signature(captum_ext.explain).parameters}
    names |= {*SUBJECTS, *call.settings}
    # Python's own messages name arguments of functions inside.
    unclear = re.search(
        r"'NoneType'|has no attribute|unsupported operand|\w\(\) (got|missing)", text
    )
    # A message may speak of one of several: "unknown baseline".
    named = any(re.search(rf"\b{re.escape(name.removesuffix('s'))}s?\b", text) for name in names)
    clear = named and not unclear
    if clear or f"{call.method} does not" in text:
        return None
    return "the message names no argument"


def _problem_of_result(call, heat):
    inputs = call.inputs if isinstance(call.inputs, tuple) else (call.inputs,)
    free_shape = call.settings.get("return_input_shape", True) not in (True, 1)
    if free_shape:
        return None
    if isinstance(heat, tuple) != isinstance(call.inputs, tuple):
        return "a tuple for a tensor, or a tensor for a tuple"
    parts = heat if isinstance(heat, tuple) else (heat,)
    if len(parts) != len(inputs):
        return f"{len(parts)} attributions of {len(inputs)} inputs"
    finite = _model_is_finite(call, inputs)
    problems = (_problem_of_part(*pair, finite) for pair in zip(parts, inputs, strict=True))
    return next((problem for problem in problems if problem), None)


def _problem_of_part(part, x, finite):
    if part.shape != x.shape:
        return f"shape {tuple(part.shape)} of an attribution of {tuple(x.shape)}"
    if x.is_floating_point() and part.dtype != x.dtype:
        return f"dtype {part.dtype} of an attribution of {x.dtype}"
    if part.device != x.device or part.requires_grad:
        return "another device, or an autograd graph"
    if finite and not torch.isfinite(part).all():
        return "an attribution that is not finite, of a model that is"
    return None


def _model_is_finite(call, inputs):
    """Whether the model's outputs and gradients are finite, and far from overflow."""
    low = call.subject.dtype in (torch.float16, torch.bfloat16)
    values = [value for value in call.settings.values() if isinstance(value, int | float)]
    if any(abs(value) > LARGE for value in values) or low:
        return False
    if any(x.numel() and float(x.detach().abs().max()) > LARGE for x in inputs):
        return False
    return call.subject.exact


def _problem_of_batch(call, heat):
    """Whether the first example alone gets what it gets in its batch."""
    inputs = call.inputs if isinstance(call.inputs, tuple) else (call.inputs,)
    spec = captum_ext.get_method(call.method)
    differs = "batch_mates" in spec.deviations or call.subject.dtype != torch.float32
    if len(inputs[0]) == 1 or differs or not _model_is_finite(call, inputs):
        return None
    first = tuple(x.detach()[:1] for x in inputs)
    try:
        alone = _explain(call, first if isinstance(call.inputs, tuple) else first[0], call.target)
    except ValueError as error:
        # Whether outputs are probabilities is found by the values of all examples.
        return None if "probabilities must" in str(error) else f"alone it raises {error}"
    parts = heat if isinstance(heat, tuple) else (heat,)
    alone = alone if isinstance(alone, tuple) else (alone,)
    for part, one in zip(parts, alone, strict=True):
        if part.shape[1:] != one.shape[1:]:
            return "another shape without batch mates"
        most = (part[:1] - one).abs().max()
        if most > BATCH_TOLERANCE * one.abs().max() + 1e-6:
            return f"batch mates change the attribution by {float(most):g}"
    return None


def _state(call):
    """All that a call must leave as it was, by name."""
    state = {
        "torch's random state": torch.get_rng_state(),
        "NumPy's random state": str(np.random.get_state()),
        "Python's random state": python_random.getstate(),
        "gradients are enabled": torch.is_grad_enabled(),
        "settings": list(call.settings),
    }
    inputs = call.inputs if isinstance(call.inputs, tuple) else (call.inputs,)
    for number, x in enumerate(inputs):
        state |= _tensor_state(f"inputs[{number}]", x)
    for name, value in (call.settings | call.options | {"target": call.target}).items():
        for number, part in enumerate(value if isinstance(value, tuple) else (value,)):
            if isinstance(part, torch.Tensor):
                state |= _tensor_state(f"{name}[{number}]", part)
    model = call.subject.model
    if isinstance(model, nn.Module):
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            state |= _tensor_state(name, tensor)
        for name, module in model.named_modules():
            state[f"mode of {name}"] = module.training
            state[f"attributes of {name}"] = sorted(vars(module))
            for kind in _HOOKS:
                state[f"{kind} of {name}"] = len(vars(module).get(kind) or ())
    return state


def _tensor_state(name, x):
    return {
        name: x.detach().clone(),
        f"requires_grad of {name}": x.requires_grad,
        f"grad of {name}": x.grad is None if x.is_leaf else True,
        f"strides of {name}": x.stride(),
    }


def _difference(before, after):
    for name, value in before.items():
        other = after.get(name)
        if isinstance(value, torch.Tensor):
            same = isinstance(other, torch.Tensor) and torch.equal(
                value.nan_to_num() if value.is_floating_point() else value,
                other.nan_to_num() if other.is_floating_point() else other,
            )
        else:
            same = value == other
        if not same:
            return f"the call changed {name}"
    return None
