import sys

import pytest
import torch

from captum_ext.baselines import blur
from captum_ext.perturbation import (
    ColorHistogram,
    Inpaint,
    RandomColor,
    ReplaceImage,
    SolidColor,
    Transformed,
)


@pytest.fixture
def image():
    return torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def masks_of(n, seed=1):
    return torch.rand(n, 6, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def others():
    return torch.rand(4, 3, 6, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


ALL = [
    SolidColor("mean"),
    SolidColor("median"),
    SolidColor([0.1, 0.2, 0.3]),
    ReplaceImage(others()),
    ReplaceImage(others(), random=True),
    Transformed(blur, sigma=2.0),
    ColorHistogram(3),
    RandomColor(),
    RandomColor(uniform=True, each=True),
    Inpaint("biharmonic"),
]


@pytest.mark.parametrize("perturber", ALL, ids=repr)
def test_what_is_kept_stays_and_nothing_is_touched(perturber, image):
    original, masks = image.clone(), torch.ones(4, 6, 8, dtype=torch.float64)
    result = perturber(image, masks, generator=0)
    assert result.shape == (4 * perturber.versions, 3, 6, 8) and result.dtype == image.dtype
    torch.testing.assert_close(result, image.expand_as(result))
    assert torch.equal(image, original)


@pytest.mark.parametrize("perturber", ALL, ids=repr)
def test_a_row_is_the_same_whichever_rows_are_asked_for_with_it(perturber, image):
    masks = masks_of(4).round()
    whole = perturber(image, masks, generator=5)
    fill = perturber.start(image, 4, generator=5)
    rows = torch.arange(len(whole))
    repeated = masks.repeat_interleave(perturber.versions, 0)
    for chunk in rows.split(3):
        torch.testing.assert_close(fill(chunk, repeated[chunk]), whole[chunk])


def test_solid_colors(image):
    masks = masks_of(2)
    for color, expected in (
        ("mean", image.mean((1, 2))),
        ("median", image.flatten(1).quantile(0.5, dim=1)),
        ([0.1, 0.2, 0.3], torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)),
        (0.5, torch.full((3,), 0.5, dtype=torch.float64)),
    ):
        fill = expected[:, None, None]
        blended = masks[:, None] * image + (1 - masks[:, None]) * fill
        torch.testing.assert_close(SolidColor(color)(image, masks), blended)


def test_every_image_in_turn_or_one_each(image):
    masks, images = torch.zeros(4, 6, 8), others()
    torch.testing.assert_close(ReplaceImage(images)(image, masks[:2]), images.repeat(2, 1, 1, 1))
    torch.testing.assert_close(ReplaceImage(images, one_each=True)(image, masks), images)
    drawn = ReplaceImage(images, random=True)(image, torch.zeros(200, 6, 8), generator=0)
    which = (drawn[:, None] == images).flatten(2).all(2)
    assert (which.sum(1) == 1).all() and (which.sum(0) > 30).all()


def test_a_histogram_of_colors_has_the_bins_it_is_told_to_have():
    image = torch.linspace(0.001, 0.999, 1000, dtype=torch.float64).reshape(1, 10, 100)
    for n_bins in (2, 5):
        filled = ColorHistogram(n_bins)(image, torch.zeros(3000, 10, 100), generator=0)
        colors = filled[:, 0, 0, 0].unique()
        expected = (torch.arange(n_bins, dtype=torch.float64) + 0.5) / n_bins
        torch.testing.assert_close(colors, expected, atol=0.01, rtol=0)


def test_a_histogram_draws_each_bin_as_often_as_its_pixels():
    image = torch.tensor([0.1, 0.1, 0.12, 0.9]).reshape(1, 1, 4)
    filled = ColorHistogram(4)(image, torch.zeros(4000, 1, 4), generator=0)[:, 0, 0, 0]
    assert filled.unique().tolist() == pytest.approx([0.1, 0.9])
    assert (filled < 0.5).double().mean().item() == pytest.approx(0.75, abs=0.03)


def test_random_colors_are_of_the_image_or_of_all_colors(image):
    none = torch.zeros(500, 6, 8)
    one = RandomColor()(image, none, generator=1)
    assert len(one.flatten(1).unique(dim=0)) == 1
    pixels = {tuple(pixel) for pixel in image.flatten(1).T.tolist()}
    each = RandomColor(each=True)(image, none, generator=1)[..., 0, 0]
    assert {tuple(color) for color in each.tolist()} <= pixels
    drawn = RandomColor(uniform=True, each=True)(image, none, generator=1)[..., 0, 0]
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.05) and drawn.min() < 0.02


