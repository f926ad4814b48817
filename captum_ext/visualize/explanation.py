"""One picture explained: a row for each class, a column for each method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import matplotlib.patheffects as effects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional

from captum_ext.visualize.heat_map import check_image
from captum_ext.visualize.overlay import colors_of
from captum_ext.visualize.style import FAINT, INK, bare, write_title

# Inches: the longer side of a picture, the column of class names, titles, the scale, gaps.
_SIDE, _NAMES, _TITLES, _SCALE, _GAP = 2.1, 1.35, 0.3, 0.55, 0.08
#: Pixels of a picture's longer side in a figure.
MOST_PIXELS = 480
#: Methods in a row.
MOST_COLUMNS = 8


#: A remark on a map: letters of a line, and lines.
REMARK_LETTERS, REMARK_LINES = 34, 4


def explanation_figure(
    picture: Tensor,
    maps: Sequence[Sequence[Tensor | str]],
    classes: Sequence[str],
    methods: Sequence[str],
    *,
    seen: tuple[int, int, int, int] | None = None,
    signed: bool = False,
    cmap: str | Colormap | None = None,
    title: str | None = None,
    remarks: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """A picture and the heat maps that explain it: a row for each class, a column for each method.

    Args:
        picture: ``[3, H, W]`` in [0, 1].
        maps: for each class and method the overlay ``[3, H, W]`` of
            :func:`captum_ext.visualize.overlay`, or a reason why there is none.
        classes: what stands before each row.
        methods: what stands above each column.
        seen: the part that the model sees: top, bottom, left, right; framed where it is not all.
        signed: whether the maps are signed, for the scale.
        cmap: the maps' colors, for the scale; as of :func:`captum_ext.visualize.overlay`.
        title: to write above.
        remarks: for each map what must be known of it, written on its lower edge; empty for most.

    Returns:
        The figure.

    Raises:
        ValueError: pictures of other shapes, another number of maps.

    Example:
        >>> import torch
        >>> picture = torch.rand(3, 8, 8)
        >>> figure = explanation_figure(picture, [[picture, "failed"]], ["cat"], ["LIME", "SHAP"])
        >>> [axes.get_title() for axes in figure.axes[1:3]]
        ['LIME', 'SHAP']
    """
    height, width = check_image(picture, "picture").shape[1:]
    if len(maps) != len(classes) or any(len(row) != len(methods) for row in maps):
        raise ValueError(
            f"maps must be {len(classes)} classes of {len(methods)} methods; got "
            f"{[len(row) for row in maps]}"
        )
    layout = _Layout.of(width / height, len(classes), len(methods), titled=bool(title))
    figure = Figure(figsize=layout.size, dpi=150, facecolor="white")
    first = figure.add_axes(layout.cell(0, 0))
    _show(first, picture)
    _heading(first, "picture")
    if seen is not None and seen != (0, height, 0, width):
        _frame(first, seen)
    for row, name in enumerate(classes):
        for column, method in enumerate(methods):
            axes, shown = figure.add_axes(layout.cell(row, column + 1)), maps[row][column]
            if isinstance(shown, str):
                _say(axes, shown)
            else:
                _show(axes, check_image(shown, "maps"))
                if remarks is not None and remarks[row][column]:
                    _remark(axes, remarks[row][column])
            if row == 0:
                _heading(axes, method)
        for x, y in layout.names(row):
            figure.text(
                x,
                y,
                name,
                ha="right",
                va="center",
                fontsize=8.5,
                color=INK,
                linespacing=1.4,
                parse_math=False,
            )
    _draw_scale(figure, layout.scale, colors_of(cmap, signed=signed), signed=signed)
    if title:
        write_title(figure, title, _GAP, 0.08, 10)
    return figure


@dataclass(frozen=True)
class _Layout:
    """Where things stand: bands of at most :data:`MOST_COLUMNS` methods, one below the other.

    Places are (left, bottom, width, height), as parts of the figure.
    """

    wide: float
    high: float
    head: float
    rows: int
    columns: int
    bands: int

    @classmethod
    def of(cls, proportion: float, classes: int, methods: int, *, titled: bool) -> _Layout:
        """For pictures whose width is so many times their height."""
        wide, high = _SIDE * min(1.0, proportion), _SIDE * min(1.0, 1 / proportion)
        bands = max(1, -(-methods // MOST_COLUMNS))
        columns = max(1, -(-methods // bands))
        head = 0.3 if titled else 0.05
        return cls(max(wide, 0.7), max(high, 0.7), head, max(1, classes), columns, bands)

    @property
    def band(self) -> float:
        """Inches of a band's height."""
        return _TITLES + self.rows * (self.high + _GAP)

    @property
    def size(self) -> tuple[float, float]:
        """Inches of the figure."""
        width = (self.columns + 1) * (self.wide + _GAP) + _NAMES + _SCALE
        return width, self.bands * self.band + self.head + 0.05

    @property
    def scale(self) -> tuple[float, float, float, float]:
        """The color scale, beside the first row."""
        _, bottom, _, height = self.cell(0, 0)
        return 1 - (_SCALE - 0.06) / self.size[0], bottom, 0.09 / self.size[0], height

    def cell(self, row: int, column: int) -> tuple[float, float, float, float]:
        """A picture's place; column 0 is left of the classes' names."""
        band, place = divmod(column - 1, self.columns) if column else (0, -1)
        left = _GAP + (place + 1) * (self.wide + _GAP) + (_NAMES if column else 0)
        width, height = self.size
        bottom = height - self._below(band, row) - self.high
        return left / width, bottom / height, self.wide / width, self.high / height

    def names(self, row: int) -> list[tuple[float, float]]:
        """Where a class's name ends, in each band."""
        width, height = self.size
        x = (self.wide + _GAP + _NAMES) / width
        middles = (self._below(band, row) + self.high / 2 for band in range(self.bands))
        return [(x, 1 - middle / height) for middle in middles]

    def _below(self, band: int, row: int) -> float:
        """Inches from the figure's top to a row."""
        return self.head + band * self.band + _TITLES + row * (self.high + _GAP)


