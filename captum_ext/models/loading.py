"""Any classifier, by its name, its factory or itself, made to take RGB in [0, 1]."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from captum_ext.baselines import IMAGENET_MEAN, IMAGENET_STD
from captum_ext.checks import check_choice, check_int, check_number, printable
from captum_ext.choices import FITS, MAX_SIDE, OUTPUT_KINDS
from captum_ext.forward import Preprocessed
from captum_ext.models.checkpoint import load_checkpoint
from captum_ext.models.classifier import Classifier, Preprocessing
from captum_ext.models.device import choose_device
from captum_ext.models.framing import Framing
from captum_ext.models.from_timm import is_of_timm, timm_preprocessing
from captum_ext.models.from_transformers import (
    Logits,
    is_of_transformers,
    kind_of_outputs,
    label_names,
)
from captum_ext.models.libraries import LIBRARIES, find
from captum_ext.models.library_model import DEFAULT, NONE, USUAL_SIDE, LibraryModel, untrained
from captum_ext.object_path import import_object, is_object_path


def load_model(
    model: str | nn.Module | Callable[[], nn.Module],
    weights: str | Path = DEFAULT,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | tuple[int, int] | None = None,
    fit: str = "own",
    class_names: Sequence[str] | str | Path | None = None,
    outputs: str = OUTPUT_KINDS[0],
    device: str | torch.device | None = "auto",
) -> Classifier:
    """A classifier that takes RGB in [0, 1], in evaluation mode, with its class names.

    Args:
        model: a name of torchvision (``"convnext_tiny"``), of timm, or of Hugging Face
            transformers (``"owner/name"`` or a folder; the last two where these packages are
            installed; ``"timm:resnet50"`` says which library is meant);
            ``"package.module:factory"``, a function without arguments that gives a module; or that
            function or module itself.
        weights: ``"DEFAULT"``: the library's own, which it downloads where they are not there, and
            a factory's model as it is; a name that torchvision knows; ``"none"``: random ones, the
            same each time; or the path of a checkpoint, a file of tensors by name. How many
            classes there are, the checkpoint says. Of several sets of weights in it, as averages
            (EMA) beside plain ones, ``"model.pt#state_dict_ema"`` chooses one.
        mean: of the training images, per channel in [0, 1]; None: as the library says, else
            ImageNet's.
        std: their standard deviation.
        size: of the images that the model takes, a side or (height, width); None: as the library
            says, else 224.
        fit: one of :data:`FITS`.
        class_names: names, or a JSON or text file of them (a line each), in place of the library's.
            Two for a binary model of one output, which is that of the second.
        outputs: what they are. ``"softmax"``: logits of classes that compete; ``"sigmoid"``: logits
            of independent labels, or the one of a binary model; ``"probabilities"``: already; or
            ``"scores"``: neither, as of a regression. ``"auto"``: what the library says (Hugging
            Face's ``problem_type``), else what each picture's outputs look like: in [0, 1] they are
            probabilities, unless a layer gives them without an activation, else ``"softmax"``.
            Sigmoid's logits look like softmax's: say ``"sigmoid"``.
        device: see :func:`captum_ext.models.choose_device`.

    Raises:
        TypeError: a factory that gives no module.
        ValueError: an unknown model, with the nearest names; weights that cannot be had, read or
            fitted, with the names of the tensors; another argument that is invalid.

    Example:
        >>> model = load_model(lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), size=4)
        >>> model(torch.rand(1, 3, 4, 4)).shape, model.view.size
        (torch.Size([1, 2]), (4, 4))
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
        >>> model = load_model(network, size=4, class_names=["no", "yes"], outputs="sigmoid")
        >>> model.index_of("yes")
        0
    """
    check_choice(fit, "fit", FITS)
    check_choice(outputs, "outputs", OUTPUT_KINDS)
    where = choose_device(device)
    weights = str(weights)
    names = None if class_names is None else _read_names(class_names)
    if isinstance(model, str) and not _is_factory(model):
        found, name = find(model, weights), model
    else:
        made = _made(model, weights)
        told = fit != FITS[0] or outputs != OUTPUT_KINDS[0]
        changed = told or any(each is not None for each in (mean, std, size, names))
        if isinstance(made, Classifier) and not changed:
            return made.to(where).eval()
        found, name = _described(made), _name_of(model)
    classifier = Classifier(
        found.network,
        _adjusted(found.preprocessing, mean, std, size, fit),
        found.class_names if names is None else names,
        name,
        found.outputs if outputs == OUTPUT_KINDS[0] else outputs,
    )
    return classifier.to(where).eval()


def factory_of(model: Any) -> Any:
    """What ``"package.module:factory"`` names; anything else as it is.

    Raises:
        ValueError: a module or name that cannot be imported.

    Example:
        >>> factory_of("torch.nn:Identity") is nn.Identity
        True
    """
    return import_object(model, "model") if isinstance(model, str) and _is_factory(model) else model


def _is_factory(name: str) -> bool:
    return is_object_path(name) and name.split(":", maxsplit=1)[0] not in LIBRARIES


def _made(model: Any, weights: str) -> nn.Module:
    """The module that a factory gives, or that was given, with its weights."""
    name = _name_of(model)
    factory = factory_of(model)
    if isinstance(factory, nn.Module):
        if weights == NONE:
            raise ValueError("weights must be DEFAULT or a checkpoint where model is a module")
        return factory if weights == DEFAULT else load_checkpoint(lambda _: factory, weights)[0]
    if not callable(factory):
        raise TypeError(
            "model must be a name, a module or a function that makes one; got "
            f"{type(factory).__name__}"
        )
    takes = _takes_num_classes(factory)

    def make(n_classes: int | None) -> nn.Module:
        try:
            made = factory(num_classes=n_classes) if n_classes and takes else factory()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a factory may exit()
            raise ValueError(f"model {name!r} cannot be made: {_line(error)}") from error
        if not isinstance(made, nn.Module):
            raise TypeError(
                f"model {name!r} must give a torch.nn.Module; got {type(made).__name__}"
            )
        return made

    if weights == NONE:
        return untrained(lambda: make(None))
    if weights == DEFAULT:
        return make(None)
    return load_checkpoint(make, weights)[0]


def _described(network: nn.Module) -> LibraryModel:
    """The preprocessing and class names that a module carries."""
    view = Framing((USUAL_SIDE, USUAL_SIDE), USUAL_SIDE)
    if isinstance(network, Preprocessed):
        normalize = network.normalize
        mean, std = normalize.mean.flatten().tolist(), normalize.std.flatten().tolist()
        if isinstance(network, Classifier):
            preprocessing = Preprocessing(tuple(mean), tuple(std), network.view)
            return LibraryModel(network.model, preprocessing, network.class_names, network.outputs)
        return LibraryModel(network.model, Preprocessing(tuple(mean), tuple(std), view))
    if is_of_timm(network):
        return LibraryModel(network, timm_preprocessing(network))
    preprocessing = Preprocessing(IMAGENET_MEAN, IMAGENET_STD, view)
    if is_of_transformers(network):
        kind = kind_of_outputs(network)
        return LibraryModel(Logits(network), preprocessing, label_names(network), kind)
    return LibraryModel(network, preprocessing)


def _adjusted(
    own: Preprocessing,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    size: int | tuple[int, int] | None,
    fit: str,
) -> Preprocessing:
    view = own.view
    if size is not None:
        sides = size if isinstance(size, tuple) else (size, size)
        if len(sides) != 2:
            raise ValueError(f"size must be a side or (height, width); got {size}")
        height, width = (check_int(side, "size", 1, MAX_SIDE) for side in sides)
        resize = height if height == width else (height, width)
        view = replace(view, size=(height, width), resize=resize)
    if fit == "squash":
        view = Framing.squashed(view.size, view.interpolation)
    return Preprocessing(_channels(mean, "mean", own.mean), _channels(std, "std", own.std), view)


def _channels(
    values: Sequence[float] | None, name: str, own: tuple[float, ...]
) -> tuple[float, ...]:
    if values is None:
        return own
    if not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must have a number for each channel; got {values!r}")
    return tuple(check_number(value, name) for value in values)


def _read_names(class_names: Sequence[str] | str | Path) -> list[str]:
    if not isinstance(class_names, str | Path):
        return [str(name) for name in class_names]
    try:
        text = Path(class_names).read_text(encoding="utf-8")
        content = (
            json.loads(text) if Path(class_names).suffix == ".json" else text.rstrip().splitlines()
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"class_names {str(class_names)!r} cannot be read: {reason}") from error
    if isinstance(content, Mapping):
        numbers = [str(index) for index in range(len(content))]
        content = [content[n] for n in numbers] if set(content) == set(numbers) else None
    if not isinstance(content, list) or not content:
        raise ValueError(
            f"class_names {str(class_names)!r} must hold a list of names, or names by number"
        )
    return [str(name).strip() for name in content]


def _takes_num_classes(factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False
    any_name = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return any_name or "num_classes" in parameters


def _name_of(model: Any) -> str:
    if isinstance(model, str):
        return model
    if isinstance(model, Classifier):
        return model.name
    return getattr(model, "__name__", None) or type(model).__name__


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {printable(' '.join(str(error).split()))}"
