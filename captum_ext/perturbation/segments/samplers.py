"""Samplers: functions that choose which segments each sample keeps.

``sampler(n_segments, n_samples, generator)`` gives samples ``[N, S]`` of bool: True keeps the
segment, False perturbs it. With ``n_samples=None`` a sampler takes as many as suit it; one that has
its own number of samples sets ``decides_count``.

After Pihlgren and Främling, 2024 (arXiv 2409.04116). Their sampler of probabilities keeps a segment
with ``1 - p``; here it keeps it with ``p``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_ext.checks import MOST_STEPS, check_choice, check_int, check_number, described, most_of
from captum_ext.randomness import GeneratorLike, example_generator, seed_of

#: ``sampler(n_segments, n_samples, generator)`` -> ``[N, S]`` of bool.
Sampler = Callable[[int, int | None, GeneratorLike], Tensor]

#: Samples that are drawn at a time.
CHUNK = 512
#: The distributions of :class:`SampleProbabilitySampler`, with their settings.
DISTRIBUTIONS: dict[str, dict[str, float]] = {
    "uniform": {},
    "normal": {"loc": 0.5, "scale": 1.0},
    "beta": {"a": 1.5, "b": 1.5},
}


@dataclass(frozen=True)
class BernoulliSampler:
    """Keeps each segment with probability ``p``, each for itself.

    Args:
        p: in (0, 1).

    Raises:
        ValueError: ``p`` outside.

    Example:
        >>> BernoulliSampler(0.5)(4, 1000, generator=0).float().mean() > 0.45
        tensor(True)
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < check_number(self.p, "p") < 1:
            raise ValueError(f"p must be above 0 and below 1; got {self.p}")

    def __call__(
        self, n_segments: int, n_samples: int | None = None, generator: GeneratorLike = None
    ) -> Tensor:
        count = _count(n_samples, n_segments)
        stream = example_generator(seed_of(generator))
        return _kept_with(torch.full((count, 1), self.p, dtype=torch.float64), n_segments, stream)


class SampleProbabilitySampler:
    """Keeps each segment with a probability that is drawn anew for each sample.

    Args:
        distribution: of the probability: ``"uniform"``, ``"normal"`` (settings ``loc`` 0.5 and
            ``scale`` 1, truncated to [0, 1]) or ``"beta"`` (settings ``a`` and ``b``, 1.5).
        inverse: keeps with ``1 - p`` in place of ``p``.
        **settings: of the distribution.

    Raises:
        TypeError: a setting that the distribution does not have.
        ValueError: an unknown distribution; a setting out of range.

    Example:
        >>> samples = SampleProbabilitySampler("beta", a=8, b=2)(5, 1000, generator=0)
        >>> 0.75 < samples.float().mean() < 0.85
        tensor(True)
    """

    def __init__(
        self, distribution: str = "uniform", inverse: bool = False, **settings: float
    ) -> None:
        self.distribution = check_choice(distribution, "distribution", DISTRIBUTIONS)
        defaults = DISTRIBUTIONS[distribution]
        unknown = sorted(set(settings) - set(defaults))
        if unknown:
            known = f"; it takes {', '.join(defaults)}" if defaults else ""
            raise TypeError(
                f"the {distribution} distribution has no argument {', '.join(unknown)}{known}"
            )
        self.inverse = inverse
        self.settings = {
            name: check_number(value, name, **({} if name == "loc" else _POSITIVE))
            for name, value in (defaults | settings).items()
        }

    def __call__(
        self, n_segments: int, n_samples: int | None = None, generator: GeneratorLike = None
    ) -> Tensor:
        count = _count(n_samples, n_segments)
        stream = example_generator(seed_of(generator))
        # The distribution's quantiles of uniform numbers: drawn from our own generator.
        drawn = self._quantiles(_uniform((count, 1), stream).numpy())
        p = torch.from_numpy(1 - drawn if self.inverse else drawn)
        return _kept_with(p, n_segments, stream)

    def _quantiles(self, uniform: np.ndarray) -> np.ndarray:
        if self.distribution == "uniform":
            return uniform
        # Here, because it takes a third of a second.
        from scipy import stats  # noqa: PLC0415

        if self.distribution == "beta":
            return np.asarray(stats.beta.ppf(uniform, **self.settings))
        loc, scale = self.settings["loc"], self.settings["scale"]
        low, high = (0 - loc) / scale, (1 - loc) / scale
        return np.asarray(stats.truncnorm.ppf(uniform, low, high, loc, scale))

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value:g}" for name, value in self.settings.items())
        return f"SampleProbabilitySampler({self.distribution!r}, {self.inverse}{settings})"


_POSITIVE: dict[str, Any] = {"low": 0, "above": True}


@dataclass(frozen=True)
class SingleFeatureSampler:
    """Perturbs one segment at a time, each in turn.

    Args:
        inverse: keeps one at a time, and perturbs all others.
        add_all: adds a sample with all segments perturbed.
        add_none: adds a sample with none perturbed.
        repeats: how often each segment has its turn; more than once is of use where the perturber
            draws at random.

    Raises:
        ValueError: when called: ``n_samples`` that is not the number of samples there are.

    Example:
        >>> SingleFeatureSampler(add_none=True)(2, None).int()
        tensor([[0, 1],
                [1, 0],
                [1, 1]], dtype=torch.int32)
    """

    inverse: bool = False
    add_all: bool = False
    add_none: bool = False
    repeats: int = 1

    decides_count = True

    def __post_init__(self) -> None:
        check_int(self.repeats, "repeats", minimum=1, maximum=MOST_STEPS)

    def __call__(
        self, n_segments: int, n_samples: int | None = None, generator: GeneratorLike = None
    ) -> Tensor:
        if self.repeats > most_of(n_segments**2):
            raise ValueError(
                f"repeats must be at most {most_of(n_segments**2)} for {n_segments} segments; got "
                f"{self.repeats}"
            )
        one = torch.eye(n_segments, dtype=torch.bool)
        turns = (one if self.inverse else ~one).repeat_interleave(self.repeats, dim=0)
        rows = [turns]
        if self.add_all:
            rows.append(torch.zeros(1, n_segments, dtype=torch.bool))
        if self.add_none:
            rows.append(torch.ones(1, n_segments, dtype=torch.bool))
        samples = torch.cat(rows)
        if n_samples is not None and n_samples != len(samples):
            raise ValueError(
                f"n_samples must be {len(samples)} for {n_segments} segments, or None: one "
                f"sample for each segment; got {described(n_samples)}"
            )
        return samples