def shrunk(image: Tensor) -> Tensor:
    """An image at the size at which a figure shows it: at most :data:`MOST_PIXELS` on a side.

    Args:
        image: ``[3, H, W]`` in [0, 1].

    Example:
        >>> import torch
        >>> shrunk(torch.rand(3, 600, 960)).shape
        torch.Size([3, 300, 480])
    """
    height, width = image.shape[1:]
    small = min(1.0, MOST_PIXELS / max(height, width))
    if small == 1:
        return image
    size = [max(1, round(side * small)) for side in (height, width)]
    resized = functional.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
    return resized[0].clamp(0, 1)


def _show(axes: Axes, image: Tensor) -> None:
    height, width = image.shape[1:]
    # Whatever is drawn, places count in the pixels of the picture.
    axes.imshow(
        shrunk(image).detach().cpu().movedim(0, -1).numpy(),
        interpolation="antialiased",
        extent=(0, width, height, 0),
    )
    bare(axes)


def _remark(axes: Axes, text: str) -> None:
    """Writes on the lower edge of a map, in a few short lines."""
    lines = fill(text, REMARK_LETTERS, max_lines=REMARK_LINES, placeholder=" ...")
    axes.text(
        0.5,
        0.02,
        lines,
        transform=axes.transAxes,
        ha="center",
        va="bottom",
        fontsize=5.5,
        color=INK,
        parse_math=False,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
    )


def _heading(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=8.5, color=INK, pad=4, parse_math=False)


def _say(axes: Axes, reason: str) -> None:
    bare(axes)
    axes.text(
        0.5,
        0.5,
        fill(reason, 24, max_lines=7, placeholder=" ..."),
        ha="center",
        va="center",
        fontsize=7,
        color=INK,
        transform=axes.transAxes,
        parse_math=False,
    )


def _frame(axes: Axes, seen: tuple[int, int, int, int]) -> None:
    """Around the part that the model sees."""
    top, bottom, left, right = seen
    frame = Rectangle(
        (left, top), right - left, bottom - top, fill=False, edgecolor="white", linewidth=0.9
    )
    frame.set_path_effects([effects.withStroke(linewidth=1.8, foreground=INK)])
    axes.add_patch(frame)


def _draw_scale(
    figure: Figure, where: tuple[float, float, float, float], colors: Colormap, *, signed: bool
) -> None:
    place = figure.add_axes(where)
    scale = ScalarMappable(Normalize(-1 if signed else 0, 1), colors)
    bar = figure.colorbar(scale, cax=place, ticks=[-1, 0, 1] if signed else [0, 1])
    if signed:
        bar.ax.set_yticklabels(["against", "0", "for"])
    bar.outline.set_edgecolor(FAINT)
    bar.outline.set_linewidth(0.6)
    place.tick_params(labelsize=6.5, labelcolor=INK, color=FAINT, width=0.6, length=2, pad=1.5)
