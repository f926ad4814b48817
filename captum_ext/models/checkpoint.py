"""Checkpoints: tensors by name, from a file that may hold nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

#: Where training scripts put the model's tensors.
NESTS = ("state_dict", "model_state_dict", "model", "net")
#: What wrappers put before the names of a model's tensors.
PREFIXES = ("module.", "_orig_mod.", "model.")
#: Names that an error tells, of those that do not fit.
MOST_NAMES = 3


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name.

    Args:
        path: of a state dict, or of a dict that has one under a name of :data:`NESTS`; a
            ``.safetensors`` file does as well, where that package is installed.

    Raises:
        ValueError: no such file; one that is no checkpoint; one that holds code, which is never
            run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": nn.Linear(1, 2).state_dict()}, f"{folder}/model.pt")
        ...     list(read_checkpoint(f"{folder}/model.pt"))
        ['weight', 'bias']
    """
    path = Path(path)
    if not path.is_file():
        found = "it is a folder" if path.is_dir() else "there is none"
        raise ValueError(f"weights {str(path)!r} must be a file; {found}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            # Of what torch warns of, it either makes nothing, or an error.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
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
    return _state(content, path)


def load_checkpoint(
    make: Callable[[int | None], nn.Module], path: str | Path
) -> tuple[nn.Module, int | None]:
    """A model with a checkpoint's tensors, and its number of classes, where it is not the usual.

    Args:
        make: makes the model, with a number of classes, or with its own where that is None.
        path: see :func:`read_checkpoint`.

    Raises:
        ValueError: as :func:`read_checkpoint`, and a checkpoint that does not fit; the error names
            tensors that are missing, too many, or of another shape.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(nn.Linear(1, 7).state_dict(), f"{folder}/model.pt")
        ...     load_checkpoint(lambda n: nn.Linear(1, n or 1000), f"{folder}/model.pt")
        (Linear(in_features=1, out_features=7, bias=True), 7)
    """
    state = read_checkpoint(path)
    model = make(None)
    state = _without_prefix(state, model)
    n_classes = _n_classes(state, model)
    if n_classes is not None:
        model = make(n_classes)
    problem = _misfit(state, model)
    if problem:
        raise ValueError(f"weights {str(path)!r} do not fit {type(model).__name__}: {problem}")
    model.load_state_dict(state)
    return model, n_classes


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


def _state(content: Any, path: Path) -> dict[str, Tensor]:
    candidates = [content]
    if isinstance(content, Mapping):
        candidates = [content[name] for name in NESTS if name in content] + candidates
    for candidate in candidates:
        if (
            isinstance(candidate, Mapping)
            and candidate
            and all(isinstance(value, Tensor) for value in candidate.values())
        ):
            return {str(name): value for name, value in candidate.items()}
    raise ValueError(
        f"weights {str(path)!r} must hold a state dict, alone or as one of {', '.join(NESTS)}; got "
        f"{type(content).__name__}"
    )


def _without_prefix(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Without what wrappers put before every name, where the model's names lack it."""
    own = set(model.state_dict())
    while not own & set(state):
        common = [each for each in PREFIXES if all(name.startswith(each) for name in state)]
        if not common:
            break
        state = {name.removeprefix(common[0]): value for name, value in state.items()}
    return state


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
    own = model.state_dict()
    missing = [name for name in own if name not in state]
    extra = [name for name in state if name not in own]
    shapes = [
        f"{name} {list(state[name].shape)} instead of {list(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    found = (("it lacks", missing), ("it has also", extra), ("it has", shapes))
    return "; ".join(f"{what} {_some(names)}" for what, names in found if names)


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _line(error: BaseException) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{reason and ': '}{reason}"
