"""Figures. Each function draws into a matplotlib figure and returns it; nothing is shown or saved.

- heat maps over an image, and plain ones on a signed scale;
- a picture explained: classes by methods;
- the image with its best segments kept, the rest perturbed;
- the parts of an image that a search of masks found important, and unimportant;
- the curves of the occlusion metrics;
- the exam's figure.
"""

from captum_ext.visualize.curves import curves_figure, draw_curves
from captum_ext.visualize.exam import CROP, MOST_COLUMNS, Panel, exam_figure
from captum_ext.visualize.explanation import explanation_figure, shrunk
from captum_ext.visualize.heat_map import (
    SIGNED_COLORS,
    check_image,
    draw_heat_map_over_image,
    draw_signed,
    heat_map_over_image,
)
from captum_ext.visualize.masks import compare_images
from captum_ext.visualize.overlay import check_drawing, intensity, overlay
from captum_ext.visualize.segments import keep_segments

__all__ = [
    "CROP",
    "MOST_COLUMNS",
    "SIGNED_COLORS",
    "Panel",
    "check_drawing",
    "check_image",
    "compare_images",
    "curves_figure",
    "draw_curves",
    "draw_heat_map_over_image",
    "draw_signed",
    "exam_figure",
    "explanation_figure",
    "heat_map_over_image",
    "intensity",
    "keep_segments",
    "overlay",
    "shrunk",
]
