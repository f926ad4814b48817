"""Every method keeps to a number of passes, and does not waste it."""

import pytest
import torch
from torch import nn

from captum_ext import MethodSpec, Need, explain, get_method, methods
from captum_ext.budgets import Fixed
from captum_ext.forward import count_passes
from captum_ext.perturbation import Empirical

BUDGETS = (60, 200)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    ).eval()


@pytest.fixture(scope="module")
def image():
    """Smooth, so that segmentations find segments."""
    colors = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(colors, (48, 48), mode="bilinear")


def passes_of(model, image, spec, **arguments):
    with count_passes(model) as passes:
        explain(model, image, 0, spec, arguments=arguments)
    return passes.total


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("passes", BUDGETS)
@pytest.mark.parametrize("spec", methods(), ids=lambda spec: spec.name)
def test_a_method_takes_what_it_is_allowed(spec, passes, model, image):
    if Need.PROBABILITIES in spec.needs:
        model = nn.Sequential(model, nn.Softmax(dim=1))
    taken = passes_of(model, image, spec, **spec.within(passes, image))
    assert 0 < taken <= passes
    if not isinstance(spec.budget, Fixed):
        assert taken >= passes / 2


def test_the_least_cost_is_told(image):
    for name, least in (
        ("saliency", 2),
        ("shapley_value_sampling", 50),
        ("deep_lift_shap", 32),
        ("ig2", 32),
        ("meaningful_perturbation", 12),
        ("genetic_ipha", 7),
    ):
        spec = get_method(name)
        with pytest.raises(ValueError, match=f"passes must be at least {least} for {name}"):
            spec.within(least - 1, image)
        spec.within(least, image)
    with pytest.raises(ValueError, match=r"at least [345] for ciu"):
        get_method("ciu").within(2, image)


def test_pixel_by_pixel_costs_a_pass_for_each(image):
    for name, least in (("occlusion", 2305), ("feature_ablation", 2305), ("ciu", 2305)):
        with pytest.raises(ValueError, match=f"at least {least}"):
            get_method(name).within(2304, image, "pixel")
        assert not get_method(name).within(least, image, "pixel")


def test_what_is_given_stays_and_counts(model, image):
    spec = get_method("ig2")
    references = {"baselines": torch.rand(2, 3, 48, 48)}
    arguments = spec.within(100, image, given=references)
    assert arguments == {"n_steps": 16}
    assert passes_of(model, image, spec, **references, **arguments) == 98
    spec = get_method("integrated_gradients")
    assert spec.within(100, image, given={"n_steps": 50}) == {}
    with pytest.raises(ValueError, match="at least 102 for integrated_gradients with its n_steps"):
        spec.within(101, image, given={"n_steps": 51})
    pda = get_method("pda")
    given = {
        "marginal": Empirical(torch.rand(4, 3, 48, 48)),
        "sliding_window_shapes": 8,
        "strides": 8,
    }
    assert pda.within(80, image, given=given) == {"n_samples": 2}


def test_windows_are_no_more_than_passes_on_images_of_any_shape():
    for height, width, passes in ((32, 32, 3000), (224, 200, 1500), (32, 90, 20), (32, 32, 3)):
        for name in ("occlusion", "pda"):
            settings = get_method(name).within(passes, torch.zeros(1, 3, height, width))
            window, strides = settings["sliding_window_shapes"], settings["strides"]
            assert all(0 < step <= side for side, step in zip(window, strides, strict=True))
            lengths = zip((height, width), window[1:], strides[1:], strict=True)
            rows, columns = (-(-(side - length) // step) + 1 for side, length, step in lengths)
            assert rows * columns * settings.get("n_samples", 1) < passes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["occlusion", "pda", "ciu", "feature_ablation", "genetic_ipha"])
def test_several_inputs_share_the_passes(name):
    class Both(nn.Conv2d):
        def forward(self, first, second):
            each = (super(Both, self).forward(images).mean((1, 2, 3)) for images in (first, second))
            return torch.stack(list(each), 1).softmax(1)

    inputs = tuple(torch.rand(2, 3, 40, side) for side in (40, 50))
    spec = get_method(name)
    taken = passes_of(Both(3, 1, 8), inputs, spec, **spec.within(100, inputs))
    assert 100 <= taken <= 200


def test_a_method_of_unknown_cost_is_refused(image):
    spec = MethodSpec("mine", "Mine", "gradient", "-", get_method("saliency").attribution)
    with pytest.raises(ValueError, match="mine: its spec declares no budget"):
        spec.within(100, image)
