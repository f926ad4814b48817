r"""A Gaussian of image patches, conditioned on what surrounds a window.

A window of size ``k`` with ``l`` pixels around it is a draw of one normal distribution, wherever it
lies in an image. With ``h`` the window's values, which are hidden, and ``s`` the others:

    x_h | x_s  ~  N(mu_h + S_hs S_ss^-1 (x_s - mu_s),  S_hh - S_hs S_ss^-1 S_sh)

One Cholesky factor of S, ``s`` first, holds both: ``[[A, 0], [B, D]]`` gives the mean
``mu_h + B A^-1 (x_s - mu_s)`` and the covariance ``D D^T``. At an image's border the patch ends
there, and the window lies nearer to that side of it.

Source: Zintgraf et al., ICLR 2017 (arXiv 1702.04595), section 3.1.
"""

from __future__ import annotations

import warnings
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from captum_ext.checks import MOST_ROWS, check_int, check_number, precise
from captum_ext.perturbation.marginals.base import Marginal, checked_data
from captum_ext.perturbation.regions import Region, Regions
from captum_ext.randomness import GeneratorLike, example_generator, seed_of

#: Constant data are given this variance, in their squared units.
LEAST_VARIANCE = 1e-12
#: So many places of a window in its patch are kept: those of a stride of 1, with a padding of 4,
#: are 81, of a megabyte each.
MOST_FACTORS = 128


class Conditional(NamedTuple):
    """The distribution of a region's values, given what surrounds it.

    Attributes:
        mean: ``[k]``, in the order of the region's positions.
        covariance: ``[k, k]``.
    """

    mean: Tensor
    covariance: Tensor


