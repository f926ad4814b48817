import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from captum_ext.visualize import draw_signed, exam_figure


@pytest.mark.parametrize("values", [[[-1.0, 3.0]], [[0.0, 0.0]], [[np.nan, 2.0]]])
def test_the_scale_is_symmetric_about_zero(values):
    axes = Figure().subplots()
    draw_signed(axes, np.array(values))
    low, high = axes.images[0].get_clim()
    assert low == -high < 0


@pytest.mark.parametrize("n_methods", [0, 1, 9, 20])
def test_every_method_has_its_map_and_its_middle(n_methods):
    maps = {f"method {i}": torch.randn(1, 7, 7) for i in range(n_methods)}
    notes = dict.fromkeys(maps, (True, "rank 1"))
    figure = exam_figure(torch.rand(1, 7, 7), maps, notes, ["fact"], [("3", 0.5)], "title")
    heat_maps = [axes for axes in figure.axes if axes.images][1:]
    assert len(heat_maps) == 2 * n_methods
    crops = [axes.images[0].get_array().shape for axes in heat_maps[1::2]]
    assert set(crops) <= {(5, 5)}
    figure.canvas.draw()
