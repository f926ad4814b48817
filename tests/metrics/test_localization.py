"""Localization: scores that can be counted by hand."""

import warnings

import pytest
import torch

from captum_ext.metrics.localization import (
    pointing_game,
    relevance_mass,
    relevance_rank,
    top_k_intersection,
)

METRICS = (pointing_game, relevance_mass, relevance_rank, top_k_intersection)
MASK = torch.tensor([[[1, 1, 0], [0, 0, 0]]])


def score(metric, *maps, mask=MASK, **settings):
    """Of one-channel maps, each given as its six pixels."""
    attributions = torch.tensor(maps, dtype=torch.float64).reshape(-1, 1, 2, 3)
    images = torch.zeros(len(maps), 3, 2, 3)
    return metric(None, images, attributions, mask=mask, **settings).tolist()


def test_pointing_game_tells_hits_from_misses_and_shares_ties():
    assert score(pointing_game, [1, 9, 0, 0, 0, 0], [1, 2, 0, 9, 0, 0], [9, 1, 9, 9, 0, 9]) == [
        1,
        0,
        0.25,
    ]


def test_relevance_mass_counts_positive_relevance_only():
    assert score(relevance_mass, [3, -5, 1, 0, 0, -7], [1, 1, 1, 1, 0, 0]) == [0.75, 0.5]


def test_relevance_mass_of_extreme_values_neither_overflows_nor_vanishes():
    assert score(relevance_mass, [1e308] * 4 + [0] * 2, [5e-324] * 4 + [0] * 2) == [0.5, 0.5]


def test_relevance_mass_without_positive_relevance_is_zero_with_a_warning():
    with pytest.warns(UserWarning, match=r"examples \[1\]"):
        assert score(relevance_mass, [1, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 0, 0]) == [1, 0]


def test_relevance_rank_takes_as_many_pixels_as_the_mask_has():
    assert score(relevance_rank, [5, 4, 3, 0, 0, 0], [5, 1, 3, 2, 0, 0], [0, 1, 8, 9, 0, 0]) == [
        1,
        0.5,
        0,
    ]


def test_ties_for_the_last_places_share_them():
    # The first is in; four share the other place, one of them inside.
    assert score(relevance_rank, [5, 1, 1, 1, 1, 0]) == [(1 + 1 / 4) / 2]
    assert score(top_k_intersection, [5, 1, 1, 1, 1, 0], k=3) == [(1 + 2 / 4) / 3]


@pytest.mark.parametrize("metric", METRICS)
def test_a_map_without_contrast_scores_the_masks_part_of_the_image(metric):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert score(metric, [1, 1, 1, 1, 1, 1]) == pytest.approx([2 / 6])
    ranks = metric is not relevance_mass
    assert any("the same everywhere" in str(each.message) for each in warned) == ranks


def test_k_is_a_number_of_pixels_or_a_part_of_them():
    pixels = [9, 1, 8, 7, 0, 2]
    assert score(top_k_intersection, pixels, k=1) == [1]
    assert score(top_k_intersection, pixels, k=3) == [1 / 3]
    assert score(top_k_intersection, pixels, k=0.5) == [1 / 3]
    assert score(top_k_intersection, pixels, k=0.01) == [1]


@pytest.mark.parametrize("metric", METRICS)
def test_a_pixels_relevance_is_the_sum_over_its_channels(metric):
    channels = torch.randn(2, 3, 2, 3, generator=torch.Generator().manual_seed(0))
    images = torch.zeros(2, 3, 2, 3)
    whole = metric(None, images, channels, mask=MASK)
    torch.testing.assert_close(whole, metric(None, images, channels.sum(1, True), mask=MASK))
    assert whole.shape == (2,)
    assert whole.dtype == channels.dtype


@pytest.mark.parametrize("metric", METRICS)
def test_every_form_of_a_mask_means_the_same(metric):
    maps = [1, 4, 2, 3, 5, 0], [4, 3, 2, 1, 0, 0]
    expected = score(metric, *maps)
    for mask in (MASK[None], MASK.bool().expand(2, -1, -1), MASK.float().expand(2, 1, -1, -1)):
        assert score(metric, *maps, mask=mask) == expected


def test_each_example_is_judged_by_its_own_mask():
    masks = torch.cat([MASK, 1 - MASK])
    assert score(pointing_game, [9, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0], mask=masks) == [1, 0]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(1, 2, 3), "no pixel for examples"),
        (torch.ones(1, 2, 3), "all pixels for examples"),
        (torch.full((1, 2, 3), 0.5), "0 and 1 only"),
        (torch.ones(1, 3, 2), "must have the shape"),
        (torch.ones(3, 2, 3), "must have the shape"),
        ([[1, 0]], "must be a tensor"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(mask, message):
    with pytest.raises((TypeError, ValueError), match=f"^mask .*{message}"):
        score(pointing_game, [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], mask=mask)


@pytest.mark.parametrize("k", [0, 7, -1, 1.0, 1.5, 0.0, True, "3"])
def test_k_out_of_range_is_refused(k):
    with pytest.raises((TypeError, ValueError), match=r"^k must"):
        score(top_k_intersection, [1, 2, 3, 4, 5, 6], k=k)


@pytest.mark.parametrize(
    "attributions",
    [
        torch.zeros(1, 2, 2, 3),
        torch.zeros(1, 2, 3),
        torch.zeros(2, 1, 2, 3),
        torch.full((1, 1, 2, 3), torch.nan),
        torch.zeros(1, 1, 2, 3, dtype=torch.int64),
        None,
    ],
)
def test_attributions_that_do_not_fit_are_refused(attributions):
    with pytest.raises((TypeError, ValueError), match=r"^attributions must"):
        pointing_game(None, torch.zeros(1, 3, 2, 3), attributions, mask=MASK)
