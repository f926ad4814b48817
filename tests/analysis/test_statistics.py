import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from captum_ext.analysis.ranks import average_ranks, rank_agreement
from captum_ext.analysis.statistics import (
    compare_pairs,
    fewest_images,
    holm,
    mean_interval,
    mean_intervals,
    sign_flip_test,
)

NAN = math.nan


def rng():
    return np.random.default_rng(0)


def normal(size, means):
    return rng().normal(means, size=size)


# Intervals


@pytest.mark.parametrize("n", [10, 20, 60])
@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_cover_the_true_mean_as_often_as_they_say(n, skewed):
    draws = rng().exponential(size=(n, 1000)) if skewed else rng().normal(1.0, size=(n, 1000))
    covered = [each.low <= 1.0 <= each.high for each in mean_intervals(draws)]
    assert 0.9 < np.mean(covered) < 0.97


def test_wider_confidence_is_a_wider_interval():
    values = rng().normal(size=30)
    narrow, wide = (mean_interval(values, confidence=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_interval_is_scipys_bca_but_for_the_level():
    values = rng().exponential(size=25)
    end = math.sqrt(25 / 24) * stats.t.ppf(0.975, 24)
    level = 2 * stats.norm.cdf(end) - 1
    options = {"n_resamples": 50_000, "confidence_level": level}
    expected = stats.bootstrap((values,), np.mean, rng=rng(), **options).confidence_interval
    found = mean_interval(values, n_resamples=50_000)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.01)
    assert found.high - found.mean > 1.1 * (found.mean - found.low)


def test_interval_moves_and_scales_with_the_values():
    values = rng().exponential(size=12)
    one, other = mean_interval(values), mean_interval(1e4 + 10 * values)
    assert np.allclose([other.low, other.high], [1e4 + 10 * one.low, 1e4 + 10 * one.high])


def test_no_value_does_not_count_and_neighbors_do_not_matter():
    values = rng().normal(size=(9, 3))
    values[4, 0] = NAN
    values[:, 2] = NAN
    found = mean_intervals(values)
    assert found[0] == mean_interval(np.delete(values[:, 0], 4))
    assert found[1] == mean_interval(values[:, 1])
    assert found[2].n == 0 and np.isnan(found[2][1:]).all()


def test_one_value_has_no_bounds_and_equal_values_are_a_point():
    assert mean_interval([0.1])[:2] == (1, 0.1)
    assert np.isnan(mean_interval([0.1])[2:]).all()
    assert mean_interval([0.1] * 7) == (7, 0.1, 0.1, 0.1)


def test_hits_and_misses_have_an_interval():
    found = mean_interval([0.0] * 9 + [1.0])
    assert 0.0 <= found.low < 0.1 < found.high <= 0.6
    # Resamples that hit the mean count as half below it.
    even = mean_interval([0.0, 1.0] * 5, n_resamples=20_000)
    assert even.low + even.high == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1.0], {}, r"\[n_images, n_methods\]; got shape \(1,\)"),
        ([[math.inf]], {}, "must not be infinite; got 1"),
        ([[1.0]], {"confidence": 1}, "confidence must be below 1"),
        ([[1.0]], {"confidence": 0}, "confidence must be above 0"),
        ([[1.0]], {"n_resamples": 0}, "n_resamples must be at least 1"),
    ],
)
def test_bad_arguments_are_named(values, options, message):
    with pytest.raises(ValueError, match=message):
        mean_intervals(values, **options)


# Comparisons


@pytest.mark.parametrize("n", [2, 5, 9])
def test_p_is_scipys_exact_permutation_test(n):
    values = normal((n, 3), [0.0, 0.5, 1.0])
    for p, (i, j) in zip(sign_flip_test(values), combinations(range(3), 2), strict=True):
        exact = stats.permutation_test(
            (values[:, i] - values[:, j],),
            np.mean,
            permutation_type="samples",
            n_resamples=np.inf,
        )
        assert p == pytest.approx(exact.pvalue)


