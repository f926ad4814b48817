import pytest
import torch
from matplotlib import colormaps

from captum_ext.visualize import explanation_figure, intensity, overlay


def test_intensity_is_the_sum_of_magnitudes_from_0_to_1():
    attribution = torch.tensor([[[1.0, -2.0, 0.5]], [[1.0, 2.0, 0.5]]])
    torch.testing.assert_close(intensity(attribution), torch.tensor([[1 / 3, 1.0, 0.0]]))


def test_signed_intensity_keeps_zero_where_it_is():
    attribution = torch.tensor([[[4.0, -2.0, 0.0]], [[4.0, -2.0, 0.0]]])
    assert intensity(attribution, signed=True).tolist() == [[1.0, -0.5, 0.0]]


@pytest.mark.parametrize("signed", [False, True])
def test_a_map_without_differences_is_zero(signed):
    assert not intensity(torch.zeros(3, 2, 2), signed=signed).any()
    assert not intensity(torch.full((3, 2, 2), 7.0)).any()


def test_outliers_share_the_end_of_the_scale():
    attribution = torch.cat([torch.arange(99.0), torch.tensor([1000.0])])[None]
    assert intensity(attribution)[0, 98] < 0.1
    clipped = intensity(attribution, outlier_perc=1)
    assert clipped[0, 99] == 1 and clipped[0, 98] == pytest.approx(1, abs=0.1)


def test_one_pixel_is_seen_even_where_outliers_are_clipped():
    attribution = torch.zeros(10, 10)
    attribution[3, 4] = 2.0
    assert intensity(attribution, outlier_perc=5)[3, 4] == 1


def test_the_overlay_is_a_blend_of_the_picture_and_the_colors():
    image = torch.rand(3, 2, 2)
    attribution = torch.tensor([[0.0, 1.0], [2.0, 4.0]])
    colors = torch.tensor(colormaps["turbo"]((attribution / 4).numpy()))[..., :3].movedim(-1, 0)
    gray = image.mean(0).expand(3, -1, -1)
    for settings, under in (({}, gray), ({"gray": False}, image)):
        expected = 0.7 * under + 0.3 * colors.float()
        torch.testing.assert_close(overlay(image, attribution, alpha=0.3, **settings), expected)


def test_white_is_zero_in_a_signed_overlay():
    painted = overlay(
        torch.zeros(3, 1, 3), torch.tensor([[-1.0, 0.0, 1.0]]), signed=True, alpha=1.0
    )
    against, zero, supports = painted[:, 0].T
    assert against[2] > against[0] and supports[0] > supports[2]
    assert zero.min() > 0.95


def test_what_was_not_seen_is_gray():
    image = torch.rand(3, 4, 6)
    painted = overlay(image, torch.rand(4, 6), seen=(1, 3, 2, 5))
    outside = torch.ones(4, 6, dtype=torch.bool)
    outside[1:3, 2:5] = False
    gray = painted[:, outside]
    torch.testing.assert_close(gray, (0.5 + 0.5 * image.mean(0)[outside]).expand(3, -1))
    assert not torch.equal(painted[0, ~outside], painted[1, ~outside])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 2}, "alpha must be at least 0 and at most 1; got 2"),
        ({"cmap": "nope"}, "cmap must be a color map of matplotlib; got 'nope'"),
        ({"outlier_perc": -1}, "outlier_perc must be at least 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        overlay(torch.rand(3, 2, 2), torch.rand(2, 2), **settings)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"attribution must have the image's \(2, 2\) pixels"):
        overlay(torch.rand(3, 2, 2), torch.rand(3, 3))
    with pytest.raises(ValueError, match="attribution must be"):
        intensity(torch.rand(2, 2, 2, 2))
    with pytest.raises(ValueError, match="attribution must be finite"):
        intensity(torch.tensor([[float("nan")]]))


def test_the_figure_has_a_row_for_each_class_and_says_what_failed():
    picture = torch.rand(3, 20, 30)
    maps = [[picture, "it has no rule for GELU"], [picture, picture]]
    figure = explanation_figure(picture, maps, ["cat", "dog"], ["LIME", "LRP"], seen=(0, 20, 5, 25))
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 4
    assert len(pictures[0].patches) == 1
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any("no rule" in word for word in words)
    assert [text.get_text() for text in figure.texts] == ["cat", "dog"]


def test_a_figure_of_large_pictures_stays_small(tmp_path):
    picture = torch.rand(3, 2000, 3000)
    figure = explanation_figure(picture, [[picture]], ["cat"], ["LIME"])
    assert max(max(axes.images[0].get_size()) for axes in figure.axes if axes.images) <= 480


def test_maps_must_be_as_many_as_classes_and_methods():
    with pytest.raises(ValueError, match="maps must be 1 classes of 2 methods"):
        explanation_figure(torch.rand(3, 2, 2), [[torch.rand(3, 2, 2)]], ["a"], ["x", "y"])
