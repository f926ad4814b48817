"""What all figures look like."""

from __future__ import annotations

from matplotlib.axes import Axes

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
