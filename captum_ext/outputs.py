"""Which output of a model a method explains: the logit, the probability or the score.

What a model gives is said by the kind of its outputs, see :mod:`captum_ext.models.output_kind`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from captum_ext.forward import Remembered
from captum_ext.models.output_kind import LOGITS
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


def problem_with_outputs(spec: MethodSpec, outputs: str) -> str | None:
    """Why a method cannot explain outputs of a kind, or None where it can.

    Args:
        spec: the method.
        outputs: one of :data:`captum_ext.choices.OUTPUT_KINDS`.

    Example:
        >>> from captum_ext import get_method
        >>> problem_with_outputs(get_method("occlusion"), "scores")
        >>> problem_with_outputs(get_method("pda"), "scores")
        "pda needs probabilities; outputs='scores' have none: ..."
    """
    if outputs != "scores" or Need.PROBABILITIES not in spec.needs:
        return None
    return (
        f"{spec.name} needs probabilities; outputs='scores' have none: for logits say "
        "outputs='softmax' or 'sigmoid', for scores choose another method, as occlusion"
    )


def with_output(
    spec: MethodSpec,
    model: Any,
    output: str | None,
    outputs: str = "softmax",
    shared: Remembered | None = None,
) -> tuple[Any, str]:
    """The model as a method sees it, and which output it then gives.

    A model that has a method ``with_output()`` itself, as those of the exam have, is explained by
    the output that it gives; a method that is defined on another output gets that one.

    Args:
        spec: the method.
        model: that is explained.
        output: one of :data:`captum_ext.choices.OUTPUTS`; None: as the model gives it.
        outputs: what the model gives, one of :data:`captum_ext.choices.OUTPUT_KINDS`, and not
            ``"auto"``. Probabilities and scores are explained as they are, whatever ``output`` is.
        shared: takes the model's place for methods that only run it.

    Raises:
        ValueError: scores, for a method that needs probabilities.

    Example:
        >>> from captum_ext import get_method
        >>> with_output(get_method("occlusion"), nn.Linear(2, 3), "auto")[1]
        'probability'
        >>> with_output(get_method("occlusion"), nn.Linear(2, 3), "auto", "scores")[1]
        'score'
    """
    source = shared if shared is not None and only_runs(spec) else model
    if output is None:
        return source, ""
    if hasattr(model, "with_output"):
        own = output_for(spec, model.output)
        return (source if own == model.output else model.with_output(own)), own
    problem = problem_with_outputs(spec, outputs)
    if problem is not None:
        raise ValueError(problem)
    if outputs not in LOGITS:
        return source, "score" if outputs == "scores" else "probability"
    output = output_for(spec, output)
    return (with_probabilities(source, outputs) if output == "probability" else source), output


def output_settings(spec: MethodSpec, output: str | None, outputs: str) -> dict[str, Any]:
    """The arguments of ``attribute()`` that say what a model of probabilities gives.

    Labels that stand alone have probabilities that need not sum to one.

    Args:
        spec, output, outputs: as of :func:`with_output`, which has given the model.

    Example:
        >>> from captum_ext import get_method
        >>> output_settings(get_method("pda"), "auto", "sigmoid")
        {'probabilities': 'independent'}
    """
    independent = output is not None and outputs in ("sigmoid", "probabilities")
    needed = Need.PROBABILITIES in spec.needs
    return {"probabilities": "independent"} if independent and needed else {}


class WithActivation(nn.Sequential):
    """A model and the activation that makes probabilities of its logits.

    Raises:
        ValueError: a softmax, and outputs of one class.

    Example:
        >>> import torch
        >>> WithActivation(nn.Identity(), nn.Sigmoid())(torch.zeros(1, 1))
        tensor([[0.5000]])
    """

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        model, activation = self
        return _activated(activation, model(*inputs, **kwargs))


def with_probabilities(model: Any, outputs: str) -> Any:
    """A model of logits that gives probabilities; of a function, a function.

    Args:
        model: whose mode stays as it is.
        outputs: ``"softmax"`` or ``"sigmoid"``.

    Example:
        >>> import torch
        >>> with_probabilities(nn.Identity(), "softmax")(torch.zeros(1, 2))
        tensor([[0.5000, 0.5000]])
    """
    activation = nn.Softmax(dim=1) if outputs == "softmax" else nn.Sigmoid()
    if not isinstance(model, nn.Module):
        return lambda *inputs, **kwargs: _activated(activation, model(*inputs, **kwargs))
    whole = WithActivation(model, activation)
    whole.training = activation.training = model.training
    return whole


def _activated(activation: nn.Module, outputs: Any) -> Any:
    shape = tuple(getattr(outputs, "shape", ()))
    if isinstance(activation, nn.Softmax) and (len(shape) < 2 or shape[1] < 2):
        raise ValueError(
            f"outputs='softmax' needs a model of [B, classes]; it gives shape {shape}: for one "
            "logit say outputs='sigmoid'"
        )
    return activation(outputs)
