"""Marginals: what they draw, and what they refuse."""

import itertools

import numpy as np
import pytest
import torch

from captum_ext.perturbation import ConditionalGaussian, Empirical, OwnPatches, Uniform
from captum_ext.perturbation.marginals import conditional_gaussian
from captum_ext.perturbation.regions import MaskedRegions
from captum_ext.perturbation.windows import Windows

SIDE, PATCH, PADDING, CHANNELS = 14, 3, 2, 2
WHOLE = PATCH + 2 * PADDING
#: Two independent fields, by how much a step along a row or column keeps of their values; and how
#: much of each there is in each channel.
STEPS, MIXTURE = (0.8, 0.3), torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def falling_off(size, rate):
    steps = torch.arange(size, dtype=torch.float64)
    return rate ** (steps[:, None] - steps).abs()


def fields(count):
    """Images whose values are normal with mean 3: what is known of them is exact."""
    noise = torch.randn(count, 2, SIDE, SIDE, generator=stream(1), dtype=torch.float64)
    roots = [torch.linalg.cholesky(falling_off(SIDE, step)) for step in STEPS]
    independent = torch.stack(
        [r @ each @ r.T for r, each in zip(roots, noise.unbind(1), strict=True)], dim=1
    )
    return 3 + torch.einsum("cf,nfij->ncij", MIXTURE, independent)


@pytest.fixture(scope="module")
def gaussians():
    data = fields(2000)
    return {
        full_color: ConditionalGaussian(
            data, PATCH, PADDING, full_color=full_color, n_patches=200_000
        )
        for full_color in (False, True)
    }


def analytic(x, region, patch_start, full_color):
    """Mean and covariance of a region, given the rest of its patch, from the known covariance."""
    covariance = sum(
        torch.kron(torch.kron(mixed[:, None] * mixed, along), along)
        for mixed, along in zip(
            MIXTURE.T, (falling_off(WHOLE, step) for step in STEPS), strict=True
        )
    ).numpy()
    if not full_color:
        channel = np.arange(len(covariance)) // WHOLE**2
        covariance = covariance * (channel[:, None] == channel)
    row, column = patch_start
    patch = x[:, row : row + WHOLE, column : column + WHOLE].flatten().numpy()
    numbers = torch.arange(x.numel()).reshape(x.shape)
    numbers = numbers[:, row : row + WHOLE, column : column + WHOLE].flatten().numpy()
    hidden = np.isin(numbers, region.positions.numpy())
    gain = covariance[np.ix_(hidden, ~hidden)] @ np.linalg.inv(covariance[np.ix_(~hidden, ~hidden)])
    mean = 3 + gain @ (patch[~hidden] - 3)
    return mean, covariance[np.ix_(hidden, hidden)] - gain @ covariance[np.ix_(~hidden, hidden)]


PLACES = {
    # where the window begins -> where its patch does
    "interior": ((5, 6), (3, 4)),
    "top": ((0, 6), (0, 4)),
    "near the top": ((1, 6), (0, 4)),
    "right": ((5, SIDE - PATCH), (3, SIDE - WHOLE)),
    "bottom": ((SIDE - PATCH, 5), (SIDE - WHOLE, 3)),
    "top left": ((0, 0), (0, 0)),
    "top right": ((0, SIDE - PATCH), (0, SIDE - WHOLE)),
    "bottom left": ((SIDE - PATCH, 0), (SIDE - WHOLE, 0)),
    "bottom right": ((SIDE - PATCH, SIDE - PATCH), (SIDE - WHOLE, SIDE - WHOLE)),
}


