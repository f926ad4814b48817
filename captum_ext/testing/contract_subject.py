"""The method under test, with the tiny models and inputs of the checks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from captum.attr import Attribution
from torch import Tensor, nn

from captum_ext.budgets import Call
from captum_ext.checks import as_tuple
from captum_ext.randomness import global_seed
from captum_ext.signatures import accepted_arguments, argument_defaults
from captum_ext.spec import MethodSpec, Need

BATCH, SIZE, CLASSES = 3, 6, 4
#: A method is held to so many passes, where its defaults take more.
MOST_PASSES = 600


class _Plain(nn.Module):
    """A small convolutional classifier of ``[B, 3, 6, 6]``."""

    def __init__(self, width: int = SIZE) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(4 * SIZE * width, CLASSES)
        self.head: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(self.linear(self.flatten(self.relu(self.conv(x)))))
        return output


class _Blind(_Plain):
    """Sees the left half only."""

    def __init__(self) -> None:
        super().__init__(SIZE // 2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[..., : SIZE // 2])


class _Scalar(_Plain):
    """One score per example, ``[B]``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, 1]


class _GridOutput(_Plain):
    """Outputs ``[B, 2, 2]``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).reshape(-1, 2, 2)


class _Gained(_Plain):
    """Its logits are multiplied by a gain for each example ``[B]``, and by a number."""

    def forward(self, x: Tensor, gain: Tensor, factor: float) -> Tensor:  # type: ignore[override]
        logits = self.linear(self.flatten(self.relu(self.conv(x))))
        output: Tensor = self.head(logits * gain[:, None] * factor)
        return output


class _TwoInputs(nn.Module):
    """Takes ``[B, 3, 6, 6]`` and ``[B, 1, 4, 4]``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(1, 2, 3, padding=1)
        self.relu = nn.ReLU()
        self.linear = nn.Linear(4 * SIZE**2 + 2 * 4**2, CLASSES)
        self.head: nn.Module = nn.Identity()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        features = torch.cat([self.first(x).flatten(1), self.second(y).flatten(1)], dim=1)
        output: Tensor = self.head(self.linear(self.relu(features)))
        return output


_MODELS: dict[str, Callable[[], nn.Module]] = {
    "plain": _Plain,
    "blind": _Blind,
    "scalar": _Scalar,
    "grid": _GridOutput,
    "gained": _Gained,
    "two_inputs": _TwoInputs,
}


class ContractSubject:
    """A method on trial, with the models and inputs that it is tried on."""

    def __init__(self, spec: MethodSpec, device: torch.device) -> None:
        self.spec = spec
        self.device = device
        self.built_in = spec.origin == "captum"

    def model(self, kind: str = "plain") -> nn.Module:
        torch_state = torch.get_rng_state()
        torch.manual_seed(0)
        model = _MODELS[kind]().double().eval()
        torch.set_rng_state(torch_state)
        if Need.PROBABILITIES in self.spec.needs:
            model.head = nn.Softmax(dim=1)
        return model.to(self.device)

    def inputs(self, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(BATCH, 3, SIZE, SIZE, generator=generator, dtype=torch.float64)
        return images.to(self.device)

    def small_inputs(self) -> Tensor:
        generator = torch.Generator().manual_seed(2)
        images = torch.rand(BATCH, 1, 4, 4, generator=generator, dtype=torch.float64)
        return images.to(self.device)

    def attribution(self, model: Any) -> Attribution:
        modules = model.modules() if isinstance(model, nn.Module) else ()
        layers = [module for module in modules if isinstance(module, nn.Conv2d)]
        return self.spec.make(model, layers[-1] if Need.LAYER in self.spec.needs else None)

    def arguments(self, attribution: Attribution, inputs: Any, seed: int = 0) -> dict[str, Any]:
        arguments = self.spec.arguments(inputs, "pixel", seed)
        # What the contract asks for holds for any number of samples or steps.
        known = {k: v for k, v in argument_defaults(attribution).items() if v is not None}
        call = Call(as_tuple(inputs), known | arguments, frozenset(), "pixel")
        budget = self.spec.budget
        # A count that None leaves to the method is not known here.
        with suppress(KeyError, ValueError):
            if budget is not None and budget.cost(call) > MOST_PASSES:
                arguments |= self.spec.within(MOST_PASSES, inputs, "pixel")
        if "generator" in accepted_arguments(attribution)[0]:
            arguments["generator"] = seed
        return arguments

    def attribute(
        self, inputs: Any, target: Any = 1, model: Any = None, seed: int = 0, **kwargs: Any
    ) -> Any:
        attribution = self.attribution(self.model() if model is None else model)
        arguments = self.arguments(attribution, inputs, seed) | kwargs
        with global_seed(seed):
            return attribution.attribute(inputs, target=target, **arguments)

    def has_argument(self, name: str) -> bool:
        return name in accepted_arguments(self.attribution(self.model()))[0]
