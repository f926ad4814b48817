import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer

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


class Tokens(nn.Module):
    """Passes tokens on: a class token, then a token for each of an image's pixels, row by row."""

    def __init__(self, n_others=1):
        super().__init__()
        self.tokens, self.n_others = nn.Identity(), n_others
        self.weight = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, 1.0]])

    def forward(self, x):
        patches = x.flatten(2).transpose(1, 2)
        others = torch.full((len(x), self.n_others, 3), 100.0)
        tokens = self.tokens(torch.cat([others, patches], 1))
        # The class token counts, and the tokens of the patches unequally.
        place = 1 + torch.arange(tokens.shape[1])[:, None]
        return torch.einsum("bnc,kc->bk", tokens * place, self.weight)


def known_heat(model, x, target):
    """Over the patches n: sum_c mean_n(dy/dA_nc) A_nc, where dy/dA_nc = (1 + n) w_c."""
    n_patches = x[0, 0].numel()
    place = 1 + model.n_others + torch.arange(n_patches)
    pooled = place.float().mean() * model.weight[target]
    return torch.einsum("bchw,c->bhw", x, pooled)


@pytest.mark.parametrize("size", [(4, 4), (2, 6), (6, 3), (1, 5)])
@pytest.mark.parametrize("n_others", [0, 1, 5])
def test_of_tokens_it_is_the_formula_over_the_patches_without_the_class_token(size, n_others):
    model, x = Tokens(n_others), torch.randn(2, 3, *size)
    heat = InputGradCam(model, model.tokens).attribute(x, target=1)
    torch.testing.assert_close(heat, known_heat(model, x, 1)[:, None].expand_as(x))


def test_of_tokens_negative_values_are_left_out_where_that_is_asked():
    model, x = Tokens(), torch.randn(1, 3, 4, 4)
    heat = InputGradCam(model, model.tokens).attribute(x, target=0, relu_attributions=True)
    expected = known_heat(model, x, 0)
    assert (expected < 0).any()
    torch.testing.assert_close(heat[:, 0], expected.relu())


def test_of_tokens_each_example_has_its_own_target_and_tuples_stay_tuples():
    model, x = Tokens(), torch.randn(2, 3, 4, 4)
    (heat,) = InputGradCam(model, model.tokens).attribute((x,), target=torch.tensor([1, 0]))
    expected = torch.stack([known_heat(model, x, 1)[0], known_heat(model, x, 0)[1]])
    torch.testing.assert_close(heat[:, 0], expected)


def test_of_tokens_what_goes_into_the_layer_can_be_taken():
    model, x = Tokens(), torch.randn(1, 3, 4, 4)
    heat = InputGradCam(model, model.tokens).attribute(x, 1, attribute_to_layer_input=True)
    torch.testing.assert_close(heat[:, 0], known_heat(model, x, 1))


def test_fewer_tokens_than_pixels_are_interpolated():
    class Patches(Tokens):
        def forward(self, x):
            return super().forward(nn.functional.avg_pool2d(x, 4))

    model, x = Patches(), torch.randn(1, 3, 8, 16)
    heat = InputGradCam(model, model.tokens).attribute(x, target=0)
    coarse = known_heat(model, nn.functional.avg_pool2d(x, 4), 0)[:, None]
    expected = nn.functional.interpolate(coarse, size=(8, 16), mode="bilinear")
    torch.testing.assert_close(heat, expected.expand_as(x))


@pytest.mark.parametrize("n_others", [9, 11])
def test_tokens_that_no_patches_can_be_made_of_are_an_error(n_others):
    model = Tokens(n_others)
    n_tokens = 49 + n_others
    with pytest.raises(ValueError, match=rf"it has {n_tokens} for 7 x 7 pixels"):
        InputGradCam(model, model.tokens).attribute(torch.rand(1, 3, 7, 7), target=0)


def test_a_vision_transformers_last_norm_has_a_map_of_the_inputs_shape():
    torch.manual_seed(0)
    model = VisionTransformer(32, 8, 2, 2, 16, 16, num_classes=3).eval()
    nn.init.normal_(model.heads.head.weight)
    layer = model.encoder.layers[-1].ln_1
    x = torch.rand(2, 3, 32, 32)
    heat = InputGradCam(model, layer).attribute(x, target=1)
    assert heat.shape == x.shape
    assert heat.abs().amax((1, 2, 3)).gt(0).all()
    # Of 4 x 4 patches; by hand.
    kept = []
    hook = layer.register_forward_hook(lambda module, args, output: kept.append(output))
    (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), kept)
    hook.remove()
    coarse = (gradient[:, 1:].mean(1, keepdim=True) * kept[0][:, 1:]).sum(2).reshape(2, 1, 4, 4)
    expected = nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")
    torch.testing.assert_close(heat, expected.detach().expand_as(x))


@pytest.mark.parametrize("size", [(4, 4), (2, 6), (6, 3)])
def test_a_map_with_its_channels_last_is_known_by_its_proportions(size):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.weight = nn.Identity(), torch.randn(2, 72)

        def forward(self, x):
            values = self.layer(x.repeat(1, 24, 1, 1).movedim(1, -1))  # [B, h, w, 72]
            return values.mean((1, 2)) @ self.weight.T

    torch.manual_seed(0)
    model, x = Last(), torch.randn(2, 3, *size)
    heat = InputGradCam(model, model.layer).attribute(x, target=1)
    weight = model.weight[1] / (size[0] * size[1])
    expected = torch.einsum("bchw,c->bhw", x.repeat(1, 24, 1, 1), weight)
    torch.testing.assert_close(heat, expected[:, None].expand_as(x))


def test_a_layer_of_swin_has_the_map_of_the_same_values_with_channels_first():
    torch.manual_seed(0)
    model = SwinTransformer([4, 4], 24, [1, 1], [1, 2], [4, 4], num_classes=3).eval()
    x = torch.rand(1, 3, 64, 32)
    last, first = (
        InputGradCam(model, layer).attribute(x, target=0) for layer in (model.norm, model.permute)
    )
    torch.testing.assert_close(last, first)


@pytest.mark.parametrize("size", [(4, 30), (30, 4)])
def test_a_convolution_whose_map_is_stretched_is_still_one(size):
    torch.manual_seed(0)
    pool = nn.AdaptiveAvgPool2d((3, 3))
    model = nn.Sequential(nn.Conv2d(3, 4, 1), pool, nn.Conv2d(4, 5, 1), nn.Flatten())
    x = torch.rand(1, 3, *size)
    heat = InputGradCam(model, model[2]).attribute(x, target=1)
    expected = LayerGradCam.interpolate(
        LayerGradCam(model, model[2]).attribute(x, target=1), size, "bilinear"
    )
    torch.testing.assert_close(heat, expected.expand_as(x))


@pytest.mark.parametrize("channels", [12, 40])
def test_channels_that_come_last_are_known_by_the_sides(channels):
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, channels, 4, 4)

    class Last(nn.Module):
        def forward(self, x):
            return x.movedim(1, 3)

    class First(nn.Module):
        def forward(self, x):
            return x.movedim(3, 1)

    head = (nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))
    model = nn.Sequential(convolution, Last(), First(), *head)
    x = torch.rand(1, 3, 32, 32)
    expected = InputGradCam(model, convolution).attribute(x, target=1)
    torch.testing.assert_close(InputGradCam(model, model[1]).attribute(x, target=1), expected)
