"""Checkpoints: tensors by name, from a file that may hold nothing else."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from captum_ext.checks import printable
from captum_ext.models.state_dicts import (
    chosen_state,
    core,
    file_and_key,
    flat_averages,
    several_sets,
)

logger = logging.getLogger(__name__)

#: Names that an error tells, of those that do not fit.
MOST_NAMES = 3
#: Tensors of layers and wrappers that have no say in evaluation mode.
COUNTERS = ("num_batches_tracked", "n_averaged")


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name.

    Args:
        path: of a state dict, or of a dict that has one under a name of
            :data:`captum_ext.models.state_dicts.NESTS`; a ``.safetensors`` file does as well, where
            that package is installed. ``"model.pt#state_dict_ema"`` chooses one of several.

    Raises:
        ValueError: no such file; one that is no checkpoint; one that holds code, which is never
            run; one with several sets of weights, as averages (EMA) beside plain ones, none of
            which is chosen; tensors that are sparse, quantized, or without numbers (meta).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": nn.Linear(1, 2).state_dict()}, f"{folder}/model.pt")
        ...     list(read_checkpoint(f"{folder}/model.pt"))
        ['weight', 'bias']
    """
    path, key = file_and_key(path)
    if not os.path.isfile(path):
        there = "it is no regular file" if os.path.exists(path) else "there is none"
        there = "it is a folder" if os.path.isdir(path) else there
        raise ValueError(f"weights {str(path)!r} must be a file; {there}")
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    state = chosen_state(read(path), key, path)
    _check_kinds(state, path)
    return state


def load_checkpoint(
    make: Callable[[int | None], nn.Module], path: str | Path
) -> tuple[nn.Module, int | None]:
    """A model with a checkpoint's tensors, and its number of classes, where it is not the usual.

    Args:
        make: makes the model, with a number of classes, or with its own where that is None.
        path: see :func:`read_checkpoint`. Names of tensors may hold those of wrappers, as
            ``module.`` and ``_orig_mod.``, that the model's lack, and the other way round.

    Raises:
        ValueError: as :func:`read_checkpoint`, and a checkpoint that does not fit; the error names
            tensors that are missing, too many, of another shape or kind, or not finite.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(nn.Linear(1, 7).state_dict(), f"{folder}/model.pt")
        ...     load_checkpoint(lambda n: nn.Linear(1, n or 1000), f"{folder}/model.pt")
        (Linear(in_features=1, out_features=7, bias=True), 7)
    """
    read = read_checkpoint(path)
    file = file_and_key(path)[0]
    model = make(None)
    state = _with_names_of(model, read, file)
    n_classes = _n_classes(state, model)
    if n_classes is not None:
        model = make(n_classes)
    problem = _misfit(state, model)
    if problem:
        sets = flat_averages(list(read), set(model.state_dict()))
        if sets:
            raise several_sets(file, sets)
        raise ValueError(f"weights {str(file)!r} do not fit {type(model).__name__}: {problem}")
    model.load_state_dict(state, strict=False)
    return model, n_classes


def _read_torch(path: Path) -> Any:
    if not path.stat().st_size:
        raise ValueError(f"weights {str(path)!r} must hold tensors; the file is empty")
    try:
        with warnings.catch_warnings():
            # Of what torch warns of, it either makes nothing, or an error.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError(
            f"weights {str(path)!r} cannot be read: it is no checkpoint, or one that holds more "
            "than tensors (a whole model, say), which would run code of whoever wrote it; save "
            "model.state_dict() instead"
        ) from error
    except Exception as error:
        # What torch makes of a file that it has not written is of any kind.
        raise ValueError(
            f"weights {str(path)!r} cannot be read as a checkpoint: {_line(error)}"
        ) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        library = import_module("safetensors.torch")
    except ImportError as error:
        raise ValueError(
            f"weights {str(path)!r} need the package safetensors: pip install safetensors"
        ) from error
    try:
        found: dict[str, Tensor] = library.load_file(path)
    except Exception as error:
        raise ValueError(
            f"weights {str(path)!r} cannot be read as a checkpoint: {_line(error)}"
        ) from error
    return found


