"""The exam's models by name."""

from __future__ import annotations

import inspect
from typing import Any

from captum_ext.exam.known_model import KnownModel
from captum_ext.registry import get_exam_model


def make_model(
    name: str, size: int = 31, seed: int = 0, output: str | None = None, **settings: Any
) -> KnownModel:
    """A model whose right attribution is known.

    Args:
        name: one of :func:`captum_ext.registry.exam_models`.
        size: height and width of its images.
        seed: of its random parts.
        output: one of :data:`~captum_ext.exam.OUTPUTS`; None takes what has the clearest answer:
            the probability of the center-pixel model, the logit of the others.
        **settings: what else the model's class takes.

    Raises:
        ValueError: an unknown name or output, or a setting out of range.
        TypeError: a setting that the model does not take.

    Example:
        >>> make_model("additive", size=5, n_relevant=3).output
        'logit'
        >>> make_model("saturated")
        Traceback (most recent call last):
        ...
        ValueError: unknown model 'saturated'; did you mean 'saturation'? (center_pixel, additive,
        and_or, saturation)
    """
    kind = get_exam_model(name).model
    own = sorted(set(inspect.signature(kind).parameters) - {"size", "seed", "output"})
    unknown = sorted(set(settings) - set(own))
    if unknown:
        raise TypeError(
            f"the model {name} takes no {', '.join(unknown)}; it takes {', '.join(own)}"
        )
    if output is not None:
        settings["output"] = output
    make: Any = kind
    return make(size=size, seed=seed, **settings)
