import warnings

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure

from captum_ext.visualize import draw_heat_map_over_image, heat_map_over_image

IMAGE = torch.linspace(0, 0.5, 3 * 4 * 6).reshape(3, 4, 6)
SIGNED = torch.linspace(-1, 3, 24).reshape(4, 6)


def colors_of(attribution, image=IMAGE, **settings):
    """The color that each pixel of the map is drawn in, and the scale that tells its value."""
    axes = Figure().subplots()
    scale = draw_heat_map_over_image(axes, image, attribution, **settings)
    drawn = axes.images[-1]
    return drawn.cmap(drawn.norm(drawn.get_array())), scale


@pytest.mark.parametrize("sign", [None, "all", "positive", "negative"])
@pytest.mark.parametrize("values", [SIGNED, SIGNED + 5, SIGNED - 7, SIGNED * 1e-9])
def test_the_scale_gives_each_value_the_color_that_it_is_drawn_in(values, sign):
    colors, scale = colors_of(values, sign=sign)
    low, high = scale.get_clim()
    # Beyond the scale lies only what the sign leaves out.
    expected = scale.to_rgba(np.clip(values.double().numpy(), low, high))
    np.testing.assert_allclose(colors, expected, atol=0.02)


@pytest.mark.parametrize(
    ("values", "limits"),
    [(SIGNED, (-3, 3)), (SIGNED + 5, (4, 8)), (SIGNED - 7, (-8, -4)), (SIGNED + 1, (0, 4))],
)
def test_zero_is_in_the_middle_only_if_the_map_has_both_signs(values, limits):
    _, scale = colors_of(values)
    assert scale.get_clim() == pytest.approx(limits)


@pytest.mark.parametrize(
    ("sign", "limits"),
    [("all", (-3, 3)), ("positive", (0, 3)), ("negative", (-1, 0)), ("absolute_value", (0, 3))],
)
def test_a_sign_that_is_asked_for_starts_at_zero(sign, limits):
    _, scale = colors_of(SIGNED, sign=sign)
    assert scale.get_clim() == pytest.approx(limits)


def test_nothing_is_clipped_unless_asked_for():
    values = torch.ones(4, 6)
    values[0, 0], values[1, 1] = 100, 0
    assert colors_of(values)[1].get_clim() == (0, 100)
    colors, scale = colors_of(values, outlier_perc=90)
    assert scale.get_clim() == (0, 1)
    np.testing.assert_array_equal(colors[0, 0], scale.cmap(1.0))


def test_rounding_of_the_sum_does_not_matter():
    for values in torch.rand(50, 4, 6, generator=torch.Generator().manual_seed(0)):
        limits = (values.min().item(), values.max().item())
        assert colors_of(values)[1].get_clim() == pytest.approx(limits)


@pytest.mark.parametrize("sign", [None, "all", "positive", "negative", "absolute_value"])
@pytest.mark.parametrize("value", [0.0, 2.0, -2.0])
def test_a_constant_map_has_one_color_without_a_warning(value, sign):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        colors, scale = colors_of(torch.full((4, 6), value), sign=sign, colorbar=True)
    shown = np.clip(value, *scale.get_clim()) if sign != "absolute_value" else abs(value)
    np.testing.assert_allclose(colors, np.tile(scale.to_rgba([shown]), (4, 6, 1)))


def test_channels_are_summed_but_a_repeated_map_counts_once():
    summed = torch.stack([SIGNED, SIGNED * 0, SIGNED])
    assert colors_of(summed)[1].get_clim() == pytest.approx((-6, 6))
    for once in (SIGNED, SIGNED[None], SIGNED.expand(3, -1, -1)):
        assert colors_of(once)[1].get_clim() == pytest.approx((-3, 3))


def test_a_dim_image_stays_dim():
    axes = Figure().subplots()
    draw_heat_map_over_image(axes, IMAGE, SIGNED)
    below = axes.images[0]
    assert below.norm(below.get_array()).max() < 0.7


@pytest.mark.parametrize("channels", [1, 3])
def test_the_figure_holds_image_map_bar_and_title(channels):
    figure = heat_map_over_image(IMAGE[:channels], SIGNED, cmap="jet", alpha=0.3, title="LIME")
    (axes,) = figure.axes
    (bar,) = axes.child_axes
    assert axes.get_title() == "LIME"
    assert axes.images[-1].cmap.name == "jet" and axes.images[-1].get_alpha() == 0.3
    assert bar.get_ylim() == pytest.approx((-3, 3))
    figure.canvas.draw()
    # All of it lies within the figure.
    assert figure.get_tightbbox().x1 <= figure.get_figwidth()
    assert not heat_map_over_image(IMAGE, SIGNED, colorbar=False).axes[0].child_axes


def test_pyplot_knows_of_nothing():
    heat_map_over_image(IMAGE, SIGNED)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": IMAGE * 255}, "image must be in"),
        ({"image": IMAGE[None]}, "image must be"),
        ({"image": IMAGE[:2]}, "image must be"),
        ({"attribution": SIGNED.T}, "attribution must be"),
        ({"attribution": SIGNED.expand(2, -1, -1)}, "attribution must be"),
        ({"attribution": SIGNED / 0}, "attribution must be finite"),
        ({"alpha": 1.5}, "alpha"),
        ({"outlier_perc": 100}, "outlier_perc"),
        ({"sign": "both"}, "sign"),
        ({"cmap": "turbot"}, "turbot"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        heat_map_over_image(**{"image": IMAGE, "attribution": SIGNED} | change)
