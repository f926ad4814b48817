"""What it costs to observe the model and to check an answer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from benchmarks.speed.timing import Row, ratio, subject
from captum_ext import explain
from captum_ext.soundness import model_facts

PASSES = 500
METHODS = ("segment_lime", "segment_shap", "integrated_gradients", "kernel_shap")


def explained(model: nn.Module, image: Tensor, method: str, passes: int, checks: bool) -> None:
    if checks:
        # A model that was never seen is observed, too.
        model_facts.forget(model)
    explain(model, image, 1, method, passes=passes, checks=checks)


def checked_answers(repeats: int, passes: int) -> Iterator[Row]:
    """A method with its checks, and the observed run, against without: both take the passes."""
    model, images = subject()
    image = images[:1]
    for method in METHODS:
        yield ratio(
            f"{method}, {passes} passes: with checks against without",
            partial(explained, model, image, method, passes, True),
            partial(explained, model, image, method, passes, False),
            repeats,
        )
