"""All masks that a search evaluated for one example, and their scores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

#: Masks that are unpacked at a time.
CHUNK = 512
#: In place of the number of a mask that another one comes from: it was drawn, with others, or is
#: none of those that the search tried.
DRAWN, ASIDE = -1, -2
#: Part of a score's bits that is no rounding: of those of float32, 15.
FIRST = 2 / 3


class Archive:
    """Masks of one example, each once, with their scores; a bit for each gene.

    Args:
        n_genes: G.

    Attributes:
        n_genes: G.
        origins: for each mask, the number of the one that it comes from, or :data:`DRAWN` or
            :data:`ASIDE`.
        precision: of the scores: the rounding of 1 in the dtype in which they came.

    Example:
        >>> archive = Archive(3)
        >>> masks = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 0, 0]]).bool()
        >>> places, new = archive.enter(masks, [DRAWN] * 3)
        >>> new
        tensor([ True,  True, False])
        >>> archive.tell(torch.tensor([0.25, 0.5]))
        >>> archive.scores[places]
        tensor([0.2500, 0.5000, 0.2500], dtype=torch.float64)
    """

    def __init__(self, n_genes: int) -> None:
        self.n_genes = n_genes
        self.origins: list[int] = []
        self.precision = 0.0
        self._numbers: dict[bytes, int] = {}
        # Two buffers that grow: many arrays, kept between the passes, would scatter the heap.
        self._bits = np.empty((CHUNK, -(-n_genes // 8)), dtype=np.uint8)
        self._scores = np.empty(CHUNK)
        self._n_told = 0

    def __len__(self) -> int:
        return len(self.origins)

    def places(self, masks: Tensor) -> Tensor:
        """The numbers ``[n]`` of masks ``[n, G]`` that have been entered."""
        return torch.tensor([self._numbers[key] for key in keys_of(masks)])

    def enter(self, masks: Tensor, origins: list[int]) -> tuple[Tensor, Tensor]:
        """Add those of the masks ``[n, G]`` that are new; their scores follow later.

        Returns:
            The number of each mask ``[n]``, and which ones are new ``[n]``.
        """
        packed = _pack(masks)
        start = len(self.origins)
        places, new = [], []
        for key, origin in zip(_keys(packed), origins, strict=True):
            number = self._numbers.setdefault(key, len(self.origins))
            places.append(number)
            new.append(number == len(self.origins))
            if new[-1]:
                self.origins.append(origin)
            elif self.origins[number] == ASIDE:
                self.origins[number] = origin
        while len(self.origins) > len(self._bits):
            self._bits = np.concatenate([self._bits, np.empty_like(self._bits)])
            self._scores = np.concatenate([self._scores, np.empty_like(self._scores)])
        self._bits[start : len(self.origins)] = packed[new]
        return torch.tensor(places), torch.tensor(new)

    def tell(self, scores: Tensor) -> None:
        """The scores of the masks that were new, in their order."""
        self.precision = max(self.precision, torch.finfo(scores.dtype).eps)
        start, self._n_told = self._n_told, self._n_told + len(scores)
        self._scores[start : self._n_told] = scores.double().cpu().numpy()

    @property
    def scores(self) -> Tensor:
        """``[N]`` in float64."""
        return torch.from_numpy(self._scores[: self._n_told])

    def rounded(self, places: Tensor) -> Tensor:
        """Scores ``[n]`` to compare: the first bits of them.

        What rounding in the model does to the last bits differs with the batch and the processor.
        """
        mantissas, exponents = torch.frexp(self.scores[places])
        steps = 2.0 ** int(-FIRST * math.log2(self.precision))
        return torch.ldexp((mantissas * steps).round() / steps, exponents)

    def masks(self, places: list[int]) -> Tensor:
        """Masks ``[n, G]`` of these numbers."""
        return self._unpack(self._bits[places])

    def steps(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Masks that come from others, some at a time.

        Yields:
            Their numbers ``[n]``, those of the ones that they come from, and by how much the genes
            differ, ``[n, G]`` of -1, 0 and 1 (int8).
        """
        bits, origins = self._bits, np.array(self.origins)
        numbers = (origins >= 0).nonzero()[0]
        for start in range(0, len(numbers), CHUNK):
            own = numbers[start : start + CHUNK]
            others = origins[own]
            step = self._unpack(bits[own]).to(torch.int8) - self._unpack(bits[others]).to(
                torch.int8
            )
            yield torch.from_numpy(own), torch.from_numpy(others), step

    def drawn(self) -> Tensor:
        """The numbers of the masks that were drawn."""
        return torch.tensor([n for n, origin in enumerate(self.origins) if origin == DRAWN])

    def _unpack(self, bits: np.ndarray) -> Tensor:
        return torch.from_numpy(np.unpackbits(bits, axis=1, count=self.n_genes)).bool()


def keys_of(masks: Tensor) -> list[bytes]:
    """What tells masks ``[n, G]`` apart: 16 bytes for each, which no two in 2^128 share by chance.

    Example:
        >>> first, second, third = keys_of(torch.tensor([[True, False], [True, False], [True] * 2]))
        >>> first == second, first == third
        (True, False)
    """
    return _keys(_pack(masks))


def _pack(masks: Tensor) -> np.ndarray:
    return np.packbits(masks.numpy(), axis=1)


def _keys(packed: np.ndarray) -> list[bytes]:
    return [blake2b(bits.tobytes(), digest_size=16).digest() for bits in packed]
