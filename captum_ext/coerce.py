"""Convert paths, pictures and names to the tensors and modules that methods take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from captum_ext.baselines import make_baselines
from captum_ext.checks import check_choice
from captum_ext.choices import OUTPUT_KINDS
from captum_ext.forward import Preprocessed
from captum_ext.image_files import find_images, read_image
from captum_ext.models import Classifier, choose_device, load_model
from captum_ext.spec import MethodSpec, Need

#: The types of a picture, beside tensors.
PICTURES = (str, Path, Image.Image, np.ndarray)


def model_of(
    model: str | Callable[..., Any], device: str | torch.device | None
) -> Callable[..., Any]:
    """Load a model by name, or move the given one to ``device``."""
    if isinstance(model, str):
        return load_model(model, device="auto" if device is None else device)
    if device is not None and isinstance(model, nn.Module):
        model.to(choose_device(device))
    return model


def inputs_of(model: Callable[..., Any], inputs: Any) -> Any:
    """Convert a picture to the model's input ``[1, 3, h, w]``; return tensors unchanged."""
    if not isinstance(inputs, PICTURES):
        return inputs
    return _classifier(model, "inputs").see(read_image(inputs))


def references_of(model: Callable[..., Any], references: Any) -> Any:
    """Convert a folder's pictures to inputs ``[R, 3, h, w]``; return tensors unchanged.

    Args:
        model: from :func:`captum_ext.load_model`, unless ``references`` are tensors.
        references: a folder, a picture's path, or a list of them; or tensors.

    Raises:
        ValueError: a picture that cannot be read.
    """
    if references is None or isinstance(references, Tensor | tuple):
        return references
    classifier = _classifier(model, "references")
    return torch.cat([classifier.see(read_image(source)) for source in find_images(references)])


def target_of(model: Callable[..., Any], target: Any) -> Any:
    """Return the index of a class name; return any other target unchanged."""
    return _classifier(model, "target").index_of(target) if isinstance(target, str) else target


def layer_of(model: Callable[..., Any], layer: nn.Module | str | None) -> nn.Module | None:
    """Return the layer with this name in ``model.named_modules()``.

    In a model that :func:`captum_ext.load_model` wrapped, use the names of the inner model.

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
        layers = {name: child for name, child in module.named_modules() if name} | layers
        module = getattr(module, "model", None)
    return layers[check_choice(layer, "layer", layers)]


def outputs_of(
    model: Callable[..., Any],
    spec: MethodSpec,
    outputs: str | None,
    settings: Mapping[str, Any] | None = None,
) -> str | None:
    """Return the kind of outputs by which a method sees the model; None: it sees them as they are.

    Args:
        model: from :func:`captum_ext.load_model`, or any other.
        spec: the method.
        outputs: one of :data:`captum_ext.choices.OUTPUT_KINDS`; None: ``"auto"``. Then a method
            that needs probabilities takes the kind that ``load_model()`` has been told.
        settings: arguments of ``attribute()``; ``probabilities`` among them says the same.

    Raises:
        ValueError: an unknown kind; the message suggests the nearest. Both ``outputs`` and
            ``probabilities``.

    Example:
        >>> from captum_ext.registry import get_method
        >>> outputs_of(nn.Identity(), get_method("pda"), "sigmoid")
        'sigmoid'
    """
    kind = check_choice("auto" if outputs is None else outputs, "outputs", OUTPUT_KINDS)
    if settings and "probabilities" in settings:
        if kind != "auto":
            raise ValueError(f"outputs={kind!r} or probabilities must be given, not both")
        return None
    if kind == "auto" and Need.PROBABILITIES in spec.needs and isinstance(model, Classifier):
        kind = model.outputs
    return None if kind == "auto" else kind


def baselines_of(
    name: str, spec: MethodSpec, model: Callable[..., Any], inputs: tuple[Tensor, ...], seed: int
) -> tuple[Tensor, ...]:
    """Make the named baselines for images ``[B, 3, H, W]`` in [0, 1].

    Raises:
        ValueError: an unknown name, or a method that compares with other images.
    """
    if spec.compares:
        raise ValueError(
            f"baselines of {spec.name} must be examples of other images; got the name {name!r}"
        )
    statistics: dict[str, Any] = {}
    if isinstance(model, Preprocessed):
        normalize = model.normalize
        statistics = {"mean": normalize.mean.flatten(), "std": normalize.std.flatten()}
    baselines: tuple[Tensor, ...] = make_baselines(name, inputs, generator=seed, **statistics)
    return baselines


def _classifier(model: Callable[..., Any], name: str) -> Classifier:
    if not isinstance(model, Classifier):
        raise TypeError(
            f"{name} must be tensors or numbers unless the model comes from load_model(); "
            f"got a {type(model).__name__}"
        )
    return model
