import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models, transforms
from torchvision.transforms import InterpolationMode

from captum_ext.image_files import read_image
from captum_ext.models import Framing

MODES = {
    "nearest": InterpolationMode.NEAREST_EXACT,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
}
#: Height and width: portrait, landscape, square, odd, smaller than what is cut, a line.
PICTURES = [(60, 40), (40, 60), (50, 50), (37, 53), (9, 21), (5, 5), (1, 30)]


def picture_of(size, seed=0):
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("resize", [32, 24, 23, 35, (30, 40), (20, 50)])
@pytest.mark.parametrize("interpolation", list(MODES))
def test_it_is_torchvisions_resize_and_crop(picture, resize, interpolation):
    image = picture_of(picture)
    own = transforms.Compose(
        [
            transforms.Resize(resize, MODES[interpolation], antialias=True),
            transforms.CenterCrop((28, 24)),
        ]
    )
    seen = Framing((28, 24), resize, interpolation)(image)
    assert seen.shape == (3, 28, 24)
    torch.testing.assert_close(seen, own(image).clamp(0, 1))


@pytest.mark.parametrize(
    "weights",
    [models.ConvNeXt_Tiny_Weights.DEFAULT, models.Inception_V3_Weights.DEFAULT],
)
def test_it_is_the_preset_of_torchvisions_weights_before_the_normalization(weights):
    preset = weights.transforms()
    preset.mean, preset.std = [0.0] * 3, [1.0] * 3
    image = read_image("coffee")
    view = Framing(
        tuple(preset.crop_size * 2), preset.resize_size[0], interpolation=preset.interpolation.value
    )
    torch.testing.assert_close(view(image), preset(image))


def test_lanczos_is_taken_as_bicubic():
    image = picture_of((40, 60))
    lanczos, bicubic = (Framing((20, 20), 24, mode)(image) for mode in ("lanczos", "bicubic"))
    torch.testing.assert_close(lanczos, bicubic)


def test_what_is_seen_stays_in_range_where_bicubic_overshoots():
    edge = torch.zeros(3, 20, 20)
    edge[:, :, 10:] = 1
    seen = Framing((40, 40), 40, "bicubic")(edge)
    assert seen.min() == 0
    assert seen.max() == 1


def test_a_picture_of_the_models_size_is_seen_as_it_is():
    image = picture_of((24, 24))
    assert torch.equal(Framing((24, 24), 24)(image), image)


@pytest.mark.parametrize(
    ("picture", "resize", "seen"),
    [
        ((512, 1024), 256, (32, 480, 288, 736)),  # twice as large as resized: 224 are 448
        ((1024, 512), 256, (288, 736, 32, 480)),
        ((256, 256), 256, (16, 240, 16, 240)),
        ((100, 150), 100, (0, 100, 0, 150)),  # the view is larger: 224 of 100 x 150
        ((512, 1024), (256, 256), (32, 480, 64, 960)),
    ],
)
def test_the_part_that_is_seen_of(picture, resize, seen):
    assert Framing((224, 224), resize).seen(picture) == seen


@pytest.mark.parametrize("picture", [(300, 400), (400, 300), (7, 9)])
def test_squashed_all_is_seen(picture):
    view = Framing.squashed((32, 48))
    assert view.seen(picture) == (0, picture[0], 0, picture[1])
    values = torch.ones(32, 48)
    torch.testing.assert_close(view.back(values, picture), torch.ones(picture))


@pytest.mark.parametrize("picture", [(120, 200), (200, 120), (80, 80), (20, 33), (64, 64)])
@pytest.mark.parametrize("resize", [40, 32, 24, (40, 50)])
def test_a_constant_map_comes_back_constant_where_it_was_seen_and_zero_elsewhere(picture, resize):
    view = Framing((32, 32), resize)
    back = view.back(torch.full((1, 32, 32), -2.5), picture)
    top, bottom, left, right = view.seen(picture)
    expected = torch.zeros(1, *picture)
    expected[:, top:bottom, left:right] = -2.5
    torch.testing.assert_close(back, expected)


@pytest.mark.parametrize("picture", [(128, 200), (200, 128)])
def test_a_marked_block_comes_back_where_it_was(picture):
    view = Framing((32, 32), 40)
    top, bottom, left, right = view.seen(picture)
    block = (slice(top + 20, top + 40), slice(right - 45, right - 15))
    marked = torch.zeros(3, *picture)
    marked[:, block[0], block[1]] = 1
    back = view.back(view(marked), picture)
    assert back.shape == marked.shape
    # Its edge is blurred by about one of the view's pixels, which are 128 / 40 = 3.2 wide.
    assert back[:, top + 24 : top + 36, right - 41 : right - 19].min() > 0.9
    away = back.clone()
    away[:, top + 14 : top + 46, right - 51 : right - 9] = 0
    assert away.abs().max() < 0.01
    outside = torch.ones(picture, dtype=torch.bool)
    outside[top:bottom, left:right] = False
    assert outside.any()
    assert not back[:, outside].any()


def test_the_way_back_of_what_a_small_picture_is_padded_with_is_left_out():
    view = Framing((32, 32), 16)
    padding = torch.ones(1, 32, 32)
    padding[:, 8:24, :] = 0  # 16 x 32 of the picture, in the middle
    assert not view.back(padding, (50, 100)).any()


def test_there_and_back_a_smooth_picture_stays():
    rows, columns = torch.meshgrid(torch.arange(90.0), torch.arange(120.0), indexing="ij")
    image = torch.stack([rows / 90, columns / 120, (rows + columns) / 210])
    view = Framing((60, 60), 60)
    top, bottom, left, right = view.seen((90, 120))
    part = (slice(None), slice(top + 2, bottom - 2), slice(left + 2, right - 2))
    torch.testing.assert_close(
        view.back(view(image), (90, 120))[part], image[part], atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("shape", [(32, 32), (1, 32, 32), (2, 3, 32, 32)])
def test_what_comes_back_keeps_its_leading_dimensions_and_dtype(shape):
    back = Framing((32, 32), 40).back(torch.rand(shape).double(), (50, 70))
    assert back.shape == (*shape[:-2], 50, 70)
    assert back.dtype == torch.float64


def test_it_agrees_with_pillow_about_a_photograph():
    image = read_image("chelsea")
    pixels = Image.fromarray((image * 255).byte().movedim(0, -1).numpy())
    small = pixels.resize((384, 256), Image.Resampling.BILINEAR).crop((80, 16, 304, 240))
    seen = Framing((224, 224), 256)(image).movedim(0, -1).numpy() * 255
    # To the last digit of eight bits.
    assert np.abs(seen - np.asarray(small, dtype=float)).max() <= 1.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (0, 4), "resize": 4}, "size must be at least 1; got 0"),
        ({"size": (4, 4), "resize": 0}, "resize must be at least 1; got 0"),
        ({"size": (4, 4), "resize": 4, "interpolation": "bilinea"}, "did you mean 'bilinear'"),
    ],
)
def test_what_is_no_view_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Framing(**settings)
