"""Perturbed rows of a batch, computed when the evaluator needs them and not stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from captum_ext.forward import LazyRows, join
from captum_ext.perturbation.segments.perturbers import Fill, Perturber
from captum_ext.randomness import GeneratorLike

#: ``keep(samples [b])`` gives, for each input, what those samples keep of it, ``[b, H, W]``.
Keep = Callable[[Tensor], tuple[Tensor, ...]]


class PerturbedExample:
    """The perturbed versions of one example.

    Args:
        images: for each input ``[C, H, W]``.
        perturbers: for each input.
        n_samples: how many there will be.
        keep: what each sample keeps.
        generator: of what the perturbers draw.
        spare: further samples, beside those that the perturbers are asked about.

    Raises:
        ValueError: an image or a number of samples that a perturber cannot serve; perturbers that
            make different numbers of versions.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        perturbers: Sequence[Perturber],
        n_samples: int,
        keep: Keep,
        generator: GeneratorLike = None,
        spare: int = 0,
    ) -> None:
        versions = {perturber.versions for perturber in perturbers}
        if len(versions) > 1:
            raise ValueError(
                "perturbers must make the same number of versions of each input; got "
                f"{' and '.join(map(str, sorted(versions)))}"
            )
        (self.versions,) = versions
        self.keep = keep
        self.fills: list[Fill] = []
        for image, perturber in zip(images, perturbers, strict=True):
            perturber.check(image, n_samples)
            self.fills.append(perturber.start(image, n_samples + spare, generator))

    def __call__(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The perturbed inputs of rows ``[b]``; row ``r`` is of sample ``r // versions``."""
        masks = self.keep(rows // self.versions)
        return tuple(fill(rows, mask) for fill, mask in zip(self.fills, masks, strict=True))


def perturb_each(
    examples: Sequence[Callable[[Tensor], Sequence[Tensor | LazyRows]]],
) -> Callable[[Tensor, Tensor], tuple[Tensor | LazyRows, ...]]:
    """What :class:`captum_ext.forward.Evaluator` wants, from one function for each example.

    Example:
        >>> import torch
        >>> double, treble = (lambda rows: (2 * rows,)), (lambda rows: (3 * rows,))
        >>> perturb = perturb_each([double, treble])
        >>> perturb(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 1]))
        (tensor([2, 4, 3]),)
    """

    def perturb(numbers: Tensor, rows: Tensor) -> tuple[Tensor | LazyRows, ...]:
        chunks = [
            examples[number](rows[numbers == number])
            for number in numbers.unique_consecutive().tolist()
        ]
        return tuple(join(parts) for parts in zip(*chunks, strict=True))

    return perturb
