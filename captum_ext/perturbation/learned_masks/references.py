"""References: images that replace the parts that a learned mask deletes."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_ext.baselines import blur, image_mean

REFERENCES = ("blur", "constant", "noise")
#: Standard deviation of the blur in sides of the image: 10 pixels of 224.
REFERENCE_BLUR = 10 / 224
#: A blur below this many pixels changes next to nothing.
LEAST_BLUR = 1.0


class References:
    """References for a batch of images.

    Args:
        images: for each input ``[b, C, H, W]``; or the references themselves.
        kind: one of :data:`REFERENCES`; None where they are given.

    Example:
        >>> (reference,) = References((torch.rand(1, 3, 8, 8),), "constant")(torch.Generator())
        >>> reference.flatten(2).std(2).max().item()
        0.0
    """

    def __init__(self, images: tuple[Tensor, ...], kind: str | None = None) -> None:
        self.images, self.kind = images, kind
        if kind == "blur":
            sigmas = (max(LEAST_BLUR, REFERENCE_BLUR * min(x.shape[2:])) for x in images)
            self.fixed = tuple(blur(x, sigma=s) for x, s in zip(images, sigmas, strict=True))
        else:
            self.fixed = images if kind is None else tuple(image_mean(x) for x in images)

    def __call__(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        if self.kind != "noise":
            return self.fixed
        return tuple(
            _noise(x, mean, generator) for x, mean in zip(self.images, self.fixed, strict=True)
        )


def _noise(image: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    # Drawn in float64 on the CPU: the same noise for every dtype and device.
    drawn = torch.randn(image.shape[1:], generator=generator, dtype=torch.float64).to(image)
    spread = image.std((2, 3), correction=0, keepdim=True)
    lowest, highest = (each((2, 3), keepdim=True) for each in (image.amin, image.amax))
    return (mean + spread * drawn).clamp(lowest, highest)