@pytest.mark.parametrize("full_color", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_data_of_a_known_gaussian_give_its_conditional_distribution(gaussians, place, full_color):
    x = fields(1)[0]
    start, patch_start = PLACES[place]
    windows = Windows(x.shape, (CHANNELS, PATCH, PATCH), (CHANNELS, 1, 1))
    region = windows[windows.starts.index((0, *start))]
    mean, covariance = analytic(x, region, patch_start, full_color)
    found = gaussians[full_color].conditional(x, region)
    # The values themselves spread by 1; 128,000 patches tell it nearly.
    assert np.abs(found.mean.numpy() - mean).max() < 0.1
    assert np.abs(found.covariance.numpy() - covariance).max() < 0.03
    assert covariance.diagonal().max() < 0.9  # the surroundings do tell something
    if full_color:
        alone, _ = analytic(x, region, patch_start, full_color=False)
        assert np.abs(mean - alone).max() > 0.2  # and so do the channels of each other


def test_draws_have_the_conditional_moments(gaussians):
    x, gaussian = fields(1)[0], gaussians[True]
    region = Windows(x.shape, (CHANNELS, PATCH, PATCH), (CHANNELS, 1, 1))[40]
    drawn = gaussian.draw(x, region, 50_000, stream())
    mean, covariance = gaussian.conditional(x, region)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), covariance, atol=0.02, rtol=0)


def test_the_window_itself_is_not_looked_at(gaussians):
    x = fields(1)[0]
    region = Windows(x.shape, (CHANNELS, PATCH, PATCH), (CHANNELS, 1, 1))[40]
    other = x.clone()
    other.flatten()[region.positions] = 99
    first, second = (gaussians[True].draw(each, region, 5, stream()) for each in (x, other))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_each_place_of_a_window_is_factorized_once(monkeypatch):
    data = torch.rand(20, 1, 9, 9, generator=stream())
    gaussian, calls = ConditionalGaussian(data, patch=2, padding=1), []
    factorized = conditional_gaussian._Fit.factorized
    monkeypatch.setattr(
        conditional_gaussian._Fit,
        "factorized",
        lambda self, hidden, like: calls.append(hidden) or factorized(self, hidden, like),
    )
    windows = Windows((1, 9, 9), (1, 2, 2), (1, 1, 1))
    for number, _ in itertools.product(range(len(windows)), range(2)):
        gaussian.draw(data[0], windows[number], 3, stream())
    assert len(windows) == 64 and len(calls) == 9  # interior, four edges, four corners


def test_draws_stay_within_each_channels_range():
    data = torch.rand(30, 2, 6, 6, generator=stream()) * torch.tensor([0.2, 1.0])[:, None, None]
    gaussian = ConditionalGaussian(data, patch=2, padding=1)
    region = Windows((2, 6, 6), (2, 2, 2), (2, 1, 1))[0]
    drawn = gaussian.draw(data[0], region, 2000, stream()).unflatten(1, (2, 4))
    for channel, values in enumerate(drawn.unbind(1)):
        assert values.min() == data[:, channel].min() and values.max() == data[:, channel].max()


def test_a_region_of_a_mask_is_conditioned_as_the_window_of_its_form(gaussians):
    x = fields(1)[0]
    window = Windows(x.shape, (CHANNELS, PATCH, PATCH), (CHANNELS, 1, 1))[40]
    labels = torch.zeros(x.numel(), dtype=torch.long)
    labels[window.positions] = 1
    masked = MaskedRegions(labels.reshape(x.shape))[1]
    for first, second in zip(
        gaussians[True].conditional(x, window), gaussians[True].conditional(x, masked), strict=True
    ):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("full_color", [False, True])
def test_a_saved_one_draws_the_same(tmp_path, full_color):
    data = torch.rand(9, 2, 8, 8, generator=stream())
    gaussian = ConditionalGaussian(data, 2, 1, full_color=full_color)
    gaussian.save(tmp_path / "gaussian")
    loaded = ConditionalGaussian.load(tmp_path / "gaussian")
    region = Windows((2, 8, 8), (2, 2, 2), (2, 1, 1))[9]
    assert torch.equal(*(each.draw(data[0], region, 4, stream()) for each in (gaussian, loaded)))
    assert repr(loaded) == repr(gaussian) and loaded.full_color == full_color


def test_a_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", mean=np.zeros(3))
    (tmp_path / "text").write_text("no arrays")
    np.save(tmp_path / "code.npy", np.array([{"pickled": 1}], dtype=object), allow_pickle=True)
    ConditionalGaussian(torch.rand(9, 2, 8, 8), 2, 1).save(tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / "cut.npz", **arrays | {"settings": np.array([3, 1, 0])})
    with pytest.raises(ValueError, match="holds a damaged ConditionalGaussian"):
        ConditionalGaussian.load(tmp_path / "cut.npz")
    for name in ("other.npz", "text", "code.npy"):
        with pytest.raises(ValueError, match="holds no ConditionalGaussian"):
            ConditionalGaussian.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        ConditionalGaussian.load(tmp_path / "nothing")


