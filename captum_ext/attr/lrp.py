r"""Layer-wise relevance propagation with one rule for the whole model, and the alpha-beta rule.

A rule says how the relevance :math:`R_j` of a layer's outputs is handed to its inputs. The z rule,
the epsilon rule and alpha1-beta0 are Captum's; the general alpha-beta rule (Bach et al., PLoS ONE
2015, eq. 60) is added here as a Captum ``PropagationRule``:

.. math:: R_i = \sum_j \left(\alpha \frac{z_{ij}^+}{z_j^+} - \beta \frac{z_{ij}^-}{z_j^-}\right) R_j

with :math:`z_{ij} = x_i w_{ij}`, its positive and negative parts, and their sums :math:`z_j^\pm`
over the inputs and the bias.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Number
from typing import Any

import torch
from captum.attr import LRP
from torch import Tensor, nn

from captum_ext._captum import IdentityRule, PropagationRule, _run_forward, log_usage
from captum_ext.checks import as_tuple, check_inputs, detached
from captum_ext.forward import Normalize
from captum_ext.passes import checking
from captum_ext.soundness import observe
from captum_ext.soundness.caller_state import keeps_caller_state
from captum_ext.soundness.evidence import is_evidence_wanted, note
from captum_ext.targets import check_target, clear_target_errors

#: Layers with weights that are linear in their input: the ones that a chosen rule is meant for.
LINEAR_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
#: Layers that only rearrange their input: relevance passes them as gradients do.
PASSIVE_LAYERS = (nn.Flatten, nn.Unflatten, nn.Identity)
#: Layers that have a rule here, beside those that Captum has one for.
RULED_LAYERS = (*LINEAR_LAYERS, *PASSIVE_LAYERS, Normalize)


class AlphaBetaRule(PropagationRule):
    """The alpha-beta rule for layers that are linear in their input.

    Relevance is conserved (up to what the bias takes) where an output has both positive and
    negative contributions and ``alpha - beta = 1``. Inputs of either sign are treated right, which
    Captum's ``Alpha1_Beta0_Rule`` (positive inputs only) does not.

    Args:
        alpha: weight of the positive contributions, at least 1.
        beta: weight of the negative contributions, ``alpha - 1``.

    Raises:
        ValueError: ``alpha - beta`` is not 1, or ``beta`` is negative.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> layer.weight.data = torch.tensor([[3.0, -1.0]])
        >>> lrp = UniformLRP(nn.Sequential(layer), lambda: AlphaBetaRule(2, 1))
        >>> lrp.attribute(torch.ones(1, 2), target=0)  # R = 2: 2 * 2 * 3/3, -1 * 2 * (-1)/(-1)
        tensor([[ 4., -2.]])
    """

    def __init__(self, alpha: float = 2.0, beta: float = 1.0) -> None:
        if not (beta >= 0 and abs(alpha - beta - 1) <= 1e-9):
            raise ValueError(
                f"alpha - beta must be 1 and beta at least 0; got alpha={alpha}, beta={beta}"
            )
        self.alpha = alpha
        self.beta = beta

    def _manipulate_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        """Nothing: the positive and the negative weights are both needed, side by side."""

    def forward_hook(self, module: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
        """Replaces the layer's backward pass by the rule."""
        output = _AlphaBeta.apply(inputs[0], outputs.detach(), module, self)
        result: Tensor = super().forward_hook(module, inputs, output)
        return result

    def _create_backward_hook_output(self, outputs: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the relevance unchanged; Captum's rules divide by the output here."""

        def keep(relevance: Tensor) -> Tensor:
            self.relevance_output[relevance.device] = relevance.data
            return relevance

        return keep


class _AlphaBeta(torch.autograd.Function):
    """Gives the layer's output as it is; takes its relevance ``R_j`` back to ``R_i / x_i``.

    Captum's hook on the layer's input then multiplies by ``x_i``, as it does for its own rules.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, output: Tensor, module: nn.Module, rule: AlphaBetaRule
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.module, ctx.rule = module, rule
        return output.clone()

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        ratio = ctx.rule.alpha * _ratio(ctx.module, x, relevance, sign=1)
        if ctx.rule.beta:
            ratio = ratio - ctx.rule.beta * _ratio(ctx.module, x, relevance, sign=-1)
        return ratio, None, None, None


def _ratio(module: nn.Module, x: Tensor, relevance: Tensor, sign: int) -> Tensor:
    """``sum_j R_j (z_ij / x_i) / z_j`` over the contributions of one sign; 0 where x is 0."""
    weight: Tensor = module.weight.detach()  # type: ignore[union-attr, operator, assignment]
    same = (sign * weight).clamp(min=0) * sign
    with torch.enable_grad():
        up = x.detach().clamp(min=0).requires_grad_()
        down = x.detach().clamp(max=0).requires_grad_()
        z = _without_bias(module, up, same) + _without_bias(module, down, weight - same)
        if isinstance(module.bias, Tensor):
            bias = (sign * module.bias.detach()).clamp(min=0) * sign
            z = z + (bias if isinstance(module, nn.Linear) else _per_channel(bias, z))
        # An output without contributions of this sign has nothing to share out.
        blank = z == 0
        share = torch.where(blank, 0, relevance / torch.where(blank, 1, z)).detach()
        of_up, of_down = torch.autograd.grad((z * share).sum(), (up, down))
    return torch.where(x > 0, of_up, torch.where(x < 0, of_down, 0))


def _without_bias(module: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return nn.functional.linear(x, weight)
    result: Tensor = module._conv_forward(x, weight, None)  # type: ignore[operator]
    return result


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(1, -1, *[1] * (like.dim() - 2))


@contextmanager
def _put_back(rules: dict[nn.Module, Any]) -> Iterator[None]:
    """Captum's LRP deletes every rule that it finds on a layer."""
    try:
        yield
    finally:
        for module, rule in rules.items():
            module.rule = rule


class _Tally:
    """How much relevance the layers take: what arrives at their outputs, less what leaves."""

    def __init__(self) -> None:
        self.taken: Tensor | None = None
        self.flow: Tensor | None = None

    def split(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Gives the layer a tensor of its own, to which no other layer sends relevance."""
        return tuple(x.clone() if isinstance(x, Tensor) else x for x in inputs)

    def watch(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Watches both ends of a layer; what follows gets a copy, and has its hooks on that."""
        output.register_hook(partial(self._add, 1))
        for x in inputs:
            if isinstance(x, Tensor) and x.requires_grad:
                x.register_hook(partial(self._add, -1))
        return output.clone()

    def _add(self, sign: int, relevance: Tensor) -> None:
        rows = relevance.detach().reshape(len(relevance), -1).double()
        if self.taken is None or self.flow is None:
            self.taken, self.flow = torch.zeros_like(rows[:, 0]), torch.zeros_like(rows[:, 0])
        self.taken += sign * rows.sum(1)
        self.flow += rows.abs().sum(1)

    def note_conservation(self, relevance: tuple[Tensor, ...], output: Tensor) -> None:
        """Notes what the relevance sums to, and what it should: the output less what layers take.

        Captum hands on relevance that begins with one, and multiplies it by the output in the end.

        Args:
            relevance: of each input, ``[B, ...]``.
            output: ``[B]``, that was explained.
        """
        output = output.detach().double().reshape(-1)
        rows = [part.detach().double().reshape(len(part), -1).sum(1) for part in relevance]
        if self.taken is not None and self.flow is not None and len(self.taken) == len(output):
            expected = output * (1 - self.taken)
            note("conservation", (torch.stack(rows).sum(0), expected, output.abs() * self.flow))


class UniformLRP(LRP):
    """Captum's LRP with one rule for every linear layer, chosen here and not by marking the model.

    Captum's ``LRP`` takes rules from attributes ``module.rule`` that the caller sets; this class
    takes one and leaves the model as it was. Layers without weights keep Captum's rules.
    Relevance passes ``Flatten``, ``Unflatten`` and ``Identity`` unchanged, and a
    :class:`~captum_ext.forward.Normalize` as if it were not there. LRP is defined on the logits: a
    softmax in the model is refused.

    Args:
        model: a module built of the layers that Captum's LRP knows.
        rule: makes one rule object (called once per layer).

    Source: Bach et al., PLoS ONE 2015; Montavon et al., Explainable AI 2019, ch. 10.

    Example:
        >>> from captum.attr._utils.lrp_rules import EpsilonRule
        >>> lrp = UniformLRP(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), EpsilonRule)
        >>> lrp.attribute(torch.rand(3, 1, 2, 2), target=0).shape
        torch.Size([3, 1, 2, 2])
    """

    def __init__(self, model: nn.Module, rule: Callable[[], PropagationRule]) -> None:
        super().__init__(model)
        self.rule = rule

    @keeps_caller_state
    @log_usage(part_of_slo=True)
    def attribute(
        self, inputs: Any, target: Any = None, additional_forward_args: Any = None, **kwargs: Any
    ) -> Any:
        """Captum's arguments and result; the relevance carries no autograd graph.

        Raises:
            ValueError: inputs that are not finite or not aligned, or a target that does not fit.
            TypeError: the model has a layer that no rule is known for (a softmax, for one).
        """
        tensors = check_inputs(inputs)
        check_target(target, tensors[0].shape[0])
        for value in as_tuple(additional_forward_args):
            if value is not None and not isinstance(value, Tensor | Number):
                raise TypeError(
                    "additional_forward_args must be tensors, numbers or None, to which LRP can "
                    f"add 0; got {type(value).__name__}"
                )
        copies = tuple(tensor.detach().clone() for tensor in tensors)
        own_rules = {m: m.rule for m in self.model.modules() if hasattr(m, "rule")}
        facts = observe(self.model, copies, additional_forward_args)
        self._ran = frozenset(run.name for run in facts.runs)
        with (
            _put_back(own_rules),
            clear_target_errors(self.model, copies, target, additional_forward_args),
        ):
            result = super().attribute.__wrapped__(
                self,
                copies if isinstance(inputs, tuple) else copies[0],
                target,
                additional_forward_args,
                **kwargs,
            )
        if is_evidence_wanted():
            relevance = result[0] if kwargs.get("return_convergence_delta") else result
            with torch.no_grad(), checking():
                output = _run_forward(self.model, copies, target, additional_forward_args)
            self._tally.note_conservation(as_tuple(relevance), output)
        del self._tally
        return detached(result)

    def _register_forward_hooks(self) -> None:
        """Captum's hooks, and a tally of the relevance that arrives at layers and leaves them."""
        layers = [layer for layer in self.layers if getattr(layer, "rule", None) is not None]
        wanted = is_evidence_wanted()
        self._tally = _Tally()
        for layer in layers if wanted else ():
            self.forward_handles.append(layer.register_forward_pre_hook(self._tally.split))
        super()._register_forward_hooks()
        # Captum's hooks on a layer come first: relevance leaves through them.
        for layer in layers if wanted else ():
            self.forward_handles.append(layer.register_forward_hook(self._tally.watch))

    def _get_layers(self, model: nn.Module) -> None:
        super()._get_layers(model)
        self.layers: list[nn.Module] = [
            layer for layer in self.layers if not isinstance(layer, PASSIVE_LAYERS)
        ]

    def _check_and_attach_rules(self) -> None:
        # A layer that does not run needs no rule.
        idle = {
            module
            for name, module in self.model.named_modules()
            if self._ran and name not in self._ran
        }
        self.layers = [layer for layer in self.layers if layer not in idle]
        try:
            for layer in self.layers:
                rule = self._rule_of(layer)
                if rule is not None:
                    rule.relevance_input = defaultdict(list)
                    rule.relevance_output = {}
                    layer.activations = {}  # type: ignore[assignment]
                    layer.rule = rule  # type: ignore[assignment]
            super()._check_and_attach_rules()
        except TypeError:
            self._remove_rules()
            self._clear_properties()
            raise

    def _rule_of(self, layer: nn.Module) -> PropagationRule | None:
        if isinstance(layer, Normalize):
            return IdentityRule()
        return self.rule() if isinstance(layer, LINEAR_LAYERS) else None

    def _clear_properties(self) -> None:
        # Captum names another attribute here and so leaves the activations on the layers.
        super()._clear_properties()
        for layer in self.layers:
            if hasattr(layer, "activations"):
                del layer.activations
