"""Where to compute."""

from __future__ import annotations

import torch

from captum_ext.checks import check_choice
from captum_ext.choices import DEVICES


def choose_device(name: str | torch.device | None = "auto") -> torch.device:
    """The device of a name.

    Args:
        name: ``"auto"`` takes the first there is of CUDA, MPS and the CPU; ``"cpu"``, ``"cuda"``,
            ``"mps"``, also with a number, as ``"cuda:1"``.

    Raises:
        ValueError: an unknown name, or a device that this machine does not have.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if isinstance(name, torch.device):
        return name
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name is None or name == "auto":
        return torch.device(next(kind for kind, there in here.items() if there))
    kind, _, number = name.partition(":")
    check_choice(kind, "device", DEVICES)
    if not here[kind]:
        raise ValueError(f"device {name!r} is not there; take cpu, or auto")
    if number and not number.isdecimal():
        raise ValueError(f"device must be as 'cuda' or 'cuda:1'; got {name!r}")
    if number and kind == "cuda" and int(number) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} is not there; CUDA has {torch.cuda.device_count()} here")
    return torch.device(name)
