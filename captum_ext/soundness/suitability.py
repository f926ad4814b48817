"""Whether a method can work on a model, and on which of its layers: decided by the observed run.

Some methods change the backward pass of one kind of layer. Where no such layer runs, they silently
return the plain gradient. The functions here report that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from torch import nn

from captum_ext._captum import (
    SUPPORTED_LAYERS_WITH_RULES,
    SUPPORTED_NON_LINEAR,
    SUPPORTED_NON_LINEAR_LAYERS,
)
from captum_ext.layers import CONVOLUTIONS, HEADS
from captum_ext.soundness.graph import NORMALIZATION, OTHER, POOLING, PRODUCT, RELU
from captum_ext.soundness.model_facts import LayerRun, ModelFacts

#: An error lists at most this many kinds of layers.
MOST_KINDS = 3
#: Operations that are not linear in the inputs.
NONLINEAR = (RELU, POOLING, OTHER, NORMALIZATION, PRODUCT)


def without_hooks(facts: ModelFacts) -> str | None:
    """Why a method that hooks layers does not work, or None where it can.

    Example:
        >>> without_hooks(ModelFacts("Net", True, scripted=("",)))
        'it is scripted, and hooks do not see its layers: pass the module that was scripted'
    """
    if facts.scripted:
        where = f"its {facts.scripted[0]} is" if facts.scripted[0] else "it is"
        return (
            f"{where} scripted, and hooks do not see its layers: pass the module that was scripted"
        )
    if facts.quantized:
        return "it is quantized, and has no gradients: pass the module that was quantized"
    return None


def without_gradients(facts: ModelFacts) -> str | None:
    """Why a method that needs gradients does not work, or None where it can.

    Example:
        >>> import torch
        >>> from captum_ext.soundness import observe
        >>> without_gradients(observe(torch.round, torch.ones(1, 2)))
        >>> without_gradients(observe(lambda x: x.argmax(1), torch.ones(1, 2)))
        'its output has no gradient with respect to the inputs'
    """
    if facts.error or facts.traced:
        return None
    return "its output has no gradient with respect to the inputs"


def without_relu(facts: ModelFacts) -> str | None:
    """Why a method that changes how ReLU passes gradients does nothing, or None where it does.

    Example:
        >>> import torch
        >>> from captum_ext.soundness import observe
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.GELU())
        >>> without_relu(observe(model, torch.ones(1, 2)))
        'it needs ReLU layers, and there is none: it would be the plain gradient'
    """
    if facts.error or any(run.reaches_output for run in facts.ran(nn.ReLU)):
        return without_hooks(facts)
    functions = len(facts.outside(RELU, nn.ReLU))
    none = f"its {functions} ReLUs are functions" if functions else "there is none"
    return without_hooks(facts) or (
        f"it needs ReLU layers, and {none}: it would be the plain gradient"
    )


def without_deep_lift_rules(facts: ModelFacts) -> str | None:
    """Why DeepLift's attributions would not add up, as far as layers show it, or None.

    Example:
        >>> import torch
        >>> from captum_ext.soundness import observe
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.GELU())
        >>> without_deep_lift_rules(observe(model, torch.ones(1, 2)))
        'it has no rule for GELU, which it would take for linear'
    """
    unseen = without_hooks(facts)
    if unseen is not None:
        return unseen
    ruled = tuple(SUPPORTED_NON_LINEAR)
    unruled = [
        operation.layer_kind
        for operation in facts.operations
        if operation.kind in (OTHER, NORMALIZATION, PRODUCT)
        and operation.layer_kind is not None
        and operation.layer_kind not in ruled
    ]
    if unruled:
        return f"it has no rule for {_names(unruled)}, which it would take for linear"
    again = _runs_again(run for run in facts.runs if run.kind in ruled)
    if again is not None:
        return f"it runs the layer {again} several times; DeepLift needs a layer for each"
    nonlinear = [each for each in facts.operations if each.kind in NONLINEAR]
    if nonlinear and not any(each.layer_kind in ruled for each in nonlinear):
        return "it finds no activation that it has a rule for: it would be input x gradient"
    return None


def without_lrp_rules(facts: ModelFacts, ruled: tuple[type[nn.Module], ...]) -> str | None:
    """Which layers LRP has no rule for, or None.

    Args:
        facts: of the model.
        ruled: kinds of layers with a rule beside those that Captum has one for.

    Example:
        >>> import torch
        >>> from captum_ext.soundness import observe
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.GELU())
        >>> without_lrp_rules(observe(model, torch.ones(1, 2)), (nn.Linear,))
        'it has no rule for GELU'
    """
    unseen = without_hooks(facts)
    if unseen is not None:
        return unseen
    captums = (*SUPPORTED_LAYERS_WITH_RULES, *SUPPORTED_NON_LINEAR_LAYERS)
    leaves = [run for run in facts.runs if run.is_leaf and run.name]
    others = [
        run.kind
        for run in leaves
        if run.kind not in captums
        and not issubclass(run.kind, ruled)
        and run.name not in facts.rule_layers
    ]
    if others:
        return f"it has no rule for {_names(others)}"
    again = _runs_again(run for run in leaves if run.kind not in SUPPORTED_NON_LINEAR_LAYERS)
    if again is not None:
        return f"it runs the layer {again} several times; LRP needs a layer for each"
    return None


def last_convolution(facts: ModelFacts) -> str:
    """The name of the last convolution that ran: the usual layer for class activation maps.

    Convolutions of a single place, as behind a global pooling, do not count.

    Raises:
        ValueError: there is none, or only that of a transformer's patches.

    Example:
        >>> import torch
        >>> from captum_ext.soundness import observe
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 3))
        >>> last_convolution(observe(model, torch.rand(1, 1, 6, 6)))
        '1'
    """
    runs = [run for run in facts.ran(*CONVOLUTIONS) if run.reaches_output]
    mapped = [run for run in runs if _has_places(run)] or runs
    if not mapped:
        reason = f": {facts.error}" if facts.error else ""
        raise ValueError(
            f"layer must be given: {facts.model_name} has no convolution to choose{reason}"
        )
    if embeds_patches(mapped):
        raise ValueError(
            f"layer must be given: the only convolution of {facts.model_name} cuts the image into "
            "patches; take what goes into the last attention, as a transformer's last ln_1, "
            "norm1 or layernorm_before"
        )
    return mapped[-1].name


def last_representation(facts: ModelFacts) -> str:
    """The name of the last linear layer or convolution that ran, whose input represents an example.

    Raises:
        ValueError: there is none, or its input does not depend on every input of the model.

    Example:
        >>> import torch
        >>> from captum_ext.soundness import observe
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Softmax(1))
        >>> last_representation(observe(model, torch.ones(1, 2)))
        '2'
    """
    kinds = ", ".join(kind.__name__ for kind in HEADS)
    runs = facts.ran(*HEADS)
    if not runs:
        reason = f": {facts.error}" if facts.error else ""
        raise ValueError(f"layer must be given: {facts.model_name} runs none of {kinds}{reason}")
    if not facts.traced:
        return runs[-1].name
    used = facts.used_inputs
    reaching = [run for run in runs if run.reaches_output] or runs
    whole = [run for run in reaching if run.input_depends >= used]
    if not whole:
        missing = min((used - run.input_depends for run in reaching), key=len)
        raise ValueError(
            f"layer must be given: no {kinds} of {facts.model_name} represents all inputs; what "
            f"goes into {reaching[-1].name} does not depend on input "
            f"{', '.join(map(str, sorted(missing)))}. Pass a layer, or a function of all inputs"
        )
    return whole[-1].name


def embeds_patches(convolutions: Iterable[LayerRun]) -> bool:
    """Whether the only convolution is one that cuts an image into patches, as in transformers."""
    runs = list(convolutions)
    return len({run.name for run in runs}) == 1 and runs[0].cuts_patches


def _has_places(run: LayerRun) -> bool:
    return run.output_shape is not None and max(run.output_shape[2:], default=1) > 1


def _runs_again(runs: Iterable[LayerRun]) -> str | None:
    """The first layer that runs several times."""
    counts = Counter(run.name for run in runs)
    return next((name for name, count in counts.items() if count > 1), None)


def _names(kinds: Iterable[Any]) -> str:
    names = list(dict.fromkeys(kind.__name__ for kind in kinds))
    more = len(names) - MOST_KINDS
    return ", ".join(names[:MOST_KINDS]) + (f" and {more} more" if more > 0 else "")
