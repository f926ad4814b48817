"""Which of the sets of weights in a checkpoint is meant."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

logger = logging.getLogger(__name__)

#: Where training scripts put the model's tensors.
NESTS = ("state_dict", "model_state_dict", "model", "net")
#: Attributes by which wrappers hold the model: they stand in names of tensors.
WRAPPERS = ("module", "_orig_mod", "model", "net", "backbone")
#: Words in the names of weights that are averages over the training.
AVERAGES = ("ema", "swa", "avg", "average", "averaged", "polyak", "shadow", "teacher")
#: How deep in a checkpoint weights are looked for.
_DEPTH = 3


def file_and_key(weights: str | Path) -> tuple[Path, str]:
    """The file that weights are in, and the key of those that are meant, after a ``#``.

    A file with a ``#`` in its name goes by its name.

    Example:
        >>> file_and_key("model.pt#state_dict_ema")
        (PosixPath('model.pt'), 'state_dict_ema')
    """
    text = str(weights)
    if "#" not in text or os.path.exists(text):
        return Path(text), ""
    file, _, key = text.rpartition("#")
    return Path(file), key


def chosen_state(content: Any, key: str, file: Path) -> dict[str, Tensor]:
    """The set of weights that is meant, in the content of a file.

    Args:
        content: a state dict, or mappings that hold some.
        key: of the set, dotted where it lies deeper (``ema.module``), or what its tensors' names
            begin with; empty: the only one, or that under one of :data:`NESTS`.
        file: for the error message.

    Raises:
        ValueError: there is no set, none of that key, or several and no key: it lists them.

    Example:
        >>> import torch
        >>> content = {"model": {"w": torch.zeros(1)}, "ema": {"w": torch.ones(1)}}
        >>> chosen_state(content, "ema", Path("model.pt"))
        {'w': tensor([1.])}
    """
    states = _state_dicts(content, _DEPTH)
    if not states:
        raise ValueError(
            f"weights {str(file)!r} must hold a state dict, alone or as one of {', '.join(NESTS)}; "
            f"got {type(content).__name__}"
        )
    if key:
        return _state_of_key(states, key, file)
    nested = [name for nest in NESTS for name in states if name.split(".")[0] == nest]
    name = next(iter(nested or states))
    others = [other for other in states if other != name]
    if nested:
        others = [other for other in others if _is_rival(other, states[other], states[name])]
    if others:
        raise several_sets(file, [name, *others])
    if name and name not in NESTS:
        logger.info("weights %r: the set %s is taken, the only one", str(file), name)
    return states[name]


def several_sets(file: Path, names: list[str]) -> ValueError:
    """The error for a choice that is open."""
    return ValueError(
        f"weights {str(file)!r} hold several sets: {', '.join(map(repr, names))}; choose one, as "
        f"{f'{file}#{names[-1]}'!r}"
    )


def flat_averages(names: list[str], own: set[str]) -> list[str]:
    """The sets of one state dict whose tensors bear the set's name, where one is an average.

    Args:
        names: of the tensors.
        own: those of the model.

    Example:
        >>> flat_averages(["net.w", "net.b", "net_ema.w", "net_ema.b"], {"w", "b"})
        ['net', 'net_ema']
    """
    cores = {core(name) for name in own}
    groups: dict[str, set[str]] = {}
    for name in names:
        group, _, rest = name.partition(".")
        groups.setdefault(group, set()).add(core(rest))
    sets = [group for group, rest in groups.items() if cores <= rest]
    return sets if len(sets) > 1 and any(map(_is_average, sets)) else []


def core(name: str) -> str:
    """The name of a tensor without the names of wrappers.

    Example:
        >>> core("module.features._orig_mod.0.weight")
        'features.0.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _state_dicts(content: Any, depth: int) -> dict[str, dict[str, Tensor]]:
    """All sets of tensors by names, by the keys that lead to them."""
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return {"": dict(content)}
    states: dict[str, dict[str, Tensor]] = {}
    for name, value in content.items() if depth else ():
        for inner, state in _state_dicts(value, depth - 1).items():
            states[f"{name}.{inner}" if inner else name] = state
    return states


def _state_of_key(states: dict[str, dict[str, Tensor]], key: str, file: Path) -> dict[str, Tensor]:
    below = [name for name in states if name == key or name.startswith(f"{key}.")]
    if key in below or len(below) == 1:
        return states[key if key in below else below[0]]
    for outer, state in states.items():
        prefix = key.removeprefix(f"{outer}.") + "."
        names = [name for name in state if name.startswith(prefix)]
        if names:
            return {name.removeprefix(prefix): state[name] for name in names}
    there = [name for name in states if name] or {name.partition(".")[0] for name in states[""]}
    raise ValueError(
        f"weights {str(file)!r} hold no set {key!r}; they hold {', '.join(map(repr, there))}"
    )


def _is_rival(name: str, state: Mapping[str, Tensor], main: Mapping[str, Tensor]) -> bool:
    """Whether a set may be meant as well: an average, or tensors of the same names."""
    own = set(map(core, main))
    return _is_average(name) or 2 * len(own & set(map(core, state))) > len(own)


def _is_average(name: str) -> bool:
    return any(word in AVERAGES for word in re.split(r"[^a-z]+", name.lower()))
