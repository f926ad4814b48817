"""What is asked for in a picture's words, as the tensors and modules that methods take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from captum_ext.baselines import make_baselines
from captum_ext.checks import check_choice
from captum_ext.forward import Preprocessed
from captum_ext.image_files import find_images, read_image
from captum_ext.models import Classifier, choose_device, load_model
from captum_ext.spec import MethodSpec

#: What a picture may be given as, beside tensors.
PICTURES = (str, Path, Image.Image, np.ndarray)


def model_of(
    model: str | Callable[..., Any], device: str | torch.device | None
) -> Callable[..., Any]:
    """The model of a name, or the given one, where it shall be."""
    if isinstance(model, str):
        return load_model(model, device="auto" if device is None else device)
    if device is not None and isinstance(model, nn.Module):
        model.to(choose_device(device))
    return model


def inputs_of(model: Callable[..., Any], inputs: Any) -> Any:
    """What the model sees of a picture, ``[1, 3, h, w]``; tensors are as they are."""
    if not isinstance(inputs, PICTURES):
        return inputs
    return _classifier(model, "inputs").see(read_image(inputs))


def references_of(model: Callable[..., Any], references: Any) -> Any:
    """What the model sees of a folder's pictures, ``[R, 3, h, w]``; tensors are as they are.

    Args:
        model: of :func:`captum_ext.load_model`, where it is a folder.
        references: a folder, a picture's path, or a list of them; or tensors.

    Raises:
        ValueError: a picture that cannot be read.
    """
    if references is None or isinstance(references, Tensor | tuple):
        return references
    classifier = _classifier(model, "references")
    return torch.cat([classifier.see(read_image(source)) for source in find_images(references)])


def target_of(model: Callable[..., Any], target: Any) -> Any:
    """The number of a class that is given by its name."""
    return _classifier(model, "target").index_of(target) if isinstance(target, str) else target


def layer_of(model: Callable[..., Any], layer: nn.Module | str | None) -> nn.Module | None:
    """The layer of a name, as ``model.named_modules()`` has it.

    A model that :func:`captum_ext.load_model` has wrapped is known by the names inside.

    Raises:
        ValueError: no such layer; the message suggests the nearest name.

    Example:
        >>> layer_of(nn.Sequential(nn.ReLU(), nn.Tanh()), "1")
        Tanh()
    """
    if not isinstance(layer, str):
        return layer
    layers: dict[str, nn.Module] = {}
    module: Any = model
    while isinstance(module, nn.Module):
        layers = {name: each for name, each in module.named_modules() if name} | layers
        module = getattr(module, "model", None)
    return layers[check_choice(layer, "layer", layers)]


def baselines_of(
    name: str, spec: MethodSpec, model: Callable[..., Any], inputs: tuple[Tensor, ...], seed: int
) -> tuple[Tensor, ...]:
    """The baselines of a name for images ``[B, 3, H, W]`` in [0, 1].

    Raises:
        ValueError: an unknown name, or a method that compares with other images.
    """
    if spec.compares:
        raise ValueError(
            f"baselines of {spec.name} must be examples of other images; got the name {name!r}"
        )
    own: dict[str, Any] = {}
    if isinstance(model, Preprocessed):
        own = {"mean": model.normalize.mean.flatten(), "std": model.normalize.std.flatten()}
    made: tuple[Tensor, ...] = make_baselines(name, inputs, generator=seed, **own)
    return made


def _classifier(model: Callable[..., Any], name: str) -> Classifier:
    if not isinstance(model, Classifier):
        raise TypeError(
            f"{name} must be given as tensors and numbers for a model that is not of load_model(); "
            f"got a {type(model).__name__}"
        )
    return model
