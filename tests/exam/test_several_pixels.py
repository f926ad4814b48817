import pytest
import torch

from captum_ext.exam import (
    AdditiveModel,
    AndOrModel,
    CenterPixelModel,
    KnownModel,
    exam_images,
    make_model,
)
from captum_ext.exam.several_pixels import spread_pixels
from captum_ext.registry import exam_models

MODELS = [spec.name for spec in exam_models()]


@pytest.mark.parametrize("name", MODELS)
def test_models_share_what_the_exam_asks_of_them(name):
    model = make_model(name, size=6, seed=2)
    assert isinstance(model, KnownModel) and not model.training
    assert all(p.dtype == torch.float64 and not p.requires_grad for p in model.parameters())
    assert model(torch.rand(3, 1, 6, 6)).shape == (3, model.n_classes)
    assert model.ground_truth().sum() == len(model.relevant)
    logit, log = (model.with_output(output) for output in ("logit", "log_probability"))
    x = torch.rand(1, 1, 6, 6)
    torch.testing.assert_close(logit(x).softmax(1), log(x).exp())
    assert logit.linear is model.linear and type(logit) is type(model)
    assert (model.output, logit.output) == (make_model(name).output, "logit")


@pytest.mark.parametrize("name", ["additive", "and_or", "saturation"])
def test_the_logits_are_the_score_and_its_negative(name):
    logits = make_model(name, size=6)(torch.rand(4, 1, 6, 6))
    assert logits[:, 1].all()
    torch.testing.assert_close(logits[:, 0], -logits[:, 1])


@pytest.mark.parametrize(("size", "n_pixels"), [(3, 1), (3, 9), (31, 8), (7, 16)])
def test_pixels_are_distinct_spread_and_follow_the_seed(size, n_pixels):
    pixels = spread_pixels(size, n_pixels, seed=1)
    assert len(set(pixels)) == n_pixels
    assert pixels == spread_pixels(size, n_pixels, seed=1)
    assert size == 3 or pixels != spread_pixels(size, n_pixels, seed=2)
    if n_pixels == 16:
        rows = sorted(pixel // size for pixel in pixels)
        assert rows[3] < rows[4] and rows[11] < rows[12]  # four in each quarter


def test_weights_have_both_signs_and_none_is_near_zero():
    for seed in range(5):
        weights = AdditiveModel(9, n_relevant=5, seed=seed).weights
        assert weights.min() < 0 < weights.max()
        assert weights.abs().min() >= 0.5
    assert not torch.equal(AdditiveModel(9, seed=0).weights, AdditiveModel(9, seed=1).weights)


def test_an_and_needs_both_pixels_and_an_or_one():
    model, image = AndOrModel(9, n_and=1, n_or=1), torch.zeros(1, 1, 9, 9)
    (a, b), (c, _) = model.and_pairs[0], model.or_pairs[0]
    scores = []
    for pixel in (a, b, c):
        image.view(-1)[pixel] = 1
        scores.append(model(image)[0, 1].item())
    assert scores == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("additive", {"n_relevant": 1}, "n_relevant must be at least 2; got 1"),
        ("additive", {"n_relevant": 17}, "at most 16 pixels can be relevant; got 17"),
        ("saturation", {"size": 3, "n_relevant": 10}, "at most 9 pixels can be relevant; got 10"),
        ("and_or", {"n_or": 0}, "n_or must be at least 1; got 0"),
        ("and_or", {"n_and": 7}, "at most 16 pixels can be relevant; got 18"),
        ("saturation", {"size": 2}, "size must be at least 3; got 2"),
        ("additive", {"output": "logits"}, "unknown output 'logits'; did you mean 'logit'"),
        ("aditive", {}, "unknown model 'aditive'; did you mean 'additive'"),
    ],
)
def test_bad_settings_are_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        make_model(name, **settings)


def test_a_setting_of_another_model_is_refused():
    with pytest.raises(TypeError, match="additive takes no alpha; it takes n_relevant"):
        make_model("additive", alpha=3)
    assert isinstance(make_model("center_pixel", size=5, alpha=3), CenterPixelModel)


def test_relevant_pixels_get_random_levels_in_all_images_but_the_first():
    truth = make_model("additive", size=9).ground_truth()
    plain, images = exam_images("coffee", 3, 9), exam_images("coffee", 3, 9, relevant=truth)
    assert torch.equal(images[0], plain[0])
    others = ~truth[0]
    others[0, 4, 4] = False
    for image, other in zip(images[1:], plain[1:], strict=True):
        assert torch.equal(image[others], other[others])
        assert (image[truth[0]] != other[truth[0]]).float().mean() > 0.5
    with pytest.raises(ValueError, match=r"relevant must be \(1, 1, 9, 9\), as an image"):
        exam_images("coffee", 3, 9, relevant=truth[..., :8])
