import pytest
import torch
from captum.attr import ShapleyValues

from captum_ext.exam import (
    OUTPUTS,
    AdditiveModel,
    AndOrModel,
    CenterPixelModel,
    SaturationModel,
    exact_shapley,
    exam_images,
    make_model,
)
from captum_ext.registry import exam_models

MODELS = [spec.name for spec in exam_models()]

SEVERAL = [name for name in MODELS if name != "center_pixel"]


def values_of(model, image, target=1, baseline=0.0):
    """Those of the relevant pixels."""
    return model.shapley_values(image, target, baseline).flatten()[list(model.relevant)]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", MODELS)
def test_values_sum_to_what_the_output_has_more_than_at_the_baseline(name, output):
    model, image = make_model(name, size=7, output=output), exam_images("coffee", 1, size=7)
    target = int(model(image).argmax())
    for baseline in (0.0, 0.3, torch.full_like(image, 0.8)):
        base = torch.zeros_like(image) + baseline
        difference = (model(image) - model(base))[0, target]
        total = model.shapley_values(image, target, baseline).sum()
        # Of the center-pixel model's logits, of size 3e7, the softmax keeps 1e-8.
        torch.testing.assert_close(total, difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("name", SEVERAL)
def test_pixels_that_are_not_relevant_change_nothing_and_have_no_value(name, output):
    model, image = make_model(name, size=7, output=output), exam_images("coffee", 1, size=7)
    truth = model.ground_truth()
    assert torch.equal(model(torch.where(truth, image, 1 - image)), model(image))
    assert not model.shapley_values(image, 1)[~truth].any()
    assert not torch.equal(model(torch.where(truth, 1 - image, image)), model(image))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("additive", {"n_relevant": 4}),
        ("and_or", {"n_and": 1, "n_or": 1}),
        ("saturation", {"n_relevant": 4}),
    ],
)
def test_agrees_with_captum_that_tries_all_orders(name, settings):
    model = make_model(name, size=3, output="probability", **settings)
    image, truth = torch.rand(1, 1, 3, 3), model.ground_truth()
    # All orders of nine pixels are too many: those that are not relevant are one player here.
    players = truth.flatten().cumsum(0).where(truth.flatten(), 0).reshape(1, 1, 3, 3)
    captums = ShapleyValues(model).attribute(image, target=1, feature_mask=players)
    ours = model.shapley_values(image, 1)
    torch.testing.assert_close(ours.float(), captums, rtol=1e-4, atol=1e-6)


def test_the_values_of_a_sum_are_its_terms_for_either_class():
    model, image = AdditiveModel(9, seed=3), torch.rand(1, 1, 9, 9).double()
    terms = model.weights * (image.flatten()[list(model.relevant)] - 0.2)
    torch.testing.assert_close(values_of(model, image, 1, 0.2), terms)
    torch.testing.assert_close(values_of(model, image, 0, 0.2), -terms)


def test_and_and_or_are_divided_as_two_players_would():
    model, image = AndOrModel(9), torch.rand(1, 1, 9, 9).double()
    x, values = image.flatten(), model.shapley_values(image, 1).flatten()
    for a, b in map(list, model.and_pairs):
        half = torch.minimum(x[a], x[b]) / 2
        torch.testing.assert_close(values[[a, b]], torch.stack([half, half]))
    for a, b in map(list, model.or_pairs):
        both = torch.minimum(x[a], x[b])
        torch.testing.assert_close(values[[a, b]], x[[a, b]] - both / 2)


def test_saturation_is_the_airport_game():
    model, image = SaturationModel(9, n_relevant=5), torch.rand(1, 1, 9, 9).double()
    pixels = image.flatten()[list(model.relevant)].sort()
    steps = pixels.values.diff(prepend=torch.zeros(1).double()) / torch.arange(5, 0, -1)
    torch.testing.assert_close(values_of(model, image)[pixels.indices], steps.cumsum(0))


def test_equal_pixels_of_a_saturated_maximum_have_equal_shares():
    model, image = SaturationModel(9, n_relevant=4), torch.full((1, 1, 9, 9), 0.6)
    torch.testing.assert_close(values_of(model, image), torch.full((4,), 0.15).double())
    image.view(-1)[list(model.relevant[1:])] = 0
    torch.testing.assert_close(values_of(model, image), torch.tensor([0.6, 0, 0, 0]).double())


@pytest.mark.parametrize("output", ["probability", "log_probability"])
def test_only_the_center_has_a_value_for_the_probability_of_its_level(output):
    model, image = CenterPixelModel(9, output=output), exam_images("coffee", 1, size=9)
    values = model.shapley_values(image, int(model(image).argmax()))
    assert torch.equal(values != 0, model.ground_truth())


def test_the_logit_of_the_center_pixel_model_is_affine_in_every_pixel():
    model, image = CenterPixelModel(3, n_classes=8, output="logit"), torch.rand(1, 1, 3, 3)
    everyone = torch.ones(1, 1, 3, 3, dtype=torch.bool)
    by_enumeration = exact_shapley(model, image.double(), 5, 0.1, everyone)
    torch.testing.assert_close(model.shapley_values(image, 5, 0.1), by_enumeration)


def test_where_the_relu_could_cut_a_coalition_no_exact_value_is_claimed():
    image = exam_images("random", 1, size=100)
    with pytest.raises(ValueError, match="whose coalitions the ReLU does not cut"):
        CenterPixelModel(100).shapley_values(image, 7)
    assert CenterPixelModel(100, relu=False).shapley_values(image, 7).any()


@pytest.mark.parametrize(
    ("image", "players", "message"),
    [
        (torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool), "image must be one"),
        (torch.zeros(1, 3), torch.ones(1, 3), "players must be bool of the shape"),
        (torch.zeros(1, 3), torch.ones(1, 2, dtype=torch.bool), "players must be bool"),
        (torch.zeros(1, 17), torch.ones(1, 17, dtype=torch.bool), "at most 16, .* got 17"),
    ],
)
def test_bad_players_and_images_are_named(image, players, message):
    with pytest.raises(ValueError, match=message):
        exact_shapley(lambda x: x.sum(1), image, None, 0.0, players)


def test_no_player_has_no_value():
    players = torch.zeros(1, 3, dtype=torch.bool)
    assert not exact_shapley(lambda x: x.sum(1), torch.ones(1, 3), None, 0.0, players).any()


@pytest.mark.parametrize("name", MODELS)
def test_bad_images_and_targets_are_named(name):
    model = make_model(name, size=5)
    with pytest.raises(ValueError, match=r"image must be \[1, 1, 5, 5\]; got \(1, 1, 4, 5\)"):
        model.shapley_values(torch.zeros(1, 1, 4, 5), 0)
    with pytest.raises(ValueError, match="target must be from 0 to"):
        model.shapley_values(torch.zeros(1, 1, 5, 5), 300)
    with pytest.raises(ValueError, match="baselines must have the shape"):
        model.shapley_values(torch.zeros(1, 1, 5, 5), 0, torch.zeros(1, 1, 4, 5))
