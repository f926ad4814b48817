"""What infidelity does to an image: a square of a baseline, noise, or what a function says."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from captum_ext.checks import as_tuple
from captum_ext.randomness import example_generator

#: Captum's form: ``inputs [n, C, H, W]`` to the perturbations, and the perturbed inputs.
Perturbation = Callable[[Tensor], tuple[Tensor, Tensor]]

# Yeh et al. remove squares of 1 to 10 of MNIST's 28 pixels.
_LARGEST_SQUARE = 10 / 28


def perturbed_by(perturb: Perturbation, images: Tensor) -> tuple[Tensor, Tensor]:
    """The perturbations of ``images [n, C, H, W]``, and the perturbed images, known to be such.

    Raises:
        TypeError: ``perturb`` does not give a pair.
        ValueError: it gives something else than tensors like ``images``.

    Example:
        >>> perturbed_by(lambda x: (x / 4, 3 * x / 4), torch.ones(1, 1, 1, 1))
        (tensor([[[[0.2500]]]]), tensor([[[[0.7500]]]]))
    """
    pair = perturb(images)
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(
            f"perturbation must return (perturbations, perturbed inputs); got {type(pair).__name__}"
        )
    # Captum's decorator of such functions makes tuples, of one input each.
    change, perturbed = (as_tuple(part)[0] for part in pair)
    for part in (change, perturbed):
        if not isinstance(part, Tensor) or part.shape != images.shape:
            what = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise ValueError(
                f"perturbation must return tensors of the shape {tuple(images.shape)}; got {what}"
            )
    return change, perturbed


def squares(start: Tensor, count: int, seed: int) -> Perturbation:
    """Squares of an image that take the values of ``start``.

    Args:
        start: ``[1, C, H, W]``.
        count: how many squares; each image that the function gets takes the next one.
        seed: of their places and sizes.

    Example:
        >>> inside, perturbed = squares(torch.zeros(1, 1, 2, 2), 1, seed=0)(torch.ones(1, 1, 2, 2))
        >>> inside.sum(), torch.equal(perturbed, 1 - inside)
        (tensor(1.), True)
    """
    height, width = start.shape[2:]
    largest = max(1, round(_LARGEST_SQUARE * min(height, width)))
    draws = torch.rand(count, 3, generator=example_generator(seed), dtype=torch.float64)
    side = (1 + draws[:, 0] * largest).long()
    top = (draws[:, 1] * (height - side + 1)).long()
    left = (draws[:, 2] * (width - side + 1)).long()
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top[:, None]) & (rows < (top + side)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + side)[:, None])
    inside = (in_rows[:, :, None] & in_columns[:, None, :])[:, None].to(start.device)
    remaining = iter(inside)

    def perturb(images: Tensor) -> tuple[Tensor, Tensor]:
        taken = torch.stack([next(remaining) for _ in images])
        return taken.expand_as(images).to(images), torch.where(taken, start, images)

    return perturb


def noise(std: float, seed: int) -> Perturbation:
    """Gaussian noise of a standard deviation, which is taken away from an image.

    Example:
        >>> images = torch.ones(1, 1, 2, 2)
        >>> drawn, perturbed = noise(0.1, seed=0)(images)
        >>> torch.equal(perturbed, images - drawn)
        True
    """
    stream = example_generator(seed)

    def perturb(images: Tensor) -> tuple[Tensor, Tensor]:
        # Image by image, so that the noise is the same whatever the size of a batch.
        size = images.shape[1:]
        draws = [torch.randn(size, generator=stream, dtype=torch.float64) for _ in images]
        drawn = std * torch.stack(draws).to(images)
        return drawn, images - drawn

    return perturb