def _check_kinds(state: Mapping[str, Tensor], path: Path) -> None:
    kinds = (
        ("on the device meta, without numbers", lambda value: value.is_meta),
        ("quantized", lambda value: value.is_quantized),
        ("sparse", lambda value: value.layout != torch.strided),
    )
    for kind, is_of in kinds:
        names = [name for name, value in state.items() if is_of(value)]
        if names:
            raise ValueError(
                f"weights {str(path)!r} must be dense tensors of numbers; {kind}: {_some(names)}"
            )


def _with_names_of(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """By the model's names, where the names of wrappers are all that differs; with its counters."""
    own = model.state_dict()
    homes = _by_core(name for name in own if name not in state)
    strangers = _by_core(name for name in state if name not in own)
    new = {strangers[each]: homes[each] for each in strangers if each in homes}
    if new:
        old, name = next(iter(new.items()))
        more = f", and {len(new) - 1} more likewise" if len(new) > 1 else ""
        logger.info("weights %r: %s is taken as %s%s", str(path), old, name, more)
    renamed = {new.get(name, name): value for name, value in state.items()}
    counters = {name: value for name, value in own.items() if name.split(".")[-1] in COUNTERS}
    return counters | {
        name: value
        for name, value in renamed.items()
        if name in own or name.split(".")[-1] not in COUNTERS
    }


def _by_core(names: Iterable[str]) -> dict[str, str]:
    """Names by what they are without those of wrappers, where that is one name's alone."""
    listed = [(core(name), name) for name in names]
    counts = Counter(each for each, _ in listed)
    return {each: name for each, name in listed if counts[each] == 1}


def _n_classes(state: dict[str, Tensor], model: nn.Module) -> int | None:
    """The number of classes of a checkpoint that differs from the model in that alone."""
    lengths = set()
    for name, value in model.state_dict().items():
        other = state.get(name)
        if other is not None and other.shape != value.shape:
            if other.shape[1:] != value.shape[1:] or not other.dim():
                return None
            lengths.add(len(other))
    return lengths.pop() if len(lengths) == 1 else None


def _misfit(state: dict[str, Tensor], model: nn.Module) -> str:
    """What keeps a checkpoint from fitting a model; empty where nothing does."""
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    both = [(name, state[name], value) for name, value in own.items() if name in state]
    missing = [name for name in own if name not in state]
    extra = [name for name in state if name not in own]
    shapes = [
        f"{name} {list(found.shape)} instead of {list(value.shape)}"
        for name, found, value in both
        if found.shape != value.shape
    ]
    kinds = [
        f"{name} in {_dtype(found)} instead of {_dtype(value)}"
        for name, found, value in both
        if _loses(found, value)
    ]
    learned = dict(model.named_parameters())
    broken = [name for name, found, _ in both if not _is_sound(found, name in learned)]
    problems = {"it lacks": missing, "it has also": extra, "it has": shapes + kinds}
    problems["it has numbers that are not finite in"] = broken
    return "; ".join(f"{what} {_some(names)}" for what, names in problems.items() if names)


def _loses(found: Tensor, value: Tensor) -> bool:
    """Whether numbers would mean something else as those of the model."""
    if found.is_complex() or not value.is_floating_point():
        return found.is_complex() and not value.is_complex()
    # Whole numbers in place of floats are codes, whose scale is elsewhere.
    return not found.is_floating_point()


def _is_sound(value: Tensor, learned: bool) -> bool:
    """Whether there is no NaN, nor, among what is learned, an infinity (masks have some)."""
    if value.is_floating_point() and value.element_size() == 1:
        value = value.float()
    return not bool(value.isnan().any()) and not (learned and bool(value.isinf().any()))


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _line(error: BaseException) -> str:
    reason = printable(" ".join(str(error).split())[:200])
    return f"{type(error).__name__}{reason and ': '}{reason}"