def test_the_oldest_factors_are_dropped(monkeypatch):
    monkeypatch.setattr(conditional_gaussian, "MOST_FACTORS", 3)
    gaussian = ConditionalGaussian(torch.rand(9, 1, 9, 9, generator=stream()), 2, 1)
    windows = Windows((1, 9, 9), (1, 2, 2), (1, 1, 1))
    for number in range(len(windows)):
        gaussian.draw(torch.rand(1, 9, 9), windows[number], 1, stream())
    assert len(gaussian._fitted._factors) == 3


def test_too_few_data_are_shrunk_with_a_warning():
    data = torch.rand(2, 1, 8, 8, generator=stream())
    with pytest.warns(UserWarning, match="18 patches is singular.*Pass more data"):
        gaussian = ConditionalGaussian(data, patch=2, padding=2)
    region = Windows((1, 8, 8), (1, 2, 2), (1, 1, 1))[0]
    assert torch.isfinite(gaussian.draw(data[0], region, 5, stream())).all()


def test_constant_data_give_their_value():
    data = torch.full((3, 1, 6, 6), 0.25)
    with pytest.warns(UserWarning, match="singular"):
        gaussian = ConditionalGaussian(data, patch=2, padding=1)
    region = Windows((1, 6, 6), (1, 2, 2), (1, 1, 1))[7]
    assert (gaussian.draw(torch.rand(1, 6, 6), region, 5, stream()) == 0.25).all()


def test_without_padding_nothing_is_conditioned_on():
    data = torch.rand(50, 1, 6, 6, generator=stream())
    gaussian = ConditionalGaussian(data, patch=2, padding=0)
    region = Windows((1, 6, 6), (1, 2, 2), (1, 2, 2))[0]
    first, second = (gaussian.conditional(x, region).mean for x in data[:2])
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (torch.rand(5, 1, 6, 9), {}, "data must be at least 7 x 7 pixels.*got 6 x 9"),
        (torch.rand(5, 9, 9), {}, r"data must be images \[N, C, H, W\]; got shape \(5, 9, 9\)"),
        (torch.full((5, 1, 9, 9), torch.nan), {}, "data must be finite"),
        (torch.rand(1, 1, 7, 7), {}, "data must hold at least two patches"),
        (torch.rand(5, 1, 9, 9), {"n_patches": 1}, "n_patches must be at least 2; got 1"),
        (torch.rand(5, 1, 9, 9), {"regularization": 0}, "regularization must be above 0; got 0"),
        (torch.rand(5, 1, 9, 9), {"patch": 0}, "patch must be at least 1; got 0"),
        (torch.rand(5, 1, 9, 9), {"padding": -1}, "padding must be at least 0; got -1"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused(data, settings, message):
    with pytest.raises(ValueError, match=message):
        ConditionalGaussian(data, **{"patch": PATCH, "padding": PADDING} | settings)


def test_data_of_whole_numbers_are_refused():
    with pytest.raises(
        TypeError, match=r"data must be of a floating-point dtype; got torch\.uint8"
    ):
        ConditionalGaussian(torch.zeros(3, 1, 9, 9, dtype=torch.uint8), 2, 1)


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((1, 9, 9), (1, 3, 3), r"data with 2 channels serve inputs \[B, 2, H, W\]; got.*1, 9, 9"),
        ((2, 6, 9), (2, 3, 3), "inputs must be at least 7 x 7 pixels.*got 6 x 9"),
        ((2, 9, 9), (2, 8, 3), "no region larger than.*7 x 7; got one of 8 x 3"),
    ],
)
def test_an_example_that_does_not_fit_is_refused(gaussians, shape, size, message):
    with pytest.raises(ValueError, match=message):
        gaussians[False].check(torch.zeros(shape), Windows(shape, size, size))


