"""How a model sees a picture: resized and cropped; and the way back to the picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from captum_ext.checks import check_choice, check_int
from captum_ext.choices import MAX_SIDE

#: How pixels are found between pixels; ``"lanczos"``, which torch lacks, is taken as bicubic.
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")

#: Of a picture that is resized before it is cut.
MAX_PIXELS = MAX_SIDE**2


@dataclass(frozen=True)
class Framing:
    """How a model sees a picture: resized, then cut to the model's size around the middle.

    Args:
        size: height and width that the model takes.
        resize: the length of the picture's shorter side before it is cut, or its height and width
            (then its proportions are not kept).
        interpolation: one of :data:`INTERPOLATIONS`.

    Raises:
        ValueError: a side that is not from 1 to :data:`captum_ext.choices.MAX_SIDE` pixels, an
            unknown interpolation.

    Example:
        >>> view = Framing(size=(4, 4), resize=4)
        >>> view(torch.rand(3, 8, 16)).shape, view.back(torch.rand(3, 4, 4), (8, 16)).shape
        (torch.Size([3, 4, 4]), torch.Size([3, 8, 16]))
    """

    size: tuple[int, int]
    resize: int | tuple[int, int]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("resize", self.resize)):
            for side in value if isinstance(value, tuple) else (value,):
                check_int(side, name, 1, MAX_SIDE)
        check_choice(self.interpolation, "interpolation", INTERPOLATIONS)

    @classmethod
    def squashed(cls, size: tuple[int, int], interpolation: str = "bilinear") -> Framing:
        """All of the picture, whatever its proportions.

        Example:
            >>> Framing.squashed((224, 224)).seen((300, 400))
            (0, 300, 0, 400)
        """
        return cls(size, size, interpolation)

    def __call__(self, image: Tensor) -> Tensor:
        """What the model sees.

        Args:
            image: ``[3, H, W]`` in [0, 1].

        Returns:
            ``[3, height, width]`` in [0, 1]; black, where the picture ends before the view does.
        """
        height, width = self._resized(image.shape[-2], image.shape[-1])
        seen = _interpolate(image, (height, width), self.interpolation).clamp(0, 1)
        top, left = self._corner(height, width)
        rest = (self.size[1] - width + left, self.size[0] - height + top)
        return functional.pad(seen, (-left, rest[0], -top, rest[1]))

    def back(self, values: Tensor, picture: tuple[int, int]) -> Tensor:
        """What belongs to the view's pixels, for the picture's pixels.

        Args:
            values: ``[..., height, width]``, as an attribution of what the model sees.
            picture: its height and width.

        Returns:
            ``[..., H, W]``, interpolated; zero where the model sees nothing of the picture.
        """
        height, width = self._resized(*picture)
        top, left = self._corner(height, width)
        around = (left, width - left - self.size[1], top, height - top - self.size[0])
        planes = values.reshape(-1, *self.size)
        inside = functional.pad(planes, [min(side, 0) for side in around])
        # Continued beyond its edge, so that it does not fade towards it.
        whole = functional.pad(inside, [max(side, 0) for side in around], mode="replicate")
        resized = _interpolate(whole, picture, "bilinear")
        upper, lower, first, last = self.seen(picture)
        back = torch.zeros_like(resized)
        back[:, upper:lower, first:last] = resized[:, upper:lower, first:last]
        return back.reshape(*values.shape[:-2], *picture)

    def seen(self, picture: tuple[int, int]) -> tuple[int, int, int, int]:
        """The part of the picture that the model sees: top, bottom, left, right.

        Args:
            picture: its height and width.

        Example:
            >>> Framing(size=(224, 224), resize=256).seen((512, 1024))
            (32, 480, 288, 736)
        """
        height, width = self._resized(*picture)
        corner = self._corner(height, width)
        bounds: list[int] = []
        for start, side, length, own in zip(
            corner, self.size, (height, width), picture, strict=True
        ):
            for end in (start, start + side):
                bounds.append(round(min(max(end, 0), length) * own / length))
        top, bottom, left, right = bounds
        return top, bottom, left, right

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """The picture's size before it is cut; as torchvision rounds it."""
        if isinstance(self.resize, tuple):
            return self.resize
        short, long = sorted((height, width))
        longer = max(1, int(self.resize * long / short))
        if self.resize * longer > MAX_PIXELS:
            raise ValueError(
                f"image of {height} x {width} pixels is too long: its shorter side would become "
                f"{self.resize} pixels, its longer {longer}; fit='squash' takes any shape"
            )
        return (self.resize, longer) if height <= width else (longer, self.resize)

    def _corner(self, height: int, width: int) -> tuple[int, int]:
        """Where the view begins in the resized picture; negative where the picture is smaller."""
        corner = []
        for side, own in zip((height, width), self.size, strict=True):
            corner.append(round((side - own) / 2) if side >= own else -((own - side) // 2))
        return corner[0], corner[1]


def _interpolate(planes: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """``planes [C, H, W]`` at another size; what shrinks is smoothed first."""
    if tuple(planes.shape[-2:]) == size:
        return planes
    mode = "bicubic" if mode == "lanczos" else mode
    if mode == "nearest":
        return functional.interpolate(planes[None], size, mode="nearest-exact")[0]
    wide = planes[None].to(torch.promote_types(planes.dtype, torch.float32))
    resized = functional.interpolate(wide, size, mode=mode, antialias=True, align_corners=False)
    return resized[0].to(planes.dtype)
