import pytest
import torch
from torch import nn

from captum_ext import load_model


class Colors(nn.Module):
    """Its logits are the means of red, green and blue over the image, times ten."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.colors = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.colors.weight.copy_(10 * torch.eye(3)[:, :, None, None])

    def forward(self, x):
        self.calls += len(x)
        return self.colors(x).mean((2, 3))


@pytest.fixture
def model():
    """A classifier of colors that sees 32 x 32 pixels."""
    mean, std = (0.0,) * 3, (1.0,) * 3
    names = ["red, rouge", "green", "blue"]
    return load_model(Colors(), mean=mean, std=std, size=32, class_names=names)


@pytest.fixture
def picture():
    """Gray, with a green square in the middle: ``[3, 64, 96]``."""
    image = torch.full((3, 64, 96), 0.25)
    image[1, 24:40, 40:56] = 1.0
    return image
