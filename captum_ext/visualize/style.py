"""The style of all figures."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#222222"
FAINT = "#bbbbbb"
GOOD, BAD = "#1a7f37", "#b42318"


def bare(axes: Axes) -> None:
    """Leaves a picture nothing but a thin frame.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> bare(axes)
        >>> len(axes.get_xticks())
        0
    """
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor(FAINT)
        spine.set_linewidth(0.6)


def write_title(figure: Figure, title: str, left: float, top: float, fontsize: float) -> None:
    """Writes a title into the upper left corner, so many inches from the edges.

    Example:
        >>> figure = Figure(figsize=(4, 2))
        >>> write_title(figure, "Masks", 0.1, 0.1, 10)
        >>> figure.texts[0].get_text()
        'Masks'
    """
    width, height = figure.get_size_inches().tolist()
    figure.text(left / width, 1 - top / height, title, fontsize=fontsize, color=INK, va="top")
