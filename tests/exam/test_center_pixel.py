from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captum_ext.exam import CenterPixelModel, exam_images, gray_levels, set_center

GOLDEN = Path(__file__).parents[1] / "golden" / "center_pda_9.npz"


def with_every_center(image):
    return torch.cat([set_center(image, level) for level in range(256)])


def backgrounds(size):
    return {
        "random": gray_levels("random", size, seed=3),
        "black": torch.zeros(1, 1, size, size, dtype=torch.float64),
        "white": torch.ones(1, 1, size, size, dtype=torch.float64),
        "photograph": gray_levels("coffee", size),
    }


def test_parameters_and_probabilities_are_the_published_ones():
    golden = np.load(GOLDEN)
    settings = {name: int(golden[name]) for name in ("size", "alpha", "seed")}
    model = CenterPixelModel(n_classes=int(golden["classes"]), **settings)
    np.testing.assert_allclose(model.linear.weight.T, golden["weight"], rtol=1e-14)
    np.testing.assert_allclose(model.linear.bias, golden["bias"], rtol=1e-14)
    image = torch.from_numpy(golden["image"] / 255)[None, None]
    np.testing.assert_allclose(model(image), golden["probabilities"], rtol=1e-6)
    assert model(image).argmax().item() == golden["target"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [8, 31, 227])
def test_every_intensity_is_recognized_on_every_kind_of_image(size, dtype):
    model = CenterPixelModel(size).to(dtype)
    for kind, image in backgrounds(size).items():
        predicted = torch.cat(
            [model(part.to(dtype)).argmax(1) for part in with_every_center(image).split(64)]
        )
        assert torch.equal(predicted, torch.arange(256)), kind


def test_the_probability_is_four_nines_and_depends_on_nothing_but_the_center():
    model = CenterPixelModel(31)
    probabilities = [model(set_center(image, 77))[0, 77] for image in backgrounds(31).values()]
    torch.testing.assert_close(
        torch.stack(probabilities),
        torch.full((4,), 0.99990920838, dtype=torch.float64),
        rtol=1e-9,
        atol=0,
    )


def test_the_logit_depends_on_every_pixel():
    model = CenterPixelModel(9, output="logit")
    x = gray_levels("random", 9).requires_grad_()
    model(x)[0, 5].backward()
    assert (x.grad != 0).all()


@pytest.mark.parametrize("seed", [1, 5])
def test_the_relu_cuts_nothing_of_a_large_white_image(seed):
    white = set_center(torch.ones(1, 1, 700, 700, dtype=torch.float64), 200)
    model = CenterPixelModel(700, n_classes=256, seed=seed)
    assert model(white).argmax().item() == 200


@pytest.mark.parametrize("size", [3, 4, 9, 10])
def test_the_center_is_half_the_size_for_odd_and_even_sizes(size):
    truth = CenterPixelModel(size, n_classes=4).ground_truth()
    assert truth.sum() == 1
    assert truth[0, 0, size // 2, size // 2]


@pytest.mark.parametrize("n_classes", [2, 16, 100, 300])
def test_any_number_of_levels_works(n_classes):
    model = CenterPixelModel(5, n_classes)
    images = gray_levels("random", 5, n_classes)
    levels = torch.arange(n_classes)
    centers = torch.cat([set_center(images, int(level), n_classes) for level in levels])
    assert torch.equal(model(centers).argmax(1), levels)


def test_another_output_shares_the_parameters():
    model = CenterPixelModel(5, n_classes=8)
    x = gray_levels("random", 5, 8)
    logit, log = (model.with_output(name) for name in ("logit", "log_probability"))
    torch.testing.assert_close(logit(x).softmax(1), model(x))
    torch.testing.assert_close(log(x).exp(), model(x))
    assert logit.linear is model.linear


def test_alpha_sharpens_the_probability():
    x = set_center(gray_levels("random", 5), 100)
    soft, sharp = (CenterPixelModel(5, alpha=alpha)(x)[0, 100] for alpha in (1, 10))
    assert soft < 0.6
    assert sharp > 0.999


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 2}, "size must be at least 3; got 2"),
        ({"n_classes": 1}, "n_classes must be at least 2"),
        ({"alpha": 0}, "alpha must be from 1e-06 to 1e"),
        ({"alpha": float("inf")}, "alpha must be from"),
        ({"output": "logits"}, "unknown output 'logits'; did you mean 'logit'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        CenterPixelModel(**settings)


def test_inputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"inputs must be \[B, 1, 5, 5\]; got \(1, 3, 5, 5\)"):
        CenterPixelModel(5, 4)(torch.zeros(1, 3, 5, 5))


def test_exam_images_are_gray_levels_and_follow_the_seed():
    images = exam_images("chelsea", 6, size=11, seed=1)
    levels = images * 255
    torch.testing.assert_close(levels, levels.round())
    assert torch.equal(images, exam_images("chelsea", 6, size=11, seed=1))
    assert not torch.equal(images, exam_images("chelsea", 6, size=11, seed=2))
    assert len({image.sum().item() for image in images}) == 6


def test_only_the_first_image_gets_the_center_value():
    images = exam_images("random", 3, size=5, center_value=9)
    assert images[0, 0, 2, 2] == 9 / 255


@pytest.mark.parametrize("level", [-1, 256])
def test_a_center_value_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="center_value must be"):
        set_center(torch.zeros(1, 1, 3, 3), level)


def test_images_are_read_from_files_of_many_kinds(tmp_path):
    gray = np.tile(np.linspace(0, 255, 12, dtype=np.uint8), (12, 1))
    expected = gray_levels(_saved(Image.fromarray(gray), tmp_path / "gray.png"), 12)
    for name, picture in {
        "rgb.png": Image.fromarray(np.stack([gray] * 3, axis=-1)),
        "deep.png": Image.fromarray(gray.astype(np.uint16) * 257),
        "palette.png": Image.fromarray(gray).convert("P"),
        "alpha.png": Image.fromarray(gray).convert("RGBA"),
    }.items():
        image = gray_levels(_saved(picture, tmp_path / name), 12)
        assert (image - expected).abs().max() <= 1 / 255, name


def _saved(picture, path):
    picture.save(path)
    return path


def test_a_file_that_is_no_image_is_refused(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not an image")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        gray_levels(path, 5)
    with pytest.raises(ValueError, match="does not exist"):
        gray_levels(tmp_path / "missing.png", 5)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_an_image_without_a_fixed_range_is_refused(tmp_path, mode):
    path = _saved(Image.new(mode, (9, 9), 1), tmp_path / "image.tiff")
    with pytest.raises(ValueError, match="no fixed range"):
        gray_levels(path, 9)