class ConditionalGaussian(Marginal):
    """A normal distribution of a window, given its surroundings; clipped to the data's range.

    Args:
        data: ``[N, C, H, W]``, images like those to be explained, of any size that a patch fits
            into. None: call :meth:`fit` later.
        patch: rows and columns of a window, k.
        padding: how many pixels around it count, l.
        full_color: let the channels tell of each other; otherwise each has a distribution of its
            own.
        n_patches: how many patches of the data are taken, at random; all, where there are no more.
        regularization: added to all variances, in parts of their mean.
        generator: seed or torch.Generator of the choice of patches.

    Warns:
        UserWarning: the patches do not determine the covariance. It is then shrunk towards a
            multiple of the identity, as far as Ledoit and Wolf (2004) advise.

    Raises:
        TypeError: data that are no tensor of a floating-point dtype.
        ValueError: data that are no images, not finite, or smaller than a window and its padding;
            numbers out of their range. When used: inputs of another number of channels, or that
            small; a region larger than that.

    Example:
        >>> data = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> marginal = ConditionalGaussian(data, patch=1, padding=1)
        >>> center = Region(torch.tensor([27]), (0, 3, 3), (1, 1, 1))
        >>> marginal.conditional(data[0], center).mean.round(decimals=1)  # noise tells nothing
        tensor([0.5000])
    """

    def __init__(
        self,
        data: Tensor | None = None,
        patch: int = 10,
        padding: int = 4,
        *,
        full_color: bool = False,
        n_patches: int = 20_000,
        regularization: float = 1e-6,
        generator: GeneratorLike = None,
    ) -> None:
        self.patch = check_int(patch, "patch", minimum=1, maximum=MOST_ROWS)
        self.padding = check_int(padding, "padding", minimum=0, maximum=MOST_ROWS)
        self.full_color = bool(full_color)
        self.n_patches = check_int(n_patches, "n_patches", minimum=2, maximum=MOST_ROWS)
        self.regularization = check_number(regularization, "regularization", low=0, above=True)
        self.seed = seed_of(generator)
        self._fitted: _Fit | None = None
        if data is not None:
            self.fit(data)

    @property
    def side(self) -> int:
        """Rows and columns of a window with its padding."""
        return self.patch + 2 * self.padding

    def fit(self, data: Tensor) -> ConditionalGaussian:
        """Estimates the distribution of patches; data, warnings and errors as of the class."""
        images = checked_data(data)
        if images.dim() != 4:
            raise ValueError(f"data must be images [N, C, H, W]; got shape {tuple(images.shape)}")
        if min(images.shape[2:]) < self.side:
            raise ValueError(
                f"data must be at least {self.side} x {self.side} pixels, as a window with its "
                f"padding is; got {images.shape[2]} x {images.shape[3]}"
            )
        patches = self._patches(images)
        if len(patches) < 2:
            raise ValueError(f"data must hold at least two patches; got {tuple(images.shape)}")
        channel = torch.arange(patches.shape[1]) // self.side**2
        related = (channel[:, None] == channel) | self.full_color
        covariance = patches.T.cov() * related
        if _is_singular(covariance):
            warnings.warn(
                f"the covariance of {len(patches)} patches is singular; it is shrunk towards a "
                "multiple of the identity. Pass more data, or a smaller patch or padding",
                stacklevel=3,
            )
            covariance = _shrunk(patches) * related
        variance = max(LEAST_VARIANCE, float(covariance.diagonal().mean()))
        covariance.diagonal().add_(self.regularization * variance)
        low, high = (
            each(images, dim=(0, 2, 3)).double().cpu() for each in (torch.amin, torch.amax)
        )
        self._fitted = _Fit(patches.mean(0), covariance, low, high)
        return self

    def _patches(self, images: Tensor) -> Tensor:
        """Patches of the data, flattened, in float64: ``[n, C side side]``."""
        views = images.unfold(2, self.side, 1).unfold(3, self.side, 1)
        rows, columns = views.shape[2:4]
        count = len(views) * rows * columns
        if count > self.n_patches:
            stream = example_generator(self.seed)
            numbers = torch.randint(count, (self.n_patches,), generator=stream)
        else:
            numbers = torch.arange(count)
        image, place = _divided(numbers.to(images.device), rows * columns)
        row, column = _divided(place, columns)
        return views[image, :, row, column].flatten(1).double().cpu()

    def check(self, x: Tensor, regions: Regions) -> None:
        channels = len(self._known().low)
        if x.dim() != 3 or len(x) != channels:
            raise ValueError(
                f"data with {channels} channels serve inputs [B, {channels}, H, W]; got an example "
                f"of shape {tuple(x.shape)}"
            )
        if min(x.shape[1:]) < self.side:
            raise ValueError(
                f"inputs must be at least {self.side} x {self.side} pixels, as the marginal's "
                f"window with its padding is; got {x.shape[1]} x {x.shape[2]}"
            )
        # All windows are as large as the first.
        for number in range(1 if regions[0].start else len(regions)):
            size = _box(regions[number], x)[1]
            if max(size) > self.side:
                raise ValueError(
                    "sliding_window_shapes and feature_mask must have no region larger than the "
                    f"marginal's window with its padding, {self.side} x {self.side}; got one of "
                    f"{size[0]} x {size[1]}"
                )

    def draw(self, x: Tensor, region: Region, count: int, generator: torch.Generator) -> Tensor:
        fit = self._known()
        factor, mean = self._given(fit, x, region)
        noise = torch.randn(count, len(region), generator=generator, dtype=torch.float64)
        values = mean + noise.to(mean) @ factor.T
        channel = region.positions // x[0].numel()
        return values.clamp(fit.low.to(mean)[channel], fit.high.to(mean)[channel]).to(x.dtype)

    def conditional(self, x: Tensor, region: Region) -> Conditional:
        """What :meth:`draw` draws from, before it is clipped.

        Args:
            x: one example ``[C, H, W]``.
            region: of it.
        """
        factor, mean = self._given(self._known(), x, region)
        return Conditional(mean, factor @ factor.T)

    def _given(self, fit: _Fit, x: Tensor, region: Region) -> tuple[Tensor, Tensor]:
        """The factor ``D [k, k]`` and the mean ``[k]`` for a region of an example."""
        start, size = _box(region, x)
        # The window in the middle of the patch, or as near as the border lets it.
        row, column = (
            min(max(0, first - (self.side - length) // 2), whole - self.side)
            for first, length, whole in zip(start, size, x.shape[1:], strict=True)
        )
        patch = x[:, row : row + self.side, column : column + self.side].to(precise(x)).flatten()
        channel, rest = _divided(region.positions.cpu(), x[0].numel())
        line, pixel = _divided(rest, x.shape[2])
        hidden = (channel * self.side + line - row) * self.side + pixel - column
        factor = fit.factor(hidden, patch)
        return factor.spread, factor.offset + factor.gain @ patch[factor.known]

    def save(self, path: str | PathLike[str]) -> None:
        """Writes what was fitted to an ``.npz`` file, which :meth:`load` reads.

        Raises:
            ValueError: nothing was fitted.
            OSError: the file cannot be written.
        """
        fit = self._known()
        arrays: dict[str, Any] = {name: getattr(fit, name).numpy() for name in _Fit.NAMES}
        arrays["settings"] = np.array([self.patch, self.padding, self.full_color])
        with open(path, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ConditionalGaussian:
        """The marginal that :meth:`save` has written; no code in a file is ever run.

        Raises:
            ValueError: the file holds something else.
            OSError: the file cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                patch, padding, full_color = file["settings"].tolist()
                tensors = [torch.from_numpy(file[name]) for name in _Fit.NAMES]
        except OSError:
            raise
        except Exception as error:
            raise ValueError(f"path {str(path)!r} holds no ConditionalGaussian: {error}") from error
        marginal = cls(None, patch, padding, full_color=bool(full_color))
        size = len(tensors[2]) * marginal.side**2
        shapes = [tuple(each.shape) for each in tensors]
        if shapes != [(size,), (size, size), shapes[2], shapes[2]]:
            raise ValueError(f"path {str(path)!r} holds a damaged ConditionalGaussian: {shapes}")
        marginal._fitted = _Fit(*tensors)
        return marginal

    def _known(self) -> _Fit:
        if self._fitted is None:
            raise ValueError("marginal must be fitted before it is used: pass data, or call fit()")
        return self._fitted

    def __repr__(self) -> str:
        return f"ConditionalGaussian({self.patch} x {self.patch}, padding {self.padding})"


class _Factor(NamedTuple):
    """What is needed to condition: see the module.

    Attributes:
        known: ``[d - k]``, the numbers of the values of a patch that are not hidden.
        gain: ``[k, d - k]``, ``B A^-1``.
        offset: ``[k]``, ``mu_h - B A^-1 mu_s``.
        spread: ``[k, k]``, ``D``.
    """

    known: Tensor
    gain: Tensor
    offset: Tensor
    spread: Tensor


class _Fit:
    """A distribution of patches, and what follows from it for each place of a window in a patch.

    Args:
        mean: ``[d]``, in float64 on the CPU as all of them.
        covariance: ``[d, d]``.
        low, high: ``[C]``, the data's range.
    """

    NAMES = ("mean", "covariance", "low", "high")

    def __init__(self, mean: Tensor, covariance: Tensor, low: Tensor, high: Tensor) -> None:
        self.mean, self.covariance, self.low, self.high = mean, covariance, low, high
        self._factors: dict[Any, _Factor] = {}

    def factor(self, hidden: Tensor, like: Tensor) -> _Factor:
        """For the hidden values ``[k]`` of a patch, to be used with tensors like ``like``.

        Computed once for each place of a window in its patch; the oldest are dropped.
        """
        key = (hidden.numpy().tobytes(), like.dtype, like.device)
        factor = self._factors.get(key)
        if factor is None:
            # Another thread may use the same marginal, and drop what this one looks at.
            for oldest in list(self._factors)[: max(0, len(self._factors) - MOST_FACTORS + 1)]:
                self._factors.pop(oldest, None)
            factor = self._factors[key] = self.factorized(hidden, like)
        return factor

    def factorized(self, hidden: Tensor, like: Tensor) -> _Factor:
        """What :meth:`factor` keeps."""
        is_known = torch.ones(len(self.mean), dtype=torch.bool)
        is_known[hidden] = False
        known = is_known.nonzero()[:, 0]
        order, count = torch.cat([known, hidden]), len(known)
        whole = torch.linalg.cholesky(self.covariance[order[:, None], order])
        gain = torch.linalg.solve_triangular(
            whole[:count, :count], whole[count:, :count], upper=False, left=False
        )
        offset = self.mean[hidden] - gain @ self.mean[known]
        values = (each.to(like) for each in (gain, offset, whole[count:, count:]))
        return _Factor(known.to(like.device), *values)


def _box(region: Region, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The first row and column of a region of ``x [C, H, W]``, and how many of each it spans."""
    if region.start:
        return region.start[1:], region.size[1:]
    row, column = _divided(region.positions % x[0].numel(), x.shape[2])
    starts = int(row.min()), int(column.min())
    return starts, (int(row.max()) - starts[0] + 1, int(column.max()) - starts[1] + 1)


def _divided(numbers: Tensor, by: int) -> tuple[Tensor, Tensor]:
    return numbers // by, numbers % by


def _is_singular(covariance: Tensor) -> bool:
    """Whether some direction varies no more than rounding does."""
    values = torch.linalg.eigvalsh(covariance)
    return bool(values[0] <= torch.finfo(values.dtype).eps * len(values) * values[-1])


def _shrunk(patches: Tensor) -> Tensor:
    # Imported where it is needed: it takes a quarter of a second.
    from sklearn.covariance import ledoit_wolf  # noqa: PLC0415

    return torch.from_numpy(ledoit_wolf(patches.numpy())[0])
