"""Information curves: known where one pixel decides, and the same numbers as PAIR's."""

import numpy as np
import pytest
import torch
from saliency.metrics import pic
from torch import nn

from captum_ext.metrics import information
from captum_ext.metrics.information import accuracy_information_curve, softmax_information_curve
from captum_ext.randomness import global_seed

SIZE, ROW, COLUMN = 16, 5, 9


class OnePixel(nn.Module):
    """Class 1 where a pixel's first channel is bright."""

    def forward(self, x, sign=None):
        evidence = 20 * (x[:, 0, ROW, COLUMN] - 0.9)
        evidence = evidence if sign is None else evidence * sign
        return torch.stack([torch.zeros_like(evidence), evidence], dim=1)


@pytest.fixture
def images():
    x = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    x[:, :, ROW, COLUMN] = 1
    return x


@pytest.fixture
def ranking():
    """A map that ranks the deciding pixel first, and all others differently."""
    values = torch.rand(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    values[:, :, ROW, COLUMN] = 2
    return values


def test_accuracy_returns_with_the_first_pixels_if_these_decide(images, ranking):
    areas, curves, levels = accuracy_information_curve(
        OnePixel(), images, ranking, return_curves=True
    )
    assert curves.shape == (2, len(levels))
    first = [levels[curve == 1][0] for curve in curves]
    expected = torch.stack([1 - each / 2 for each in first])
    torch.testing.assert_close(areas, expected, atol=2e-3, rtol=0)
    assert (areas > 0.9).all()


def test_pixels_that_decide_last_give_no_area_before_the_end(images, ranking):
    areas = softmax_information_curve(OnePixel(), images, -ranking)
    assert (areas < softmax_information_curve(OnePixel(), images, ranking) - 0.4).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_map_without_contrast_gives_the_image_back_at_once_and_half_the_area(images, channels):
    x = images[:, :channels]
    with pytest.warns(UserWarning, match="the same everywhere"):
        areas, curves, levels = softmax_information_curve(
            OnePixel(), x, torch.zeros_like(x), target=1, return_curves=True
        )
    torch.testing.assert_close(areas, torch.full((2,), 0.5))
    torch.testing.assert_close(curves, levels.expand(2, -1))


def test_it_is_pairs_metric(images, ranking, monkeypatch):
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    with global_seed(3):
        mask = pic.generate_random_mask(SIZE, SIZE, 0.05)

    def predict(batch):
        with torch.no_grad():
            x = torch.from_numpy(batch).movedim(-1, 1) / 255
            return OnePixel()(x).softmax(1)[:, 1].numpy()

    levels = (images[0].movedim(0, -1) * 255).round().to(torch.uint8).numpy()
    expected = pic.compute_pic_metric(levels, ranking[0, 0].numpy(), mask, predict, [0.1, 0.5])
    result = softmax_information_curve(
        OnePixel(),
        images,
        ranking,
        1,
        saliency_thresholds=[0.1, 0.5],
        mask_fraction=0.05,
        generator=3,
    )
    assert result[0].item() == pytest.approx(expected.auc, abs=1e-6)


def test_probabilities_are_taken_as_they_are(images, ranking):
    model = nn.Sequential(OnePixel(), nn.Softmax(1))
    torch.testing.assert_close(
        softmax_information_curve(model, images, ranking, output="probabilities"),
        softmax_information_curve(OnePixel(), images, ranking),
    )


def test_what_cannot_be_measured_is_nan_and_says_why(images, ranking):
    images[0, :, ROW, COLUMN] = 0
    with pytest.warns(UserWarning, match=r"example 0: .*lower than\s+`min_pred_value`"):
        areas, curves, _ = accuracy_information_curve(
            OnePixel(), images, ranking, target=1, return_curves=True
        )
    assert areas.isnan().tolist() == [True, False]
    assert curves.isnan().all(1).tolist() == [True, False]
    with pytest.warns(UserWarning, match=r"blurred image is not\s+lower than the score"):
        assert accuracy_information_curve(OnePixel(), images[:1], ranking[:1], 0).isnan().all()


def test_an_example_does_not_depend_on_its_batch_mates(images, ranking):
    flips = torch.tensor([1.0, -1.0])
    both = softmax_information_curve(OnePixel(), images, ranking, [1, 0], flips, min_pred_value=0)
    alone = softmax_information_curve(
        OnePixel(), images[1:], ranking[1:], [0], flips[1:], min_pred_value=0
    )
    assert both[1] == alone[0]


def test_random_pixels_come_from_the_generator_only(images, ranking):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    areas = [
        softmax_information_curve(OnePixel(), images, ranking, generator=seed, mask_fraction=0.1)
        for seed in (1, 1, 2)
    ]
    assert not torch.cat(areas).isnan().any()
    assert torch.equal(areas[0], areas[1])
    assert not torch.equal(areas[0], areas[2])
    assert np.array_equal(before, np.random.get_state()[1])


def test_the_librarys_module_stays_as_it_is(images, ranking):
    before = dict(vars(pic)), hasattr(np, "trapz")
    softmax_information_curve(OnePixel(), images, ranking)
    assert (dict(vars(pic)), hasattr(np, "trapz")) == before


def test_a_repaired_release_runs_as_it_is():
    def repaired():
        return np.trapezoid([0, 1], [0, 1])

    assert information._on_any_numpy(repaired) is repaired


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.full((2, 3, SIZE, SIZE), 1.5)}, "inputs must be RGB"),
        ({"inputs": torch.rand(2, 2, SIZE, SIZE)}, "inputs must .* one or three channels"),
        ({"saliency_thresholds": [0.5, 0.1]}, "saliency_thresholds must .* ascending"),
        ({"saliency_thresholds": []}, "saliency_thresholds must"),
        ({"saliency_thresholds": [2]}, "each of saliency_thresholds must"),
        ({"mask_fraction": 2}, "mask_fraction must"),
        ({"output": "logit"}, "unknown output"),
        ({"min_pred_value": -1}, "min_pred_value must"),
        ({"generator": "seed"}, "generator must"),
        ({"target": [0]}, "target must"),
    ],
)
def test_arguments_are_checked_before_the_model_runs(images, ranking, change, message):
    def model(x):
        raise RuntimeError("the model has run")

    with pytest.raises((TypeError, ValueError), match=message):
        softmax_information_curve(
            **{"forward_func": model, "inputs": images, "attributions": ranking} | change
        )


def test_a_model_without_classes_is_refused(images, ranking):
    with pytest.raises(ValueError, match=r"must return \[B, classes\]"):
        softmax_information_curve(lambda x: x[:, 0, 0, 0], images, ranking)
    with pytest.raises(ValueError, match="target 7 does not fit"):
        softmax_information_curve(OnePixel(), images, ranking, target=7)
