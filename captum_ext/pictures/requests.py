"""One request for several methods: each gets the part of it that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from captum_ext.baselines import BASELINES
from captum_ext.checks import check_choice
from captum_ext.models import Classifier
from captum_ext.outputs import problem_with_outputs
from captum_ext.request import Request
from captum_ext.soundness import observe
from captum_ext.spec import MethodSpec

#: Parts of a request that some methods do not take, beside settings.
_PARTS = ("references", "layer", "baseline")


def check_request(request: Request, specs: Sequence[MethodSpec], model: Classifier) -> None:
    """Refuses what no method takes, before the first picture.

    Args:
        request: for all methods; its layer is a module.
        specs: the methods.
        model: that is explained.

    Raises:
        TypeError: an argument that no method takes.
        ValueError: an argument that is given elsewhere; an unknown baseline; methods none of which
            works on the model.

    Example:
        >>> from torch import nn
        >>> from captum_ext import get_method, load_model
        >>> model = load_model(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), size=4)
        >>> check_request(Request(settings={"n_steps": 3}), [get_method("saliency")], model)
        Traceback (most recent call last):
        ...
        TypeError: n_steps is not taken by saliency
    """
    for name in ("inputs", "target"):
        if name in request.settings:
            raise ValueError(f"arguments must not hold {name}, which is known")
    if request.baseline is not None:
        check_choice(request.baseline, "baseline", BASELINES)
    parts = [part for part in _PARTS if getattr(request, part) is not None]
    used: set[str] = set()
    problems: list[str] = []
    for spec in specs:
        try:
            taken = request_for(spec, request, model)
        except (TypeError, ValueError) as error:
            problems.append(str(error))
            continue
        used |= set(taken.settings)
        used |= {part for part in parts if getattr(taken, part) is not None}
    if len(problems) == len(specs):
        raise ValueError("; ".join(problems))
    for name in (*parts, *request.settings):
        if name not in used:
            raise TypeError(f"{name} is not taken by {', '.join(spec.name for spec in specs)}")


def request_for(spec: MethodSpec, request: Request, model: Classifier) -> Request:
    """The part of a request that a method takes.

    Raises:
        TypeError, ValueError: the method does not work on the model, or on its kind of outputs.
    """
    problem = problem_with_outputs(spec, model.outputs)
    if problem is not None:
        raise ValueError(problem)
    layer = request.layer if spec.takes_layer else None
    gray = model.see(torch.full((3, *model.view.size), 0.5))
    spec.make(model, layer, observe(model, gray))  # type: ignore[arg-type]
    accepted, _ = spec.accepted()
    takes_baseline = "baselines" in accepted and not spec.compares
    return replace(
        request,
        layer=layer,
        references=request.references if spec.takes_references else None,
        baseline=request.baseline if takes_baseline else None,
        settings={name: value for name, value in request.settings.items() if name in accepted},
    )
