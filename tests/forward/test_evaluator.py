import pytest
import torch
from torch import nn

from captum_ext.forward import Evaluator, Preprocessed, default_batch_size
from captum_ext.targets import select_target


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


@pytest.fixture
def images():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def masked(images, masks):
    return lambda examples, samples: images[examples] * masks[samples][:, None]


def masks_of(n_samples):
    generator = torch.Generator().manual_seed(2)
    return (torch.rand(n_samples, 8, 8, generator=generator) > 0.5).float()


@pytest.mark.parametrize("batch_size", [None, 1, 4, 1000])
def test_scores_equal_a_plain_loop_at_every_batch_size(model, images, batch_size):
    masks = masks_of(7)
    scores = Evaluator(model, target=2, batch_size=batch_size)(images, masked(images, masks), 7)
    with torch.no_grad():
        expected = torch.stack([model(images * mask)[:, 2] for mask in masks], dim=1)
    torch.testing.assert_close(scores, expected)


def test_targets_and_additional_args_follow_their_example(images):
    def function(x, offset, factor):
        sums = x.sum((1, 2, 3))
        return torch.stack([sums, -sums], dim=1) * factor + offset[:, None]

    offset = torch.tensor([10.0, 20.0, 30.0])
    evaluator = Evaluator(function, [0, 1, 0], (offset, 2), batch_size=2)
    scores = evaluator(images, lambda examples, _: images[examples], 2)
    sums = images.sum((1, 2, 3)) * torch.tensor([1, -1, 1]) * 2 + offset
    torch.testing.assert_close(scores, sums[:, None].expand(3, 2))


def test_tuple_inputs_go_to_the_model_as_separate_arguments(images):
    other = torch.arange(3.0)[:, None]
    evaluator = Evaluator(lambda x, y: x.sum((1, 2, 3)) + y[:, 0])
    scores = evaluator((images, other), lambda e, _: (images[e], other[e]), 1)
    torch.testing.assert_close(scores[:, 0], images.sum((1, 2, 3)) + other[:, 0])


def test_never_more_rows_than_a_batch_exist(model, images):
    sizes = []

    def perturb(examples, samples):
        sizes.append(len(examples))
        return images[examples]

    Evaluator(model, target=0, batch_size=8)(images, perturb, 101)
    assert sum(sizes) == 303
    assert max(sizes) == 8


def test_images_reach_the_model_as_channels_last_and_without_gradients(images):
    seen = []

    def function(x):
        seen.append((x.is_contiguous(memory_format=torch.channels_last), torch.is_grad_enabled()))
        return x.sum((1, 2, 3))

    Evaluator(function)(images.requires_grad_(), lambda e, _: images[e], 1)
    Evaluator(function, channels_last=False)(images, lambda e, _: images[e], 1)
    assert seen == [(True, False), (False, False)]


def test_autocast_computes_in_bf16_and_gives_the_input_dtype(model, images):
    dtypes = []
    model[0].register_forward_hook(lambda module, args, output: dtypes.append(output.dtype))
    evaluator = Evaluator(model, target=0, autocast=torch.bfloat16)
    scores = evaluator(images, lambda e, _: images[e], 1)
    assert dtypes == [torch.bfloat16]
    assert scores.dtype == torch.float32


def test_outputs_of_all_classes_are_kept_without_a_target(model, images):
    assert Evaluator(model)(images, lambda e, _: images[e], 4).shape == (3, 4, 5)


def test_progress_goes_to_stderr(model, images, capsys):
    Evaluator(model, 0, show_progress=True, description="masks")(images, lambda e, _: images[e], 1)
    captured = capsys.readouterr()
    assert "masks" in captured.err
    assert not captured.out


@pytest.mark.parametrize(
    ("function", "target", "message"),
    [
        (lambda x: x.sum(), None, "one output per example"),
        (lambda x: x.sum((2, 3)), 3, "target 3 does not fit"),
        (lambda x: x.sum((1, 2, 3)), [0, 1, 0], "does not fit"),
    ],
)
def test_an_output_that_does_not_fit_is_named(images, function, target, message):
    with pytest.raises(ValueError, match=message):
        Evaluator(function, target)(images, lambda e, _: images[e], 1)


def test_no_samples_is_an_error(model, images):
    with pytest.raises(ValueError, match="n_samples must be at least 1; got 0"):
        Evaluator(model, 0)(images, lambda e, _: images[e], 0)


def test_batch_size_shrinks_with_large_examples_and_is_never_zero():
    small, large = torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 224, 224)
    assert default_batch_size((small,)) == 1024
    assert default_batch_size((large,)) == 5
    assert default_batch_size((large.double(),)) == 2
    assert default_batch_size((torch.empty(1, 3, 5000, 5000, device="meta"),)) >= 1


def test_select_target_takes_tuples_for_larger_outputs():
    output = torch.arange(8.0).reshape(2, 2, 2)
    assert select_target(output, (1, 0)).tolist() == [2, 6]
    assert select_target(output, [(1, 0), (0, 1)]).tolist() == [2, 5]


def test_preprocessed_equals_normalizing_by_hand(images):
    mean, std = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]
    expected = (images - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
    torch.testing.assert_close(Preprocessed(nn.Identity(), mean, std)(images), expected)
    double = images.double()
    assert Preprocessed(nn.Identity(), mean, std)(double).dtype == torch.float64


def test_preprocessed_keeps_the_mode_of_its_model():
    assert not Preprocessed(nn.Dropout().eval(), [0.5], [0.5]).model.training
    assert Preprocessed(nn.Dropout().train(), [0.5], [0.5]).model.training


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.5], [0.0], "std must be positive"),
        ([0.5, 0.5], [0.5], "one value per channel each; got 2 and 1"),
        ([float("nan")], [0.5], "mean must be finite"),
    ],
)
def test_preprocessed_refuses_bad_statistics(mean, std, message):
    with pytest.raises(ValueError, match=message):
        Preprocessed(nn.Identity(), mean, std)


def test_preprocessed_refuses_another_number_of_channels():
    with pytest.raises(ValueError, match="inputs must have 3 channels"):
        Preprocessed(nn.Identity(), [0.5] * 3, [0.5] * 3)(torch.zeros(1, 1, 4, 4))


class Flattening(nn.Module):
    """Flattens by view(), as many a tutorial's network."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 5)

    def forward(self, x):
        return self.linear(self.conv(x).view(-1, 4 * 36))


def test_a_model_that_flattens_by_view_gets_its_rows_contiguous(images):
    torch.manual_seed(0)
    flattening, masks = Flattening().eval(), masks_of(7)
    result = Evaluator(flattening, target=2, batch_size=4)(images, masked(images, masks), 7)
    with torch.no_grad():
        expected = torch.stack([flattening(image * masks[:, None])[:, 2] for image in images])
    torch.testing.assert_close(result, expected)
    gradient = Evaluator(flattening, target=2).gradients((images,), torch.arange(3))
    assert gradient[0].shape == images.shape