def test_p_of_many_images_is_near_the_t_tests():
    values = normal((200, 2), [0.0, 0.15])
    assert sign_flip_test(values)[0] == pytest.approx(
        stats.ttest_rel(*values.T).pvalue, rel=0.1, abs=0.005
    )


def test_p_of_values_in_steps_is_the_sign_tests():
    won = np.array([1] * 8 + [0] * 2)
    p = sign_flip_test(np.stack([0.1 * won, 0.1 * (1 - won)], axis=1) + 0.2)[0]
    assert p == pytest.approx(stats.binomtest(8, 10).pvalue)


def test_ties_change_nothing_and_only_ties_are_no_difference():
    values = rng().normal(size=(7, 2))
    tied = np.concatenate([values, [[0.3, 0.3]] * 3])
    assert sign_flip_test(tied) == sign_flip_test(values)
    assert sign_flip_test(np.full((30, 2), 0.1)) == [1.0]


@pytest.mark.parametrize("n", [10, 40])
def test_missing_values_leave_a_pair_its_common_images(n):
    values = normal((n, 3), [0.0, 0.2, 0.5])
    values[:3, 0] = NAN
    values[-1, 1] = NAN
    found = compare_pairs(values, ["a", "b", "c"])
    assert [each.n for each in found] == [n - 4, n - 3, n - 1]
    alone = compare_pairs(values[3:-1, :2], ["a", "b"])[0]
    assert found[0][:6] == alone[:6]
    # All signs are tried of few images, and drawn for many.
    assert found[0].p == pytest.approx(alone.p, rel=1e-9 if n == 10 else 0.2)


def test_what_methods_share_on_an_image_takes_nothing_from_their_difference():
    values = rng().normal(size=(12, 1)) * 1e6 + [[10.0, 0.0]]
    assert sign_flip_test(values) == [2.0**-11]


def test_p_is_never_zero():
    assert sign_flip_test([[1.0, 0.0]] * 40) == [1e-4]


def test_fewer_than_two_common_images_are_no_test():
    found = compare_pairs([[1.0, NAN, 2.0], [NAN, 1.0, 3.0]], ["a", "b", "c"])
    assert [each.n for each in found] == [0, 1, 1]
    assert np.isnan([[each.p, each.p_corrected] for each in found]).all()


def test_one_method_has_no_pairs():
    assert compare_pairs([[1.0], [2.0]], ["a"]) == []


def test_names_must_fit():
    with pytest.raises(ValueError, match="one for each of 2 methods"):
        compare_pairs([[1.0, 2.0]], ["a"])


@pytest.mark.parametrize("n", [12, 25])
def test_among_ten_equal_methods_one_in_twenty_studies_finds_a_difference(n):
    draw = rng()
    names = list("abcdefghij")
    false = 0
    for seed in range(200):
        values = draw.normal(size=(n, 10)) + draw.normal(size=(n, 1))
        found = compare_pairs(values, names, n_resamples=10, seed=seed)
        false += any(each.p_corrected < 0.05 for each in found)
    assert false <= 20  # of 10 expected at most, 20 are exceeded with a probability of 0.1 %


def test_equal_means_of_skewed_differences_are_equal_where_wilcoxon_says_otherwise():
    draws = rng().exponential(size=(100, 100, 1)) - 1
    p = [sign_flip_test(np.concatenate([draw, 0 * draw], axis=1))[0] for draw in draws]
    assert np.mean(np.array(p) < 0.05) <= 0.1
    assert np.mean([stats.wilcoxon(draw[:, 0]).pvalue < 0.05 for draw in draws]) > 0.25


def test_holm_by_hand():
    # Sorted 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, none below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert np.array_equal(holm([NAN, 0.02, NAN]), [NAN, 0.02, NAN], equal_nan=True)
    assert holm([]).size == 0


