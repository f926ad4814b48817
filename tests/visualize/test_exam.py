import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from captum_ext.visualize import Panel, draw_signed, exam_figure


@pytest.mark.parametrize("values", [[[-1.0, 3.0]], [[0.0, 0.0]], [[np.nan, 2.0]]])
def test_the_scale_is_symmetric_about_zero(values):
    axes = Figure().subplots()
    draw_signed(axes, np.array(values))
    low, high = axes.images[0].get_clim()
    assert low == -high < 0


@pytest.mark.parametrize("n_methods", [0, 1, 9, 20])
def test_every_method_has_its_map_and_its_middle(n_methods):
    panels = [Panel(f"{i}", torch.randn(1, 7, 7), True, "rank 1") for i in range(n_methods)]
    figure = exam_figure(torch.rand(1, 7, 7), panels, ["fact"], [("3", 0.5)], "title")
    heat_maps = [axes for axes in figure.axes if axes.images][1:]
    assert len(heat_maps) == 2 * n_methods
    crops = [axes.images[0].get_array().shape for axes in heat_maps[1::2]]
    assert set(crops) <= {(5, 5)}
    figure.canvas.draw()


@pytest.mark.parametrize("size", [3, 4, 5, 6])
def test_the_middle_of_a_small_image_is_centered_on_its_center(size):
    heat = torch.zeros(1, size, size)
    heat[0, size // 2, size // 2] = 1
    figure = exam_figure(heat, [Panel("one", heat, True, "hit")], [], [], "title")
    crop = figure.axes[3].images[0].get_array()
    assert crop.shape[0] == crop.shape[1] and crop.shape[0] % 2 == 1
    assert crop[crop.shape[0] // 2, crop.shape[0] // 2] == 1
