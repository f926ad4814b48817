"""Baselines: inputs that mean "nothing to see", as tensors for Captum's ``baselines=``.

Every function takes the inputs ``[B, C, ...]`` and gives a baseline for them in the model's input
space: RGB in [0, 1], or, with ``normalized=True``, that space after ``(x - mean) / std``. The data
set's ``mean`` and ``std`` are per channel, in [0, 1] units; they default to ImageNet's (for one
channel, to their average). No function changes its inputs, and all baselines are detached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from captum_ext.checks import (
    check_choice,
    check_inputs,
    check_int,
    check_number,
    described,
    most_of,
)
from captum_ext.randomness import GeneratorLike, example_generator, seed_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: The largest standard deviation of a blur, in pixels: beyond it there is nothing left to blur.
MOST_SIGMA = 2000

Channels = Sequence[float] | Tensor | None


def black(
    inputs: Tensor, *, mean: Channels = None, std: Channels = None, normalized: bool = False
) -> Tensor:
    """All black: the shape of ``inputs``.

    Example:
        >>> black(torch.rand(1, 3, 2, 2)).unique().tolist()
        [0.0]
    """
    return _to_space(torch.zeros_like(_image(inputs)), mean, std, normalized)


def white(
    inputs: Tensor, *, mean: Channels = None, std: Channels = None, normalized: bool = False
) -> Tensor:
    """All white: the shape of ``inputs``.

    Example:
        >>> white(torch.rand(1, 1, 2, 2), mean=[0.5], std=[0.25], normalized=True).unique().tolist()
        [2.0]
    """
    return _to_space(torch.ones_like(_image(inputs)), mean, std, normalized)


def norm_mean(
    inputs: Tensor, *, mean: Channels = None, std: Channels = None, normalized: bool = False
) -> Tensor:
    """The data set's mean color, which is 0 in the normalized space: the shape of ``inputs``.

    Example:
        >>> norm_mean(torch.rand(1, 3, 2, 2))[0, :, 0, 0].tolist()  # doctest: +ELLIPSIS
        [0.48..., 0.45..., 0.40...]
    """
    image = _image(inputs)
    color = _per_channel(mean, image, "mean", IMAGENET_MEAN)
    return _to_space(color.expand_as(image).clone(), mean, std, normalized)


def uniform_noise(
    inputs: Tensor,
    *,
    mean: Channels = None,
    std: Channels = None,
    normalized: bool = False,
    n: int | None = None,
    generator: GeneratorLike = None,
) -> Tensor:
    """Each value uniform in [0, 1].

    Args:
        inputs: ``[B, C, ...]``.
        mean, std, normalized: see the module.
        n: how many baselines to draw as a background that all examples share; None draws one and
            gives it to every example, so that an example's baseline does not depend on the others.
        generator: seed or torch.Generator.

    Returns:
        The shape of ``inputs``, or ``[n, C, ...]``.

    Example:
        >>> uniform_noise(torch.rand(2, 3, 4, 4), n=8, generator=1).shape
        torch.Size([8, 3, 4, 4])
    """
    return _to_space(_draw(torch.rand, _image(inputs), n, generator), mean, std, normalized)


def gaussian_noise(
    inputs: Tensor,
    *,
    mean: Channels = None,
    std: Channels = None,
    normalized: bool = False,
    n: int | None = None,
    generator: GeneratorLike = None,
) -> Tensor:
    """Each value normal with the data set's mean and standard deviation, clipped to [0, 1].

    Arguments and result as in :func:`uniform_noise`.

    Example:
        >>> noise = gaussian_noise(torch.rand(1, 3, 64, 64), generator=1)
        >>> round(noise.mean().item(), 2)
        0.45
    """
    image = _image(inputs)
    noise = _draw(torch.randn, image, n, generator)
    spread = _per_channel(std, image, "std", IMAGENET_STD)
    center = _per_channel(mean, image, "mean", IMAGENET_MEAN)
    return _to_space((center + spread * noise).clamp(0, 1), mean, std, normalized)


def image_mean(inputs: Tensor) -> Tensor:
    """Each example's own mean color: the shape of ``inputs``.

    Example:
        >>> image_mean(torch.tensor([[[[0.0, 1.0]]]])).tolist()
        [[[[0.5, 0.5]]]]
    """
    image = _image(inputs)
    return image.flatten(2).mean(2).reshape(_color_shape(image)).expand_as(image).clone()


def image_median(inputs: Tensor) -> Tensor:
    """Each example's own median per channel (the mean of the middle two, where there are two).

    Example:
        >>> image_median(torch.tensor([[[[0.0, 0.2, 1.0]]]])).unique()
        tensor([0.2000])
    """
    image = _image(inputs)
    ordered = image.flatten(2).sort(2).values
    count = ordered.shape[2]
    middle = (ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2
    return middle.reshape(_color_shape(image)).expand_as(image).clone()


def blur(inputs: Tensor, *, sigma: float = 10.0) -> Tensor:
    """Each image ``[B, C, H, W]`` under a Gaussian blur of ``sigma`` pixels, borders replicated.

    Raises:
        TypeError: ``sigma`` is no number.
        ValueError: ``sigma`` is not positive or above 2,000, or ``inputs`` is no batch of images.

    Example:
        >>> blur(torch.ones(1, 3, 8, 8), sigma=2).mean().item()
        1.0
    """
    image = _image(inputs)
    if image.dim() != 4:
        raise ValueError(f"inputs must be images [B, C, H, W]; got shape {tuple(image.shape)}")
    sigma = check_number(sigma, "sigma", low=0, high=MOST_SIGMA, above=True)
    radius = max(1, round(4 * sigma))
    steps = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = (weights / weights.sum()).reshape(1, 1, -1, 1)
    height, width = image.shape[2:]
    plane = image.reshape(-1, 1, height, width)
    # In full precision, also where the caller has autocast switched on.
    with torch.autocast(image.device.type, enabled=False):
        plane = functional.conv2d(_replicate(plane, 0, radius), kernel)
        plane = functional.conv2d(_replicate(plane, radius, 0), kernel.transpose(2, 3))
    return plane.reshape(image.shape)


def max_distance(
    inputs: Tensor, *, mean: Channels = None, std: Channels = None, normalized: bool = False
) -> Tensor:
    """For each value the end of [0, 1] that is farther away (Sturmfels et al., Distill 2020).

    Example:
        >>> max_distance(torch.tensor([[[[0.2, 0.9]]]])).tolist()
        [[[[1.0, 0.0]]]]
    """
    image = _image(inputs)
    low = black(image, mean=mean, std=std, normalized=normalized)
    high = white(image, mean=mean, std=std, normalized=normalized)
    return torch.where((image - low).abs() >= (high - image).abs(), low, high)


BASELINES: dict[str, Callable[..., Tensor]] = {
    "black": black,
    "white": white,
    "noise": uniform_noise,
    "uniform_noise": uniform_noise,
    "gaussian_noise": gaussian_noise,
    "norm_mean": norm_mean,
    "image_mean": image_mean,
    "image_median": image_median,
    "blur": blur,
    "max_distance": max_distance,
}
#: Those that draw.
RANDOM = ("noise", "uniform_noise", "gaussian_noise")


def make_baselines(name: str, inputs: Any, **settings: Any) -> Any:
    """The baseline called ``name`` for a tensor or for each tensor of a tuple.

    Args:
        name: a key of :data:`BASELINES`.
        inputs: a tensor ``[B, C, ...]`` or a tuple of them.
        settings: ``mean``, ``std``, ``normalized``, ``generator``, ``n``, ``sigma``; those that the
            baseline does not take are ignored.

    Raises:
        ValueError: an unknown name.
        TypeError: a setting that no baseline has.

    Example:
        >>> make_baselines("white", torch.rand(1, 3, 2, 2)).min().item()
        1.0
    """
    function = BASELINES[check_choice(name, "baseline", BASELINES)]
    known = {key for each in BASELINES.values() for key in signature(each).parameters}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise TypeError(f"no baseline has an argument {', '.join(unknown)}")
    used = signature(function).parameters
    settings = {key: value for key, value in settings.items() if key in used}
    if isinstance(inputs, tuple):
        return tuple(function(x, **settings) for x in inputs)
    return function(inputs, **settings)


def _image(inputs: Tensor) -> Tensor:
    (image,) = check_inputs(inputs)
    if image.dim() < 2:
        raise ValueError(f"inputs must be [B, C, ...]; got shape {tuple(image.shape)}")
    if not image.is_floating_point():
        raise TypeError(f"inputs must be of a floating-point dtype; got {image.dtype}")
    return image.detach()


def _color_shape(image: Tensor) -> tuple[int, ...]:
    return (*image.shape[:2], *[1] * (image.dim() - 2))


def _per_channel(
    values: Channels, image: Tensor, name: str, default: tuple[float, float, float]
) -> Tensor:
    channels = image.shape[1]
    if values is None:
        if channels not in (1, 3):
            raise ValueError(f"{name} must be given for inputs of {channels} channels")
        values = default if channels == 3 else [sum(default) / 3]
    column = torch.as_tensor(values, dtype=image.dtype, device=image.device).flatten()
    if column.numel() != channels:
        raise ValueError(f"{name} must have {channels} values; got {column.numel()}")
    if name == "std" and not (column > 0).all():
        raise ValueError(f"std must be positive; got {described(values)}")
    return column.reshape(1, -1, *[1] * (image.dim() - 2))


def _to_space(rgb: Tensor, mean: Channels, std: Channels, normalized: bool) -> Tensor:
    if not normalized:
        return rgb
    center = _per_channel(mean, rgb, "mean", IMAGENET_MEAN)
    return (rgb - center) / _per_channel(std, rgb, "std", IMAGENET_STD)


def _draw(
    sampler: Callable[..., Tensor], image: Tensor, n: int | None, generator: GeneratorLike
) -> Tensor:
    count = 1 if n is None else check_int(n, "n", 1, most_of(image[0].numel()))
    # Drawn in float64 on the CPU: the same noise for every dtype and device.
    noise = sampler(
        (count, *image.shape[1:]),
        generator=example_generator(seed_of(generator)),
        dtype=torch.float64,
    ).to(image)
    return noise.expand_as(image).clone() if n is None else noise


def _replicate(plane: Tensor, width: int, height: int) -> Tensor:
    return functional.pad(plane, (width, width, height, height), mode="replicate")