@pytest.mark.parametrize("method", ["telea", "navier-stokes", "biharmonic"])
def test_inpainting_continues_what_surrounds_the_hole(method):
    if method != "biharmonic":
        pytest.importorskip("cv2")
    ramp = torch.linspace(0.2, 0.6, 16, dtype=torch.float64).expand(3, 16, 16)
    mask = torch.ones(1, 16, 16)
    mask[0, 6:10, 6:10] = 0
    result = Inpaint(method)(ramp, mask)
    assert result.dtype == torch.float64
    assert (result[0] - ramp).abs().max() < 0.03
    assert torch.equal(result[0][:, mask[0] == 1], ramp[:, mask[0] == 1])
    # The image's range is not that of colors.
    shifted = Inpaint(method)(8 * ramp - 5, mask)
    torch.testing.assert_close(shifted, 8 * result - 5, atol=1e-6, rtol=0)
    flat = torch.full((3, 16, 16), 0.123456, dtype=torch.float64)
    torch.testing.assert_close(Inpaint(method)(flat, mask)[0], flat, atol=1e-6, rtol=0)


def test_inpainting_without_anything_to_go_by_takes_the_mean(image):
    result = Inpaint("biharmonic")(image, torch.zeros(1, 6, 8))
    torch.testing.assert_close(result[0], image.mean((1, 2))[:, None, None].expand_as(image))


def test_inpainting_without_opencv_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"pip install 'captum_ext\[inpaint\]'"):
        Inpaint("telea")


def test_perturbers_refuse_what_they_cannot_do(image):
    masks = masks_of(2)
    with pytest.raises(ValueError, match=r"3 channels; got \[0\.1, 0\.2\]"):
        SolidColor([0.1, 0.2])(image, masks)
    with pytest.raises(ValueError, match="unknown color 'red'"):
        SolidColor("red")
    with pytest.raises(ValueError, match="color must be finite"):
        SolidColor(float("nan"))
    with pytest.raises(ValueError, match=r"image's shape \(3, 6, 8\); got \(3, 6, 7\)"):
        ReplaceImage(others()[..., :7])(image, masks)
    with pytest.raises(ValueError, match="one image for each of the 2 samples; got 4"):
        ReplaceImage(others(), one_each=True)(image, masks)
    with pytest.raises(ValueError, match="exclude each other"):
        ReplaceImage(others(), one_each=True, random=True)
    with pytest.raises(ValueError, match=r"function must return a tensor of shape \(1, 3, 6, 8\)"):
        Transformed(lambda x: x[..., 1:])(image, masks)
    with pytest.raises(ValueError, match="n_bins must be at least 1; got 0"):
        ColorHistogram(0)
    with pytest.raises(ValueError, match="unknown method 'tele'; did you mean 'telea'"):
        Inpaint("tele")
    with pytest.raises(ValueError, match=r"masks \[N, H, W\]; got shapes"):
        SolidColor()(image, masks[:, :5])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_what_is_kept_is_exactly_the_image_in_any_precision(dtype):
    dark = (torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0)) / 1000).to(dtype)
    assert torch.equal(SolidColor(1.0)(dark, torch.ones(1, 6, 8))[0], dark)
