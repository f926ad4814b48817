import pytest
import torch
from torch import nn

from captum_ext.forward import Remembered, count_passes


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def asked(model, images):
    with torch.no_grad():
        return model(images)


def test_a_batch_is_asked_once_whatever_its_layout(model):
    remembered, images = Remembered(model), torch.rand(2, 3, 8, 8)
    with count_passes(model) as passes:
        first = asked(remembered, images)
        again = asked(remembered, images.contiguous(memory_format=torch.channels_last))
    assert passes.forward == 2
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + torch.finfo(x.dtype).eps,
        lambda x: x.flip(0),
        lambda x: x.flip(1),
        lambda x: x.transpose(2, 3),
        lambda x: x[:1],
        lambda x: x.reshape(2, 3, 4, 16),
    ],
)
def test_another_batch_is_another_question(model, change):
    remembered, images = Remembered(model), torch.rand(2, 3, 8, 8)
    asked(remembered, images)
    other = change(images)
    torch.testing.assert_close(asked(remembered, other), asked(model, other))
    with count_passes(model) as passes:
        asked(remembered, change(images))
    assert passes.forward == 0


def test_another_dtype_is_another_question(model):
    remembered, images = Remembered(nn.Identity()), torch.zeros(1, 3, 2, 2)
    assert asked(remembered, images).dtype == torch.float32
    assert asked(remembered, images.to(torch.bfloat16)).dtype == torch.bfloat16


def test_work_in_place_does_not_change_what_is_remembered(model):
    remembered, images = Remembered(model), torch.rand(2, 3, 8, 8)
    expected = asked(remembered, images).clone()
    asked(remembered, images).zero_()
    assert torch.equal(asked(remembered, images), expected)


def test_gradients_come_from_the_model(model):
    remembered, images = Remembered(model), torch.rand(2, 3, 8, 8, requires_grad=True)
    asked(remembered, images)
    remembered(images).sum().backward()
    assert images.grad.abs().sum() > 0


def test_batches_of_one_channel_in_any_layout_are_remembered():
    images = torch.rand(4, 1, 6, 6, dtype=torch.float64)
    remembered = Remembered(nn.Flatten())
    with torch.no_grad():
        for layout in (images, images.to(memory_format=torch.channels_last), images[:, :, :, 1:5]):
            assert torch.equal(remembered(layout), layout.flatten(1))
