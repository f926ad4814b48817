"""From a torch model to PAIR's ``call_model_function``, which answers every key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from saliency.core.base import (
    CONVOLUTION_LAYER_VALUES,
    CONVOLUTION_OUTPUT_GRADIENTS,
    INPUT_OUTPUT_GRADIENTS,
    OUTPUT_LAYER_VALUES,
)
from torch import Tensor, nn

from captum_ext.call_model.keys import (
    KEYS,
    LAYER_BASELINE,
    REP_DISTANCE_GRADIENTS,
    REP_LAYER_VALUES,
    as_array,
    as_numbers,
    channels_first,
    channels_last,
)
from captum_ext.checks import check_choice
from captum_ext.layers import Tap, gradients_of
from captum_ext.soundness import keep_caller_state, observe
from captum_ext.soundness.suitability import last_convolution, last_representation
from captum_ext.targets import plain_target, select_target

_WITH_GRADIENTS = {INPUT_OUTPUT_GRADIENTS, CONVOLUTION_OUTPUT_GRADIENTS, REP_DISTANCE_GRADIENTS}
_OF_CONVOLUTION = {CONVOLUTION_LAYER_VALUES, CONVOLUTION_OUTPUT_GRADIENTS}
_OF_REPRESENTATION = {REP_LAYER_VALUES, REP_DISTANCE_GRADIENTS}

#: Names under which ``call_model_args`` may hold the class: Captum's, and those of PAIR's examples.
TARGET_NAMES = ("target", "class_idx_str", "class_idx", "target_class_idx", "class_index", "class")


def call_model_function(
    model: Callable[..., Any],
    target: Any = None,
    layer: nn.Module | None = None,
    representation_layer: nn.Module | Callable[..., Tensor] | None = None,
    channels_last: bool = True,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> TorchCallModel:
    """PAIR's function for a torch model. It answers every key, several from one forward pass.

    Args:
        model: a module, or a function of a tensor ``[B, ...]``. Its mode is not changed.
        target: the output to explain, an int or a tuple of ints. A class in ``call_model_args``
            (as ``"target"``, or PAIR's ``"class_idx_str"``) goes before it. None where the model
            gives one output per example.
        layer: the convolution of CONVOLUTION_LAYER_VALUES and CONVOLUTION_OUTPUT_GRADIENTS; None
            takes the model's last one.
        representation_layer: the layer whose output REP_LAYER_VALUES gives, or a function that
            gives it; None takes the input of the last linear or convolutional layer that runs.
        channels_last: 4-d arrays have their channels last, ``[B, H, W, C]``, as PAIR has them;
            the model gets ``[B, C, H, W]``.
        preprocess: applied to the tensor ``[B, C, H, W]`` before the model; differentiable.
            Gradients are with respect to what goes into it.
        dtype: what the arrays become; None takes that of the model's parameters or buffers, or,
            where there are none, leaves them as they are.

    Returns:
        A function of ``(x_value_batch, call_model_args=None, expected_keys=None)`` that gives
        arrays by key: OUTPUT_LAYER_VALUES ``[B]``, INPUT_OUTPUT_GRADIENTS and
        REP_DISTANCE_GRADIENTS like ``x_value_batch``, the convolution's values and gradients
        ``[B, h, w, channels]``, REP_LAYER_VALUES as the layer gives them. REP_DISTANCE_GRADIENTS
        needs ``call_model_args["layer_baseline"]``, the references' REP_LAYER_VALUES.

    Raises:
        TypeError: ``model``, ``preprocess`` or a layer is of a wrong type.
        ValueError: when called, for an unknown key, a class that is missing or does not fit, a
            layer that does not run, or no default layer.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        >>> function = call_model_function(model, target=1)
        >>> answer = function(np.zeros((2, 2, 2, 3)), expected_keys=[INPUT_OUTPUT_GRADIENTS])
        >>> answer[INPUT_OUTPUT_GRADIENTS].shape
        (2, 2, 2, 3)
    """
    return TorchCallModel(
        model, target, layer, representation_layer, channels_last, preprocess, dtype
    )


class TorchCallModel:
    """A torch model as PAIR's function: what :func:`call_model_function` gives."""

    def __init__(
        self,
        model: Callable[..., Any],
        target: Any,
        layer: nn.Module | None,
        representation_layer: nn.Module | Callable[..., Tensor] | None,
        channels_last: bool,
        preprocess: Callable[[Tensor], Tensor] | None,
        dtype: torch.dtype | None,
    ) -> None:
        if layer is not None and not isinstance(layer, nn.Module):
            raise TypeError(f"layer must be a torch.nn.Module; got {type(layer).__name__}")
        functions = {
            "model": model,
            "representation_layer": representation_layer,
            "preprocess": preprocess,
        }
        for name, value in functions.items():
            if not callable(value) and (value is not None or name == "model"):
                raise TypeError(f"{name} must be a function; got {type(value).__name__}")
        self.model = model
        self.target = target
        self.layer = layer
        self.representation_layer = representation_layer
        # The representation is the input of the default layer.
        self.represent_by_input = representation_layer is None
        self.channels_last = channels_last
        self.preprocess = preprocess
        self.dtype = dtype
        self._warns = True

    def __call__(
        self,
        x_value_batch: Any,
        call_model_args: Mapping[str, Any] | None = None,
        expected_keys: Any = None,
    ) -> dict[str, np.ndarray]:
        keys = [OUTPUT_LAYER_VALUES, INPUT_OUTPUT_GRADIENTS]
        if expected_keys is not None:
            expected_keys = [expected_keys] if isinstance(expected_keys, str) else expected_keys
            keys = [check_choice(key, "key of expected_keys", KEYS) for key in expected_keys]
        arguments = _arguments(call_model_args)
        if REP_DISTANCE_GRADIENTS in keys and LAYER_BASELINE not in arguments:
            raise ValueError(
                f"call_model_args must hold {LAYER_BASELINE!r}, the REP_LAYER_VALUES of the "
                "references, for REP_DISTANCE_GRADIENTS"
            )
        x = self.as_input(x_value_batch).requires_grad_(bool(_WITH_GRADIENTS & set(keys)))
        warns, self._warns = self._warns, False
        with (
            keep_caller_state(self.model, warns=warns),
            torch.set_grad_enabled(x.requires_grad),
        ):
            look = _Look(self, x, set(keys), arguments)
            return {key: look.answer(key) for key in keys}

    def target_in(self, call_model_args: Any) -> Any:
        """The class that ``call_model_args`` asks for, or else the one given at the start.

        Raises:
            ValueError: it asks for several.
        """
        arguments = _arguments(call_model_args)
        named = {name: plain_target(arguments.get(name)) for name in TARGET_NAMES}
        named = {name: value for name, value in named.items() if value is not None}
        targets = list(named.values()) or [self.target]
        if any(target != targets[0] for target in targets):
            raise ValueError(f"call_model_args must ask for one class; got {named}")
        return targets[0]

    def module(self) -> nn.Module:
        """The model with its preprocessing, for methods that need a torch module.

        Raises:
            TypeError: the model is not a module.
        """
        if not isinstance(self.model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module; got {type(self.model).__name__}")
        return self.model if self.preprocess is None else _Chain(self.preprocess, self.model)

    def representation_of(self, ready: Tensor) -> Any:
        """The given module or function of the representation, or the default one."""
        if self.representation_layer is None:
            if not isinstance(self.model, nn.Module):
                raise ValueError("representation_layer must be given where model is no module")
            facts = observe(self.model, ready)
            self.representation_layer = facts.module(last_representation(facts))
        return self.representation_layer

    def convolution(self, ready: Tensor) -> nn.Module:
        """The given convolution, or the default one."""
        if self.layer is None:
            if not isinstance(self.model, nn.Module):
                raise ValueError("layer must be given where model is no module")
            facts = observe(self.model, ready)
            self.layer = facts.module(last_convolution(facts))
        return self.layer

    def as_input(self, x_value_batch: Any) -> Tensor:
        """The batch as the model takes it: channels first, in its dtype, on its device."""
        x = torch.from_numpy(as_numbers(x_value_batch, "x_value_batch"))
        like = next(iter(_tensors(self.model)), None)
        if not x.is_floating_point():
            x = x.to(torch.get_default_dtype())
        if like is not None:
            x = x.to(like.device, like.dtype)
        x = x.to(self.dtype or x.dtype)
        return channels_first(x) if self.channels_last else x


class _Look:
    """One forward pass, and what can be learned from it."""

    def __init__(
        self, asked: TorchCallModel, x: Tensor, keys: set[str], arguments: Mapping[str, Any]
    ) -> None:
        self.asked = asked
        self.x = x
        self.arguments = arguments
        # Clones, because a model may begin with work in place.
        ready = x.clone() if asked.preprocess is None else asked.preprocess(x.clone())
        convolution = Tap(asked.convolution(ready)) if keys & _OF_CONVOLUTION else None
        representation: Tap | None = None
        self.represented: Tensor | None = None
        if keys & _OF_REPRESENTATION:
            layer = asked.representation_of(ready)
            if isinstance(layer, nn.Module):
                representation = Tap(layer, of_input=asked.represent_by_input)
            else:
                self.represented = layer(ready.clone())
        with ExitStack() as taps:
            for tap in (convolution, representation):
                if tap is not None:
                    taps.enter_context(tap)
            self.output = asked.model(ready)
        if not isinstance(self.output, Tensor):
            raise TypeError(f"model must return a tensor; got {type(self.output).__name__}")
        self.convolved = None if convolution is None else convolution.values
        if representation is not None:
            self.represented = representation.values

    def answer(self, key: str) -> np.ndarray:
        if key == OUTPUT_LAYER_VALUES:
            return as_array(self.score())
        if key == INPUT_OUTPUT_GRADIENTS:
            return self._like_input(self._gradient(self.score().sum(), self.x))
        if key == CONVOLUTION_LAYER_VALUES:
            return as_array(channels_last(self._convolution()))
        if key == CONVOLUTION_OUTPUT_GRADIENTS:
            return as_array(channels_last(self._gradient(self.score().sum(), self._convolution())))
        if key == REP_LAYER_VALUES:
            return as_array(self.representation())
        return self._like_input(self._gradient(self._closeness(), self.x))

    def score(self) -> Tensor:
        """The explained output ``[B]``."""
        target = self.asked.target_in(self.arguments)
        if self.output.shape[:1] != self.x.shape[:1]:
            raise ValueError(
                f"model must return a row for each of the {len(self.x)} examples; got shape "
                f"{tuple(self.output.shape)}"
            )
        scores = select_target(self.output, target)
        if scores.numel() != len(self.x):
            raise ValueError(
                "target must be given, to call_model_function or in call_model_args as "
                f"{{'target': ...}}: the model's output has shape {tuple(self.output.shape)} and "
                f"target is {target!r}"
            )
        return scores.reshape(-1)

    def representation(self) -> Tensor:
        if not isinstance(self.represented, Tensor):
            kind = type(self.represented).__name__
            raise TypeError(f"representation_layer must give a tensor; got {kind}")
        return self.represented

    def _closeness(self) -> Tensor:
        """Minus the mean squared distance to ``layer_baseline``."""
        representation = self.representation()
        baseline = self.arguments[LAYER_BASELINE]
        if not isinstance(baseline, Tensor):
            name = f"call_model_args[{LAYER_BASELINE!r}]"
            baseline = torch.from_numpy(as_numbers(baseline, name))
        baseline = baseline.detach().to(representation)
        if baseline.shape != representation.shape:
            raise ValueError(
                f"call_model_args[{LAYER_BASELINE!r}] must have the shape of the representation, "
                f"{tuple(representation.shape)}; got {tuple(baseline.shape)}"
            )
        return -(representation - baseline).square().mean()

    def _convolution(self) -> Tensor:
        if self.convolved is None:
            raise ValueError("the convolution's values were not requested when the model ran")
        return self.convolved

    def _gradient(self, output: Tensor, leaf: Tensor) -> Tensor:
        return gradients_of(output, (leaf,), keep_graph=True, name="model")[0]

    def _like_input(self, gradient: Tensor) -> np.ndarray:
        return as_array(channels_last(gradient) if self.asked.channels_last else gradient)


class _Chain(nn.Module):
    """A function, then a model."""

    def __init__(self, first: Callable[[Tensor], Tensor], model: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.model = model
        self.training = model.training

    def forward(self, x: Tensor) -> Any:
        return self.model(self.first(x))


def _arguments(call_model_args: Any) -> Mapping[str, Any]:
    """``call_model_args`` as a mapping, with the class, if any, under a name that is known."""
    if call_model_args is None:
        return {}
    if not isinstance(call_model_args, Mapping):
        raise TypeError(
            f"call_model_args must be a dict or None; got {type(call_model_args).__name__}"
        )
    for name in call_model_args:
        # Other arguments are the caller's own affair, but a class must not get lost by a typo.
        near = get_close_matches(str(name), (*TARGET_NAMES, LAYER_BASELINE), n=1, cutoff=0.8)
        if near and near[0] != name:
            raise ValueError(f"unknown key {name!r} in call_model_args; did you mean {near[0]!r}?")
    return call_model_args


def _tensors(model: Any) -> list[Tensor]:
    """The floating-point parameters and buffers of a module."""
    tensors = (*model.parameters(), *model.buffers()) if isinstance(model, nn.Module) else ()
    return [tensor for tensor in tensors if tensor.is_floating_point()]
