"""Perturbers: what replaces a removed segment.

A perturber blends the image with something else, ``masks * image + (1 - masks) * fill``, so that
soft masks give soft edges. On its own, ``perturber(image, masks)`` takes one image ``[C, H, W]``
and what to keep of it ``[N, H, W]`` in [0, 1], and gives ``[N, C, H, W]``.

After Pihlgren and Främling, 2024 (arXiv 2409.04116). Their histogram of colors always
has eight bins; here the number of bins is an argument.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from captum_ext.baselines import image_mean, image_median
from captum_ext.checks import check_choice, check_differentiable, check_inputs, check_int, described
from captum_ext.randomness import GeneratorLike, example_generator, seed_of

#: The most bins of a channel: more than a channel of 16 bits has values.
MOST_BINS = 2**17
#: ``fill(rows [b], masks [b, H, W])`` gives the perturbed images ``[b, C, H, W]`` of those rows.
Fill = Callable[[Tensor, Tensor], Tensor]


class Perturber(ABC):
    """Makes perturbed versions of an image.

    Attributes:
        versions: perturbed images for each sample; row ``r`` is version ``r % versions`` of sample
            ``r // versions``.
    """

    versions: int = 1

    def check(self, image: Tensor, n_samples: int) -> None:  # noqa: B027 (most need no check)
        """Refuses an image or a number of samples that it cannot serve.

        Raises:
            ValueError: as each class says.
        """

    @abstractmethod
    def start(self, image: Tensor, n_samples: int, generator: GeneratorLike = None) -> Fill:
        """Prepares ``image [C, H, W]``: what is random is drawn here, for all samples at once."""

    def __call__(self, image: Tensor, masks: Tensor, generator: GeneratorLike = None) -> Tensor:
        """The perturbed images.

        Args:
            image: ``[C, H, W]``.
            masks: ``[N, H, W]``, what to keep, in [0, 1].
            generator: seed or torch.Generator, where something is drawn.

        Returns:
            ``[N * versions, C, H, W]``.

        Raises:
            ValueError: shapes that do not fit.
        """
        check_differentiable(check_inputs(image, "image"), "image")
        if image.dim() != 3 or masks.dim() != 3 or masks.shape[1:] != image.shape[1:]:
            raise ValueError(
                "image must be [C, H, W] and masks [N, H, W]; got shapes "
                f"{tuple(image.shape)} and {tuple(masks.shape)}"
            )
        self.check(image, len(masks))
        rows = torch.arange(len(masks) * self.versions, device=image.device)
        fill = self.start(image, len(masks), generator)
        return fill(rows, masks.to(image).repeat_interleave(self.versions, dim=0))


class Blend(Perturber):
    """A perturber that fades into other images or colors."""

    @abstractmethod
    def fills(self, image: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        """What the image fades into.

        Args:
            image: ``[C, H, W]``.
            n_samples: N.
            generator: for what is drawn.

        Returns:
            ``[K, C, H, W]`` or ``[K, C, 1, 1]``, which the rows go through again and again.
        """

    def start(self, image: Tensor, n_samples: int, generator: GeneratorLike = None) -> BlendFill:
        fills = self.fills(image, n_samples, example_generator(seed_of(generator))).to(image)
        return BlendFill(image, fills)


class BlendFill:
    """A fill that fades: see :data:`Fill`.

    Args:
        image: ``[C, H, W]``.
        fills: ``[K, C, H, W]`` or ``[K, C, 1, 1]``.
        drawn: which fill each row takes; None: they go through them again and again.
    """

    def __init__(self, image: Tensor, fills: Tensor, drawn: Tensor | None = None) -> None:
        self.image, self.fills, self.drawn = image, fills, drawn

    def index(self, rows: Tensor) -> Tensor:
        """Which fill each of some rows takes."""
        return rows % len(self.fills) if self.drawn is None else self.drawn[rows]

    def __call__(self, rows: Tensor, masks: Tensor) -> Tensor:
        # lerp gives exactly the image where a mask is 1, in any precision.
        return torch.lerp(self.fills[self.index(rows)], self.image, masks[:, None])


class SolidColor(Blend):
    """Fades into one color.

    Args:
        color: one number for each channel, a number for all of them, or the image's own
            ``"mean"`` or ``"median"`` color.

    Raises:
        ValueError: an unknown name, no number; when called: another number of channels.

    Example:
        >>> SolidColor("mean")(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]]))
        tensor([[[[0.0000, 0.5000]]]])
    """

    def __init__(self, color: float | str | Sequence[float] | Tensor = "mean") -> None:
        if isinstance(color, str):
            check_choice(color, "color", ("mean", "median"))
            self.color: str | Tensor = color
            return
        values = torch.as_tensor(color, dtype=torch.float64).flatten()
        check_inputs(values, "color")
        self.color = values
        self._given = described(color)

    def check(self, image: Tensor, n_samples: int) -> None:
        channels = image.shape[0]
        if isinstance(self.color, Tensor) and self.color.numel() not in (1, channels):
            raise ValueError(
                f"color must be one number, or one for each of the image's {channels} channels; "
                f"got {self._given}"
            )

    def fills(self, image: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        if isinstance(self.color, Tensor):
            return self.color.expand(image.shape[0]).reshape(1, -1, 1, 1)
        color_of = image_mean if self.color == "mean" else image_median
        return color_of(image[None])[:, :, :1, :1]

    def __repr__(self) -> str:
        color = self.color.tolist() if isinstance(self.color, Tensor) else self.color
        return f"SolidColor({color!r})"


class ReplaceImage(Blend):
    """Fades into other images.

    Args:
        images: ``[X, C, H, W]`` (or one, ``[C, H, W]``).
        one_each: sample ``n`` fades into image ``n``: as many images as samples. Otherwise each
            sample fades into every image in turn, which makes ``X`` versions of it.
        random: each sample fades into one image drawn at random.

    Raises:
        ValueError: not images, both ``one_each`` and ``random``; when called: images of another
            size, or not as many as samples.

    Example:
        >>> perturber = ReplaceImage(torch.ones(2, 1, 1, 2))
        >>> perturber(torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.25]]])).flatten(1)
        tensor([[0.0000, 0.7500],
                [0.0000, 0.7500]])
    """

    def __init__(self, images: Tensor, one_each: bool = False, random: bool = False) -> None:
        check_inputs(images, "images")
        images = images.detach()
        self.images = images[None] if images.dim() == 3 else images
        if self.images.dim() != 4:
            raise ValueError(f"images must be [X, C, H, W]; got shape {tuple(images.shape)}")
        if one_each and random:
            raise ValueError(
                "one_each and random exclude each other; got both. Set only one of them"
            )
        self.one_each = one_each
        self.random = random
        self.versions = 1 if one_each or random else len(self.images)

    def check(self, image: Tensor, n_samples: int) -> None:
        if self.images.shape[1:] != image.shape:
            raise ValueError(
                f"images must have the image's shape {tuple(image.shape)}; got "
                f"{tuple(self.images.shape[1:])}"
            )
        if self.one_each and len(self.images) != n_samples:
            raise ValueError(
                f"images must hold one image for each of the {n_samples} samples; got "
                f"{len(self.images)}"
            )

    def fills(self, image: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        return self.images

    def start(self, image: Tensor, n_samples: int, generator: GeneratorLike = None) -> BlendFill:
        fill = super().start(image, n_samples, generator)
        if self.random:
            stream = example_generator(seed_of(generator))
            drawn = torch.randint(len(self.images), (n_samples,), generator=stream)
            # Which image, not the image itself, is kept for each sample.
            fill.drawn = drawn.to(image.device)
        return fill

    def __repr__(self) -> str:
        shape = tuple(self.images.shape)
        return f"ReplaceImage({shape}, one_each={self.one_each}, random={self.random})"


class Transformed(Blend):
    """Fades into a transformed version of the image, as a blurred one.

    Args:
        function: takes ``[1, C, H, W]`` and gives the same shape, as
            :func:`captum_ext.baselines.blur`.
        **kwargs: its settings.

    Raises:
        TypeError: no function.
        ValueError: when called: it gives another shape.

    Example:
        >>> from captum_ext.baselines import blur
        >>> Transformed(blur, sigma=2)(torch.rand(3, 8, 8), torch.zeros(5, 8, 8)).shape
        torch.Size([5, 3, 8, 8])
    """

    def __init__(self, function: Callable[..., Tensor], **kwargs: Any) -> None:
        if not callable(function):
            raise TypeError(f"function must be a transformation; got {type(function).__name__}")
        self.function = function
        self.kwargs = kwargs

    def fills(self, image: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        result = self.function(image[None].clone(), **self.kwargs)
        if not isinstance(result, Tensor) or result.shape != image[None].shape:
            shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ValueError(
                f"function must return a tensor of shape {tuple(image[None].shape)}; got {shape}"
            )
        return result.detach()

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        settings = "".join(f", {key}={value!r}" for key, value in self.kwargs.items())
        return f"Transformed({name}{settings})"


class ColorHistogram(Blend):
    """Fades into a color of the image, drawn for each sample from a histogram of its colors.

    Each channel is parted into bins; a bin of the histogram is drawn with the part of the pixels
    that lie in it, and stands for their median color.

    Args:
        n_bins: of each channel, over [0, 1].

    Raises:
        ValueError: no bin.

    Example:
        >>> image = torch.tensor([[[0.1, 0.9, 0.9, 0.9]]])
        >>> ColorHistogram(2)(image, torch.zeros(1000, 1, 4), generator=0)[:, 0, 0, 0].unique()
        tensor([0.1000, 0.9000])
    """

    def __init__(self, n_bins: int = 8) -> None:
        self.n_bins = check_int(n_bins, "n_bins", minimum=1, maximum=MOST_BINS)

    def fills(self, image: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        pixels = image.flatten(1)
        bins = (pixels * self.n_bins).floor().clamp(0, self.n_bins - 1).long()
        _, members, counts = bins.T.unique(dim=0, return_inverse=True, return_counts=True)
        colors = torch.stack([_grouped_median(channel, members, counts) for channel in pixels], 1)
        weights = counts.double().cpu()
        drawn = torch.multinomial(weights, n_samples, replacement=True, generator=generator)
        return colors[drawn.to(colors.device)].reshape(n_samples, -1, 1, 1)

    def __repr__(self) -> str:
        return f"ColorHistogram({self.n_bins})"


class RandomColor(Blend):
    """Fades into a color drawn at random.

    Args:
        uniform: from all colors, each channel uniform in [0, 1]; otherwise that of a pixel of the
            image.
        each: a color for each sample; otherwise one for all.

    Example:
        >>> image = torch.tensor([[[0.25, 0.75]]])
        >>> RandomColor(each=True)(image, torch.zeros(100, 1, 2), generator=0).unique()
        tensor([0.2500, 0.7500])
    """

    def __init__(self, uniform: bool = False, each: bool = False) -> None:
        self.uniform = uniform
        self.each = each

    def fills(self, image: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        count, channels = n_samples if self.each else 1, image.shape[0]
        if self.uniform:
            colors = torch.rand(count, channels, generator=generator, dtype=torch.float64)
        else:
            pixels = image.flatten(1)
            drawn = torch.randint(pixels.shape[1], (count,), generator=generator)
            colors = pixels[:, drawn.to(pixels.device)].T
        return colors.reshape(count, channels, 1, 1)

    def __repr__(self) -> str:
        return f"RandomColor(uniform={self.uniform}, each={self.each})"


def _grouped_median(values: Tensor, members: Tensor, counts: Tensor) -> Tensor:
    """The median ``[G]`` of each group: ``members`` tells the group of each value."""
    by_value = values.argsort()
    ordered = values[by_value[members[by_value].argsort(stable=True)]]
    starts = counts.cumsum(0) - counts
    return (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) / 2
