import pytest
import torch
from scipy.ndimage import gaussian_filter

from captum_ext import baselines
from captum_ext.baselines import BASELINES, IMAGENET_MEAN, IMAGENET_STD, make_baselines


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_baseline_is_like_the_inputs_and_changes_nothing(name, dtype, images):
    inputs = images.to(dtype).requires_grad_()
    original = inputs.detach().clone()
    state = torch.get_rng_state()
    baseline = make_baselines(name, inputs)
    assert (baseline.shape, baseline.dtype) == (inputs.shape, dtype)
    assert not baseline.requires_grad
    assert torch.equal(inputs.detach(), original)
    assert torch.equal(torch.get_rng_state(), state)
    assert baseline.min() >= 0 and baseline.max() <= 1


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_does_not_depend_on_batch_mates(name, images):
    both, alone = make_baselines(name, images), make_baselines(name, images[1:])
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize(
    "name", ["black", "white", "norm_mean", "uniform_noise", "gaussian_noise", "max_distance"]
)
def test_the_normalized_space_holds_the_same_colors(name, images):
    mean = torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).reshape(3, 1, 1)
    normalized = make_baselines(name, (images - mean) / std, normalized=True)
    torch.testing.assert_close(normalized * std + mean, make_baselines(name, images))


@pytest.mark.parametrize("name", ["uniform_noise", "gaussian_noise"])
def test_noise_follows_its_seed(name, images):
    first, again = (make_baselines(name, images, generator=5) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, make_baselines(name, images, generator=6))
    generator = torch.Generator().manual_seed(5)
    draws = [make_baselines(name, images, generator=generator) for _ in range(2)]
    assert not torch.equal(*draws)


def test_gaussian_noise_has_the_moments_of_the_data_set():
    noise = baselines.gaussian_noise(
        torch.zeros(1, 2, 200, 200), mean=[0.4, 0.6], std=[0.05, 0.1], generator=1
    )
    torch.testing.assert_close(noise.mean((0, 2, 3)), torch.tensor([0.4, 0.6]), atol=2e-3, rtol=0)
    torch.testing.assert_close(noise.std((0, 2, 3)), torch.tensor([0.05, 0.1]), atol=2e-3, rtol=0)


def test_a_background_has_distinct_members(images):
    background = baselines.uniform_noise(images, n=4)
    assert background.shape == (4, 3, 16, 16)
    assert not torch.equal(background[0], background[1])


def test_means_and_medians_are_those_of_each_channel(images):
    torch.testing.assert_close(
        baselines.image_mean(images)[:, :, 0, 0], images.double().mean((2, 3)).float()
    )
    expected = torch.quantile(images.flatten(2), 0.5, dim=2)
    torch.testing.assert_close(baselines.image_median(images)[:, :, 0, 0], expected)


def test_blur_keeps_constants_and_matches_scipy(images):
    blurred = baselines.blur(images.double(), sigma=1.5)
    expected = gaussian_filter(images[0, 0].double().numpy(), 1.5, mode="nearest")
    torch.testing.assert_close(blurred[0, 0], torch.from_numpy(expected))


def test_max_distance_is_never_nearer_than_half_the_range(images):
    assert ((baselines.max_distance(images) - images).abs() >= 0.5).all()


def test_a_tuple_gives_a_tuple(images):
    result = make_baselines("black", (images, images[:, :1]))
    assert [tensor.shape[1] for tensor in result] == [3, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: make_baselines("blak", x), "unknown baseline 'blak'; did you mean 'black'"),
        (lambda x: baselines.blur(x, sigma=0), "sigma must be above 0 and at most 2000; got 0"),
        (lambda x: baselines.black(x, std=[0] * 3, normalized=True), "std must be positive"),
        (lambda x: baselines.norm_mean(x, mean=[0.5]), "mean must have 3 values; got 1"),
        (lambda x: baselines.norm_mean(x[:, :2]), "mean must be given for inputs of 2 channels"),
        (lambda x: baselines.uniform_noise(x, n=0), "n must be at least 1; got 0"),
        (lambda x: baselines.blur(x[0]), r"inputs must be images \[B, C, H, W\]"),
    ],
)
def test_bad_arguments_are_named(call, message, images):
    with pytest.raises(ValueError, match=message):
        call(images)


def test_settings_are_passed_on_where_they_are_of_use(images):
    settings = {"generator": 3, "sigma": 2.0}
    assert torch.equal(make_baselines("black", images, **settings), baselines.black(images))
    blurred = make_baselines("blur", images, **settings)
    assert torch.equal(blurred, baselines.blur(images, sigma=2.0))
    with pytest.raises(TypeError, match="no baseline has an argument sgima"):
        make_baselines("blur", images, sgima=1)
