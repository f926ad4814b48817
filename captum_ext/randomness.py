"""Random numbers that are reproducible and leave the global random state alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index

import numpy as np
import torch

#: What every ``generator=`` argument takes: a torch.Generator, an int seed, or None for seed 0.
GeneratorLike = torch.Generator | int | None


def seed_of(generator: GeneratorLike) -> int:
    """The seed that ``generator`` stands for; drawing it advances a torch.Generator.

    Args:
        generator: an int is the seed itself (modulo 2**63); None is seed 0; a torch.Generator gives
            its next draw.

    Raises:
        TypeError: anything else.

    Example:
        >>> seed_of(7), seed_of(None)
        (7, 0)
    """
    if generator is None:
        return 0
    if isinstance(generator, torch.Generator):
        draw = torch.randint(2**31, (1,), generator=generator, device=generator.device)
        return int(draw)
    try:
        if isinstance(generator, bool):
            raise TypeError
        # An array of several numbers has __index__, too.
        return index(generator) % 2**63
    except TypeError:
        raise TypeError(
            "generator must be a torch.Generator, an int seed or None; got "
            f"{type(generator).__name__}"
        ) from None


def example_generator(seed: int) -> torch.Generator:
    """A CPU generator at the start of the stream that every example of a batch reads from.

    An example's result must not depend on its batch mates, so each example reads the same
    stream from its beginning: what it draws depends on the seed alone.

    Example:
        >>> first, second = example_generator(3), example_generator(3)
        >>> torch.equal(torch.rand(2, generator=first), torch.rand(2, generator=second))
        True
    """
    return torch.Generator().manual_seed(seed)


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seeds torch's, NumPy's and Python's global random state, and puts all back at the end.

    For code that draws from the global state, as Captum's own methods do.

    Example:
        >>> with global_seed(0):
        ...     first = torch.rand(1)
        >>> with global_seed(0):
        ...     print(torch.equal(first, torch.rand(1)))
        True
    """
    numpy_state = np.random.get_state()
    python_state = random.getstate()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