def test_a_segment_that_spans_too_far_is_refused(gaussians):
    labels = torch.zeros(2, 9, 9, dtype=torch.long)
    labels[:, 4] = 1
    with pytest.raises(ValueError, match="7 x 7; got one of 9 x 9"):
        gaussians[False].check(torch.zeros(2, 9, 9), MaskedRegions(labels))


def test_one_without_data_says_so():
    with pytest.raises(ValueError, match="marginal must be fitted before it is used"):
        ConditionalGaussian(patch=3).check(
            torch.zeros(1, 9, 9), Windows((1, 9, 9), (1, 1, 1), (1, 1, 1))
        )


def test_uniform_enumerates_all_combinations_of_a_few_values():
    region = Windows((1, 2, 2), (1, 1, 2), (1, 1, 2))[0]
    marginal = Uniform([0.0, 1.0, 5.0])
    assert marginal.count(len(region), 3) == 9
    drawn = marginal.draw(torch.zeros(1, 2, 2), region, 9, stream())
    assert {tuple(row) for row in drawn.tolist()} == set(itertools.product([0, 1, 5], repeat=2))


def test_uniform_samples_what_has_too_many_combinations():
    region = Windows((3, 2, 2), (3, 1, 1), (3, 1, 1))[0]
    marginal = Uniform(256)
    assert marginal.count(len(region), 7) == 7
    drawn = marginal.draw(torch.zeros(3, 2, 2), region, 5000, stream())
    assert set((drawn * 255).round().unique().tolist()) == set(range(256))
    assert abs(float(drawn.mean()) - 0.5) < 0.01


@pytest.mark.parametrize("levels", [[], torch.zeros(0), np.zeros(0)])
def test_no_levels_are_refused(levels):
    with pytest.raises(ValueError, match="levels must hold at least one value; got none"):
        Uniform(levels)


def test_zero_levels_and_what_is_no_number_are_refused():
    with pytest.raises(ValueError, match="levels must be at least 1; got 0"):
        Uniform(0)
    with pytest.raises(ValueError, match="levels must be finite"):
        Uniform([0.0, float("inf")])
    for levels, message in (
        (2.5, "levels must be a whole number"),
        (["a"], "levels must be numbers"),
        ("abc", "levels must be numbers"),
        (torch.zeros(2, dtype=torch.complex64), "levels must be real numbers"),
        ([True, False], "levels must be real numbers"),
    ):
        with pytest.raises(TypeError, match=message):
            Uniform(levels)


def test_empirical_takes_each_image_once_where_it_may():
    data = torch.arange(12.0).reshape(3, 1, 2, 2)
    region = Windows((1, 2, 2), (1, 1, 2), (1, 1, 2))[1]
    drawn = Empirical(data).draw(data[0], region, Empirical(data).count(2, 10), stream())
    assert drawn.tolist() == [[2, 3], [6, 7], [10, 11]]
    fewer = Empirical(data).draw(data[0], region, 2, stream())
    assert len({tuple(row) for row in fewer.tolist()}) == 2


def test_empirical_refuses_data_of_another_shape():
    marginal = Empirical(torch.rand(4, 3, 5, 5))
    with pytest.raises(ValueError, match=r"inputs' shape \(1, 5, 5\); got \(3, 5, 5\)"):
        marginal.check(torch.zeros(1, 5, 5), Windows((1, 5, 5), (1, 1, 1), (1, 1, 1)))


def test_own_patches_are_windows_of_the_image():
    x = torch.arange(12.0).reshape(1, 3, 4)
    region = Windows((1, 3, 4), (1, 2, 2), (1, 1, 1))[0]
    drawn = OwnPatches().draw(x, region, 200, stream())
    there = {tuple(p) for p in x.unfold(1, 2, 1).unfold(2, 2, 1).reshape(-1, 4).tolist()}
    assert {tuple(row) for row in drawn.tolist()} == there


def test_own_patches_need_windows():
    with pytest.raises(ValueError, match="must not be OwnPatches for a feature_mask"):
        OwnPatches().check(torch.zeros(1, 2, 2), MaskedRegions(torch.zeros(1, 2, 2).long()))