@dataclass(frozen=True)
class ShapSampler:
    """The samples that weigh most in Shapley values first.

    None perturbed, all perturbed, one perturbed, all but one, two, all but two, ...; of the last
    group that does not fit, some are drawn at random (the published one takes the first ones, which
    gives the first segments more samples). There are no more than the ``2**S`` that exist.

    Args:
        inverse: all perturbed first, then none, all but one, ...

    Example:
        >>> ShapSampler()(3, 8).int().tolist()[:5]
        [[1, 1, 1], [0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """

    inverse: bool = False

    def __call__(
        self, n_segments: int, n_samples: int | None = None, generator: GeneratorLike = None
    ) -> Tensor:
        count = _count(n_samples, n_segments, spare=2)
        if n_segments < math.log2(count):
            count = 2**n_segments
        samples = torch.full((count, n_segments), not self.inverse)
        done = 0
        for size in _shapley_order(n_segments):
            members = _subsets(n_segments, size, count - done, generator)
            rows = torch.arange(done, done + len(members))[:, None]
            samples[rows, members] = self.inverse
            done += len(members)
            if done == count:
                break
        return samples


@dataclass(frozen=True, eq=False)
class FixedSampler:
    """Samples that are given.

    Args:
        samples: ``[N, S]``, 1 or True keeps a segment, 0 or False perturbs it.

    Raises:
        ValueError: other values; when called: another number of segments or samples.

    Example:
        >>> FixedSampler(torch.tensor([[1, 0], [0, 1]]))(2)
        tensor([[ True, False],
                [False,  True]])
    """

    samples: Tensor

    decides_count = True

    def __post_init__(self) -> None:
        check_samples(self.samples)

    def __repr__(self) -> str:
        return f"FixedSampler({tuple(self.samples.shape)})"

    def __call__(
        self, n_segments: int, n_samples: int | None = None, generator: GeneratorLike = None
    ) -> Tensor:
        samples = check_samples(self.samples, n_segments)
        if n_samples is not None and n_samples != len(samples):
            raise ValueError(
                f"n_samples must be {len(samples)}, as given, or None; got {described(n_samples)}"
            )
        return samples


def check_samples(samples: Any, n_segments: int | None = None) -> Tensor:
    """Samples ``[N, S]`` as bool, known to hold only 0 and 1.

    Raises:
        TypeError: no tensor.
        ValueError: another shape, or other values.

    Example:
        >>> check_samples(torch.ones(5, 3), n_segments=4)
        Traceback (most recent call last):
        ...
        ValueError: samples must have 4 columns, one for each segment; got shape (5, 3)
    """
    if not isinstance(samples, Tensor):
        raise TypeError(f"samples must be a tensor [N, S]; got {type(samples).__name__}")
    if samples.dim() != 2 or samples.numel() == 0:
        raise ValueError(f"samples must have the shape [N, S]; got {tuple(samples.shape)}")
    if n_segments is not None and samples.shape[1] != n_segments:
        raise ValueError(
            f"samples must have {n_segments} columns, one for each segment; got shape "
            f"{tuple(samples.shape)}"
        )
    if samples.dtype == torch.bool:
        return samples
    if not ((samples == 0) | (samples == 1)).all():
        raise ValueError("samples must hold 1 (keep) and 0 (perturb) only")
    return samples == 1


def _count(n_samples: int | None, n_segments: int, spare: int = 0) -> int:
    if n_samples is None:
        return n_segments + spare
    return check_int(n_samples, "n_samples", minimum=1, maximum=most_of(n_segments))


def _kept_with(p: Tensor, n_segments: int, generator: torch.Generator) -> Tensor:
    """Samples ``[N, S]`` that keep each segment with the probability ``p [N, 1]`` of their row.

    Part by part: with a segment for each pixel, all numbers at once take gigabytes.
    """
    parts = [_uniform((len(part), n_segments), generator) < part for part in p.split(CHUNK)]
    return torch.cat(parts)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _shapley_order(n_segments: int) -> Iterator[int]:
    """Numbers of segments, from the outside in: 0, S, 1, S - 1, ..."""
    pairs = ((size, n_segments - size) for size in range(n_segments // 2 + 1))
    return iter(dict.fromkeys(chain.from_iterable(pairs)))


def _subsets(n_segments: int, size: int, most: int, generator: GeneratorLike) -> Tensor:
    """All subsets ``[*, size]`` of the segments, or as many as are allowed, drawn at random."""
    total = math.comb(n_segments, size)
    if total <= most:
        chosen = list(combinations(range(n_segments), size))
        return torch.tensor(chosen, dtype=torch.long).reshape(total, size)
    stream = example_generator(seed_of(generator))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < most:
        drawn = _uniform((most, n_segments), stream).argsort(1)[:, :size].sort(1).values
        found.update(dict.fromkeys(map(tuple, drawn.tolist())))
    return torch.tensor(list(islice(found, most)), dtype=torch.long)
