"""The Gini index: known for even, single-pixel and two-valued maps."""

import pytest
import torch

from captum_ext.metrics.complexity import gini


def index(*maps, dtype=torch.float64):
    attributions = torch.tensor(maps, dtype=dtype)[:, None, None]
    return gini(None, attributions.expand(-1, 3, -1, -1), attributions)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_even_maps_get_0_and_single_pixels_get_almost_1(dtype):
    result = index([2, -2, 2, 2, -2], [0, 0, -3, 0, 0], dtype=dtype)
    expected = torch.tensor([0, 1 - 1 / 5], dtype=torch.promote_types(dtype, torch.float32))
    torch.testing.assert_close(result, expected)


def test_it_is_half_the_mean_absolute_difference_relative_to_the_mean():
    values = torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = (values[:, None] - values).abs().mean() / (2 * values.mean())
    torch.testing.assert_close(index(values.tolist())[0], expected)


def test_neither_scale_nor_order_nor_sign_matters():
    torch.testing.assert_close(index([1, 2, 3, 4]), index([4e-300, -2e-300, 1e-300, -3e-300]))
    torch.testing.assert_close(index([1, 2, 3, 4]), index([4e307, -2e307, 1e307, -3e307]))


def test_a_map_of_zeros_gets_0_with_a_warning():
    with pytest.warns(UserWarning, match=r"examples \[0\]"):
        assert index([0, 0, 0, 0], [0, 0, 0, 1]).tolist() == [0, 0.75]


def test_channels_are_added_before():
    attributions = torch.tensor([[1.0, -1.0], [-1.0, 3.0]]).reshape(1, 2, 1, 2)
    assert gini(None, attributions, attributions).tolist() == [0.5]
