import pytest
import torch

from captum_ext.exam import make_model, rounding_error, score
from captum_ext.metrics import shapley_agreement

IMAGES = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_each_example_has_the_cosine_of_its_own():
    maps = torch.stack([IMAGES[0], -3 * IMAGES[1], 0 * IMAGES[2]])
    found = shapley_agreement(None, IMAGES, maps, shapley_values=IMAGES)
    torch.testing.assert_close(found, torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64))
    with pytest.warns(UserWarning, match=r"result is not finite for examples \[0, 1, 2\]"):
        assert shapley_agreement(None, IMAGES, maps, shapley_values=0 * IMAGES).isnan().all()


def test_what_is_below_the_floor_counts_as_zero():
    exact = torch.tensor([[[[1.0, 0.0]]]])
    maps = torch.tensor([[[[1.0, 0.5]]]])
    with_floor = shapley_agreement(None, exact, maps, shapley_values=exact, floor=0.6)
    assert with_floor == 1 > shapley_agreement(None, exact, maps, shapley_values=exact)


def test_it_is_the_agreement_of_the_exams_score():
    model, image = make_model("additive", size=4), IMAGES[:1]
    exact, floor = model.shapley_values(image, 1), rounding_error(model, image, 1)
    maps = torch.rand(1, 1, 4, 4)
    graded = score(maps, model.ground_truth(), floor, exact).agreement
    found = shapley_agreement(None, image, maps, shapley_values=exact, floor=floor)
    assert float(found) == graded


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="shapley_values must have the shape of inputs"):
        shapley_agreement(None, IMAGES, IMAGES, shapley_values=IMAGES[:1])
    with pytest.raises(ValueError, match="floor must be"):
        shapley_agreement(None, IMAGES, IMAGES, shapley_values=IMAGES, floor=-1)
