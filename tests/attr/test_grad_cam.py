import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from captum_ext.attr import InputGradCam


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def test_it_is_captums_map_interpolated_and_repeated_over_channels(model):
    x = torch.rand(2, 3, 9, 9)
    result = InputGradCam(model, model[0]).attribute(x, target=1)
    heat = LayerGradCam(model, model[0]).attribute(x, target=1)
    expected = nn.functional.interpolate(heat, size=(9, 9), mode="bilinear")
    torch.testing.assert_close(result, expected.expand(2, 3, 9, 9))


def test_a_layer_without_pixels_is_an_error():
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 4))
    with pytest.raises(ValueError, match="layer must be a convolution"):
        InputGradCam(model, model[1]).attribute(torch.rand(1, 3, 3, 3), target=0)
