"""A model as methods may rely on it, where the observed run says that it is not so by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from captum_ext.soundness.model_facts import ModelFacts, is_wrapped
from captum_ext.soundness.model_output import pick_output


class GuardedModel(nn.Module):
    """Gives copies to a model that changes its inputs, and gives one tensor.

    Args:
        model: what is called; a module keeps its place among the modules.
        clones: whether the model gets copies of its inputs.
        output: which part of its output counts; see
            :func:`captum_ext.soundness.model_output.pick_output`.
        unused: the numbers of the inputs that the output ignores: their gradient is zero.
        dtype: of all floating-point inputs; None leaves them.
        order: the place at which ``model`` takes each argument, where these come in another order.
            The numbers of :attr:`unused` count the places in the model.

    Example:
        >>> class Halves(nn.Module):
        ...     def forward(self, x, y):
        ...         x *= 0.5
        ...         return x, None
        >>> x, y = torch.ones(1, 2), torch.ones(1, 2, requires_grad=True)
        >>> GuardedModel(Halves(), clones=True, unused=(1,))(x, y)
        tensor([[0.5000, 0.5000]], grad_fn=<AddBackward0>)
        >>> x
        tensor([[1., 1.]])
    """

    def __init__(
        self,
        model: Callable[..., Any],
        clones: bool = False,
        output: int | str | None = None,
        unused: tuple[int, ...] = (),
        dtype: torch.dtype | None = None,
        order: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if isinstance(model, nn.Module):
            self.model = model
            self.training = model.training
        else:
            self.__dict__["model"] = model
        self.clones, self.output, self.unused = clones, output, unused
        self.dtype, self.order = dtype, order

    def forward(self, *arguments: Any) -> Tensor:
        """The explained tensor of the model's output."""
        given = list(arguments)
        if self.order:
            moved = sorted(zip(self.order, given, strict=False), key=lambda pair: pair[0])
            given = [value for _, value in moved] + given[len(self.order) :]
        passed = [self._prepared(value) for value in given]
        output = pick_output(self.model(*passed), self.output)
        for number in self.unused:
            value = given[number]
            if isinstance(value, Tensor) and value.requires_grad:
                # The empty sum depends on the input, and has the gradient zero.
                output = output + value.flatten()[:0].sum().to(output.dtype)
        return output

    def _prepared(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if self.dtype is not None and value.is_floating_point():
            value = value.to(self.dtype)
        return value.clone() if self.clones else value


def guarded(
    model: Callable[..., Any],
    facts: ModelFacts,
    output: int | str | None = None,
    order: tuple[int, ...] = (),
) -> Callable[..., Any]:
    """The model itself, or a guard around it where its facts ask for one.

    Args:
        model: a module or a function.
        facts: of it.
        output: which part of its output counts.
        order: as of :class:`GuardedModel`.

    Example:
        >>> from captum_ext.soundness import observe
        >>> model = nn.Linear(2, 1)
        >>> guarded(model, observe(model, torch.ones(1, 2))) is model
        True
    """
    # Neither Captum nor what counts passes can hook a scripted module.
    scripted = isinstance(model, torch.jit.ScriptModule)
    low = facts.dtype if facts.dtype in (torch.float16, torch.bfloat16) else None
    needs = facts.changes_inputs or facts.output_form != "tensor" or facts.unused_inputs or order
    if not needs and low is None and not scripted:
        return model
    changes = bool(facts.changes_inputs)
    return GuardedModel(model, changes, output, facts.unused_inputs, low, order)


def eager(model: Any) -> Any:
    """The module that ``torch.compile`` has wrapped, whose layers have hooks.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> eager(torch.compile(model)) is model
        True
    """
    while is_wrapped(model):
        model = model._orig_mod
    return model
