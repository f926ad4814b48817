"""Which output of a model a method explains: the logit or the probability."""

from __future__ import annotations

from typing import Any

from torch import nn

from captum_ext.forward import Remembered
from captum_ext.spec import MethodSpec, Need


def only_runs(spec: MethodSpec) -> bool:
    """Whether a method only runs the model, forward and as a whole.

    Example:
        >>> from captum_ext import get_method
        >>> only_runs(get_method("occlusion")), only_runs(get_method("saliency"))
        (True, False)
    """
    return not spec.needs & {Need.GRADIENTS, Need.MODULE, Need.LAYER}


def output_for(spec: MethodSpec, output: str) -> str:
    """Which output of a model that gives logits a method explains.

    Args:
        spec: the method; one that is defined on one output explains that.
        output: one of :data:`captum_ext.choices.OUTPUTS`.

    Example:
        >>> from captum_ext import get_method
        >>> output_for(get_method("occlusion"), "auto"), output_for(get_method("pda"), "logit")
        ('probability', 'probability')
    """
    if Need.PROBABILITIES in spec.needs:
        return "probability"
    if Need.LOGITS in spec.needs:
        return "logit"
    if output != "auto":
        return output
    return "probability" if only_runs(spec) else "logit"


def with_output(
    spec: MethodSpec,
    model: Any,
    output: str | None,
    has_logit: bool = True,
    shared: Remembered | None = None,
) -> tuple[Any, str]:
    """The model as a method sees it, and which output it then gives.

    A model that has a method ``with_output()`` itself, as those of the exam have, is explained by
    the output that it gives; a method that is defined on another output gets that one.

    Args:
        spec: the method.
        model: that is explained.
        output: one of :data:`captum_ext.choices.OUTPUTS`; None: as the model gives it.
        has_logit: whether the model gives logits; else its output is a probability.
        shared: takes the model's place for methods that only run it.

    Example:
        >>> from captum_ext import get_method
        >>> with_output(get_method("occlusion"), nn.Linear(2, 3), "auto")[1]
        'probability'
    """
    source = shared if shared is not None and only_runs(spec) else model
    if output is None:
        return source, ""
    if hasattr(model, "with_output"):
        own = output_for(spec, model.output)
        return (source if own == model.output else model.with_output(own)), own
    output = output_for(spec, output) if has_logit else "probability"
    if output == "probability" and has_logit:
        source = with_softmax(source)
    return source, output


def with_softmax(model: nn.Module) -> nn.Module:
    """A model of logits that gives probabilities.

    Example:
        >>> import torch
        >>> with_softmax(nn.Identity())(torch.zeros(1, 2))
        tensor([[0.5000, 0.5000]])
    """
    return nn.Sequential(model, nn.Softmax(dim=1)).eval()
