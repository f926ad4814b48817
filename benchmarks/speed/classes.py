"""Several classes of one picture: all of them share the model's passes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from benchmarks.speed.timing import SIZE, Row, ratio, subject
from captum_ext import load_model
from captum_ext.models import Classifier
from captum_ext.pictures import explain_picture

CLASSES = 3
SAMPLES = 200  # of LIME; Integrated Gradients take a quarter of them as steps
METHODS = ("segment_lime", "image_ig")


def explained(
    model: Classifier, image: Tensor, method: str, n_samples: int, classes: list[int]
) -> None:
    few = {"segment_lime": {"n_samples": n_samples}, "image_ig": {"n_steps": n_samples // 4}}
    explain_picture(model, image, method, targets=classes, arguments=few[method])


def one_by_one(model: Classifier, image: Tensor, method: str, n_samples: int) -> None:
    for index in range(CLASSES):
        explained(model, image, method, n_samples, [index])


def several_classes(repeats: int, n_samples: int) -> Iterator[Row]:
    """A method that only runs the model, and one that needs each class's gradients."""
    network, images = subject()
    model = load_model(network, size=SIZE, device="cpu")
    for method in METHODS:
        yield ratio(
            f"{method}: {CLASSES} classes together against one by one",
            partial(one_by_one, model, images[0], method, n_samples),
            partial(explained, model, images[0], method, n_samples, list(range(CLASSES))),
            repeats,
        )
