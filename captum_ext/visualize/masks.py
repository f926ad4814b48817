"""The result of a mask search: an image, its important and its unimportant part."""

from __future__ import annotations

from matplotlib.figure import Figure

from captum_ext.checks import check_int
from captum_ext.perturbation.mask_search import MaskSearch
from captum_ext.visualize.heat_map import check_image
from captum_ext.visualize.style import INK, bare

# Inches: the longer side of a picture, the gap between two, the two lines above, a margin.
_SIDE, _GAP, _HEAD, _MARGIN = 2.6, 0.12, 0.5, 0.08


def compare_images(search: MaskSearch, *, index: int = 0, title: str | None = None) -> Figure:
    """The original, what the important mask shows, and what the unimportant mask shows.

    Above each stands its score, and for the masks the feature impact index, ``|f(x) - f(masked)|``:
    how far the score is from that of the original.

    Args:
        search: of :meth:`captum_ext.attr.GeneticIPHA.search`, on RGB images in [0, 1], or gray
            ones.
        index: which input, where there are several.
        title: to write above.

    Returns:
        The figure.

    Raises:
        TypeError: something else than a search.
        ValueError: inputs that are no such images; an input that there is not.

    Example:
        >>> import torch
        >>> from captum_ext.attr import GeneticIPHA
        >>> method = GeneticIPHA(lambda x: x[:, 0, :2].mean((1, 2)))
        >>> (search,) = method.search(torch.ones(1, 3, 4, 4), n_generations=30)
        >>> for axes in compare_images(search).axes:
        ...     print(axes.get_title().replace(chr(10), ": "))
        original: 1.000
        important only: 1.000  (impact 0.000)
        unimportant only: 0.000  (impact 1.000)
    """
    if not isinstance(search, MaskSearch):
        raise TypeError(f"search must be a MaskSearch; got {type(search).__name__}")
    if check_int(index, "index", minimum=0) >= len(search.inputs):
        raise ValueError(f"index must be below {len(search.inputs)}, the inputs; got {index}")
    shown = (
        ("original", search.inputs, f"{search.score:.3f}"),
        ("important only", search.important_only, _scores(search, important=True)),
        ("unimportant only", search.unimportant_only, _scores(search, important=False)),
    )
    height, width = check_image(search.inputs[index], "inputs").shape[1:]
    scale = _SIDE / max(height, width)
    wide, high = max(width * scale, 1.5), max(height * scale, 1)
    head = _HEAD + (0.25 if title else 0)
    size = (3 * wide + 2 * _GAP + 2 * _MARGIN, high + head + _MARGIN)
    figure = Figure(figsize=size, dpi=100, facecolor="white")
    grid = figure.subplots(1, 3)
    figure.subplots_adjust(
        _MARGIN / size[0],
        _MARGIN / size[1],
        1 - _MARGIN / size[0],
        1 - head / size[1],
        _GAP / wide,
    )
    for axes, (name, images, scores) in zip(grid, shown, strict=True):
        pixels = check_image(images[index], name).movedim(0, -1).cpu().double().numpy()
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(f"{name}\n{scores}", fontsize=9, color=INK, pad=5)
        bare(axes)
    if title:
        figure.suptitle(title, fontsize=10, color=INK, y=1 - 0.06 / size[1], va="top")
    return figure


def _scores(search: MaskSearch, *, important: bool) -> str:
    score = search.important_score if important else search.unimportant_score
    impact = search.important_impact if important else search.unimportant_impact
    return f"{score:.3f}  (impact {impact:.3f})"
