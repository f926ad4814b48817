"""XRAI: attribution through regions (Kapishnikov et al., ICCV 2019), as PAIR implements it.

Integrated Gradients are summed over segments of the image, which then are ranked: first comes the
one with the highest mean, then that which adds the highest mean to those before. Each pixel gets
the mean with which its segment came in.

Paper: arXiv 1906.02825.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import saliency.core as pair
from saliency.core.xrai import _get_segments_felzenszwalb
from torch import Tensor

from captum_ext._captum import log_usage
from captum_ext.attr.pair import FromSaliency
from captum_ext.budgets import Call, Knob
from captum_ext.call_model import as_mask
from captum_ext.checks import (
    MOST_ROWS,
    MOST_STEPS,
    check_baselines,
    check_choice,
    check_int,
    precise,
)
from captum_ext.forward import batch_size_or_default
from captum_ext.perturbation.feature_masks import (
    check_feature_mask,
    grid_labels,
    one_for_each,
    pixel_masks,
)
from captum_ext.perturbation.segments.segments_or_grid import (
    LEAST_SEGMENTS,
    suitable_grid,
    warn_of_grids,
)
from captum_ext.spec import MethodSpec, Need
from captum_ext.targets import check_images

#: Pixels below which Felzenszwalb's segments, as XRAI sets them, are smaller than a pixel.
SMALL_IMAGE = 150


class XRAI(FromSaliency):
    """XRAI: segments ranked by the density of Integrated Gradients inside them.

    PAIR's implementation, with Captum's arguments.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
        >>> XRAI(model).attribute(torch.rand(1, 3, 16, 16), target=1, n_steps=10).shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        super().__init__(pair.XRAI(), forward_func)

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_steps: int = 100,
        algorithm: str = "full",
        min_pixel_diff: int | None = None,
        internal_batch_size: int | None = None,
    ) -> Any:
        """Takes Captum's arguments; the others are:

        Args:
            inputs: images ``[B, C, H, W]``, or a tuple of such tensors.
            baselines: of Integrated Gradients, in any of Captum's forms; None takes two, each
                image's lowest and highest value.
            feature_mask: the segments, numbered: ``[1, 1, H, W]`` or ``[B, 1, H, W]`` (or as many
                channels as ``inputs``, all alike); None finds them by Felzenszwalb's method at
                six scales, or takes each pixel of an image of less than 150 for one. Where it
                finds fewer than 8, as in a constant image, a grid of about 49 cells is used.
            n_steps: of Integrated Gradients.
            algorithm: ``"full"``, or ``"fast"``, which ranks the segments once.
            min_pixel_diff: segments that add fewer pixels to those before are left out. None:
                50, as PAIR has it, of those that were found, none of others.
            internal_batch_size: steps per call of the model; None chooses by device and size.

        Returns:
            The heat map of each image, repeated for the channels: the shape and dtype of
            ``inputs``.

        Raises:
            TypeError: inputs or a mask of a wrong type.
            ValueError: inputs that are no images or not finite; a mask or baseline of another
                shape; an argument out of its range.

        Warns:
            AttributionWarning: a grid is used in some examples.
        """
        tensors = check_images(inputs, target, additional_forward_args)
        check_choice(algorithm, "algorithm", ("full", "fast"))
        batch_size = batch_size_or_default(internal_batch_size, tensors, self.forward_func)
        n_steps = check_int(n_steps, "n_steps", minimum=1, maximum=MOST_STEPS)
        if min_pixel_diff is not None:
            check_int(min_pixel_diff, "min_pixel_diff", minimum=1, maximum=MOST_ROWS)
        starts = None if baselines is None else check_baselines(baselines, tensors)
        masks = _segments(feature_mask, tensors)
        grids: list[tuple[int, int, tuple[int, int]]] = []

        def of_example(number: int, example: int) -> dict[str, Any]:
            chosen = slice(example, example + 1)
            mask, x = masks[number], tensors[number][chosen]
            segments = _felzenszwalb(x) if mask is None else _split(mask[chosen])
            n_different = len({each.tobytes() for each in segments})
            if mask is None and n_different < LEAST_SEGMENTS:
                grid = suitable_grid(x.shape[2], x.shape[3])
                grids.append((example, n_different, grid))
                mask = grid_labels(x.shape[2], x.shape[3], *grid)[None]
                segments = _split(mask)
            parameters = pair.XRAIParameters(steps=n_steps, algorithm=algorithm)
            if min_pixel_diff is not None or mask is not None:
                parameters.experimental_params["min_pixel_diff"] = min_pixel_diff or 1
            return {
                "baselines": None if starts is None else [as_mask(starts[number][chosen])],
                "segments": segments,
                "batch_size": batch_size,
                "extra_parameters": parameters,
            }

        attributions = self.masks(inputs, target, additional_forward_args, of_example)
        warn_of_grids("Felzenszwalb's method", grids)
        return attributions


def _segments(feature_mask: Any, inputs: tuple[Tensor, ...]) -> list[Tensor | None]:
    """For each input the numbers of the segments ``[B, H, W]``, or None to find them."""
    given = one_for_each(feature_mask, inputs)
    return [_segments_of(mask, x) for mask, x in zip(given, inputs, strict=True)]


def _segments_of(mask: Any, x: Tensor) -> Tensor | None:
    if mask is None and x[0, 0].numel() < SMALL_IMAGE:
        mask = pixel_masks((x,))[0]
    return None if mask is None else check_feature_mask(mask, x)


def _felzenszwalb(x: Tensor) -> list[np.ndarray]:
    """Boolean arrays ``[H, W]``, the segments of an image ``[1, C, H, W]`` at six scales."""
    if bool(x.max() == x.min()):
        return []
    # SciPy and scikit-image know no half precision.
    return [np.asarray(each) for each in _get_segments_felzenszwalb(as_mask(x.to(precise(x))))]


def _split(segments: Tensor) -> list[np.ndarray]:
    """One boolean array ``[H, W]`` for each number in ``segments [1, H, W]``."""
    numbers = segments[0].cpu().numpy()
    return [numbers == number for number in np.unique(numbers)]


def _passes_of_step(call: Call) -> int:
    # Without baselines there are two paths.
    return 4 if call.arguments.get("baselines") is None else 2


SPEC = MethodSpec(
    "xrai",
    "XRAI",
    "path",
    "Kapishnikov et al., ICCV 2019",
    XRAI,
    frozenset({Need.GRADIENTS}),
    budget=Knob("n_steps", each=_passes_of_step),
    deviations={"batch_size": "PAIR sums the gradients of Integrated Gradients in float32"},
    origin="saliency",
)