@pytest.mark.parametrize("methods", [2, 5, 12])
def test_fewest_images_can_and_one_less_cannot(methods):
    n = fewest_images(methods)
    # Only one pair differs: the hardest to find among all.
    values = np.zeros((n, methods))
    values[:, 0] = 1.0
    names = [str(i) for i in range(methods)]
    assert compare_pairs(values, names)[0].p_corrected < 0.05
    assert all(each.p_corrected >= 0.05 for each in compare_pairs(values[1:], names))


# Ranks and agreement


def test_ranks_with_ties_by_hand():
    values = [[0.9, 0.5, 0.5, 0.1], [0.2, 0.2, 0.2, 0.2], [0.1, 0.2, 0.3, 0.4]]
    found = average_ranks(values, higher=True)
    # [1, 2.5, 2.5, 4], [2.5] * 4 and [4, 3, 2, 1]
    assert found.ranks == pytest.approx(np.array([7.5, 8.0, 7.0, 7.5]) / 3)
    assert average_ranks(values, higher=False).ranks == pytest.approx(5 - found.ranks)
    assert found.n == 3


def test_friedmans_p_by_hand():
    # Three images in the same order: chi-squared 12 n / (k (k + 1)) * sum (rank - 2)^2 = 6.
    found = average_ranks([[1.0, 2.0, 3.0]] * 3, higher=True)
    assert found.p == pytest.approx(math.exp(-3))


def test_ranks_are_over_images_that_all_methods_with_values_have():
    values = [[3.0, 1.0, NAN, 2.0], [1.0, NAN, NAN, 2.0], [3.0, 2.0, NAN, 1.0]]
    found = average_ranks(values, higher=True)
    assert found.n == 2
    assert np.array_equal(found.ranks, [1.0, 2.5, NAN, 2.5], equal_nan=True)


def test_ranks_without_rivals_or_differences():
    assert average_ranks([[1.0], [2.0]], higher=True).ranks == [1.0]
    assert math.isnan(average_ranks([[1.0, 2.0]] * 5, higher=True).p)
    assert math.isnan(average_ranks([[1.0, 2.0, 3.0]], higher=True).p)
    assert average_ranks([[1.0] * 3] * 4, higher=True).p == 1.0
    assert average_ranks([[NAN, 1.0], [1.0, NAN]], higher=True).n == 0


def test_agreement_is_the_mean_of_kendalls_tau_b():
    first, second = rng().integers(4, size=(2, 6, 7)).astype(float)
    first[0, 2], second[1, 3] = NAN, NAN
    found = rank_agreement({"a": first, "b": second}, {"a": "higher", "b": "higher"})
    taus = [stats.kendalltau(*row, nan_policy="omit")[0] for row in zip(first, second, strict=True)]
    assert found.matrix == pytest.approx(np.array([[1, np.mean(taus)], [np.mean(taus), 1]]))
    assert found.n_images == 6


def test_agreement_turns_less_is_better_round_and_leaves_others_out():
    values = rng().normal(size=(4, 5))
    found = rank_agreement(
        {"gain": values, "size": values, "loss": -values},
        {"gain": "higher", "size": "none", "loss": "lower"},
    )
    assert found.metrics == ["gain", "loss"]
    assert found.matrix == pytest.approx(np.ones((2, 2)))


def test_images_where_a_metric_finds_all_equal_have_no_order():
    values = {"a": [[1.0, 2.0], [1.0, 2.0]], "b": [[0.0, 0.0], [5.0, 4.0]]}
    found = rank_agreement(values, dict.fromkeys(values, "higher"))
    assert np.array_equal(found.matrix, [[1, -1], [-1, 1]])
    flat = {"a": [[1.0, 2.0]], "b": [[0.0, 0.0]]}
    assert math.isnan(rank_agreement(flat, dict.fromkeys(flat, "higher")).matrix[0, 1])
