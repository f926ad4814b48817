import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from captum_ext.metrics import OcclusionCurves
from captum_ext.visualize import curves_figure, draw_curves

LIF = torch.tensor([[1.0, 0.9, 0.4, 0.0], [0.8, 0.5, 0.6, 0.2]])
MIF = torch.tensor([[1.0, 0.3, 0.2, 0.0], [0.8, 0.1, 0.0, 0.2]])
CURVES = OcclusionCurves(LIF, MIF)


def drawn(curves):
    axes = Figure().subplots()
    draw_curves(axes, curves)
    return axes


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_lines_are_the_means_over_the_batch_and_the_part_removed():
    least, most = drawn(CURVES).lines
    np.testing.assert_allclose(least.get_xdata(), [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(least.get_ydata(), LIF.mean(0), rtol=1e-6)
    np.testing.assert_allclose(most.get_ydata(), MIF.mean(0), rtol=1e-6)
    assert (least.get_linestyle(), most.get_linestyle()) == ("-", "--")


def test_the_band_is_the_standard_error_of_the_mean():
    band = drawn(CURVES).collections[0].get_paths()[0].vertices
    # Of two values the standard deviation is their distance / sqrt(2), the error half of it.
    for column, (first, second) in enumerate(LIF.T.tolist()):
        heights = band[np.isclose(band[:, 0], column / 3), 1]
        assert heights.min() == pytest.approx(min(first, second), abs=1e-6)
        assert heights.max() == pytest.approx(max(first, second), abs=1e-6)


def test_one_example_has_no_band_and_one_method_has_its_area():
    one = OcclusionCurves(LIF[:1], MIF[:1])
    assert len(drawn(one).collections) == 1
    assert len(drawn({"a": one, "b": one}).collections) == 0
    assert not any("error" in text for text in legend(drawn(one)))


def test_the_legend_tells_the_gain():
    gain = (LIF.mean(1) - MIF.mean(1)).mean().item()
    assert f"SRG {gain:.3f}" in legend(drawn(CURVES))
    texts = legend(drawn({"RISE": CURVES, "flipped": OcclusionCurves(MIF, LIF)}))
    assert texts[:2] == [f"RISE: SRG {gain:.3f}", f"flipped: SRG −{gain:.3f}"]
    assert drawn({"RISE": CURVES}).get_legend().get_title().get_text() == "RISE"


@pytest.mark.parametrize("count", [2, 6, 7, 12])
def test_each_method_has_one_color_of_its_own(count):
    lines = drawn({f"method {number}": CURVES for number in range(count)}).lines
    colors = [to_hex(line.get_color()) for line in lines]
    assert colors[::2] == colors[1::2]
    assert len(set(colors)) == count


def test_methods_may_have_different_numbers_of_points():
    lines = drawn({"a": CURVES, "b": OcclusionCurves(LIF[:, ::3], MIF[:, ::3])}).lines
    assert [len(line.get_xdata()) for line in lines] == [4, 4, 2, 2]


def test_an_example_without_a_normalized_curve_is_left_out():
    broken = LIF.clone()
    broken[1] = torch.nan
    least = drawn(OcclusionCurves(broken, MIF)).lines[0]
    np.testing.assert_allclose(least.get_ydata(), LIF[0], rtol=1e-6)


def test_the_figure_is_drawn_without_pyplot():
    figure = curves_figure({"a": CURVES, "b": CURVES}, ylabel="probability", title="both")
    (axes,) = figure.axes
    assert (axes.get_ylabel(), axes.get_title(loc="left")) == ("probability", "both")
    figure.canvas.draw()
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("curves", "error", "message"),
    [
        ({}, ValueError, "at least one method"),
        ([CURVES], TypeError, "curves must be OcclusionCurves"),
        ({"RISE": LIF}, TypeError, "curves of 'RISE'"),
        (OcclusionCurves(LIF, MIF[:, :3]), ValueError, r"must both be \[B, K\]"),
        (OcclusionCurves(LIF[0], MIF[0]), ValueError, r"must both be \[B, K\]"),
        (OcclusionCurves(LIF[:, :1], MIF[:, :1]), ValueError, "2 points"),
        ({"RISE": OcclusionCurves(LIF / 0, MIF)}, ValueError, "curves of 'RISE' must be finite"),
    ],
)
def test_what_are_no_curves_is_refused(curves, error, message):
    with pytest.raises(error, match=message):
        curves_figure(curves)
