import math
from itertools import product

import numpy as np
import pandas as pd
import pytest

from captum_ext.analysis.leaderboard import analyze
from captum_ext.analysis.results import COLUMNS, MetricFacts, StudyResults
from captum_ext.analysis.text import WIDTH, format_leaderboard


def study(tables, directions=None, seeds=1, failed=(), missing=()):
    """Results with the values ``tables[metric][method][image]``, on one model.

    ``failed`` and ``missing`` hold (method, image) or (method, image, seed, metric).
    """
    metrics, methods = list(tables), list(next(iter(tables.values())))
    n_images = len(tables[metrics[0]][methods[0]])
    rows = []
    for i, method, metric, seed in product(range(n_images), methods, metrics, range(seeds)):
        keys = ((method, i), (method, i, seed, metric))
        status = "ok"
        if any(key in failed for key in keys):
            status = "failed"
        if any(key in missing for key in keys):
            status = "missing"
        value = np.atleast_1d(tables[metric][method][i])
        whole = status == "ok" or keys[1] in failed
        rows.append(
            {
                **{"model": "net", "image": f"i{i}", "method": method, "metric": metric},
                **{"seed": seed, "status": status},
                "value": value[seed % len(value)] if status == "ok" else np.nan,
                "forward": 10.0 * (seed + 1) if whole else np.nan,
                "backward": 5.0 if whole else np.nan,
                "seconds": 0.5 if whole else np.nan,
            }
        )
    facts = {
        name: MetricFacts(name, name, (directions or {}).get(name, "higher")) for name in metrics
    }
    return StudyResults(
        title="Study",
        cells=pd.DataFrame(rows, columns=list(COLUMNS)),
        models=["net"],
        images=[f"i{i}" for i in range(n_images)],
        methods={name: name.upper() for name in methods},
        metrics=facts,
    )


def noisy(means, n=30, spread=0.1, seed=0):
    """Values of methods that share an image's difficulty."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=n)
    return {name: shared + mean + rng.normal(0, spread, n) for name, mean in means.items()}


def by_method(analysis, metric="gain"):
    return {each.method: each for each in analysis.standings if each.metric == metric}


def places(results, metric="gain"):
    return {name: each.place for name, each in by_method(analyze(results), metric).items()}


def test_a_clear_winner_is_best():
    results = study({"gain": noisy({"a": 0.0, "b": 1.0, "c": 0.5})})
    assert places(results) == {"a": "", "b": "best", "c": ""}


def test_less_is_better_where_the_metric_says_so():
    results = study({"loss": noisy({"a": 0.0, "b": 1.0, "c": 0.5})}, {"loss": "lower"})
    assert places(results, "loss") == {"a": "best", "b": "", "c": ""}
    ranks = [each.rank for each in analyze(results).standings]
    assert ranks[0] < ranks[2] < ranks[1]


def test_two_equal_methods_beside_a_bad_one_are_among_the_best():
    values = noisy({"a": 1.0, "b": 1.0, "bad": 0.0})
    expected = {"a": "among the best", "b": "among the best", "bad": ""}
    assert places(study({"gain": values})) == expected
    values["b"] = values["a"]
    assert places(study({"gain": values})) == expected


def test_noise_has_no_places():
    found = places(study({"gain": noisy(dict.fromkeys("abcdef", 0.0))}))
    assert set(found.values()) == {""}


def test_rounding_makes_nobody_best_and_nobody_worse():
    base = noisy({"a": 0.5})["a"]
    results = study({"gain": {"a": base, "b": base * (1 - 1e-8), "c": base - 5e-8}})
    found = by_method(analyze(results))
    assert {each.place for each in found.values()} == {""}
    assert all(each.rank == pytest.approx(2, abs=0.1) for each in found.values())


def test_too_few_images_have_no_places_however_clear_and_the_text_says_so():
    analysis = analyze(study({"gain": noisy({"a": 0.0, "b": 9.0, "c": 5.0}, n=5)}))
    assert {each.place for each in analysis.standings} == {""}
    assert "5 images cannot tell 3 methods apart" in format_leaderboard(analysis)


def test_metrics_without_direction_are_compared_and_not_ranked():
    analysis = analyze(study({"size": noisy({"a": 0.0, "b": 1.0, "c": 2.0})}, {"size": "none"}))
    assert {each.place for each in analysis.standings} == {""}
    assert np.isnan([each.rank for each in analysis.standings]).all()
    assert all(each.p_corrected < 0.05 for each in analysis.comparisons["net", "size"])
    assert analysis.agreement["net"].metrics == []


def test_two_seeds_are_averaged_and_count_as_one_image():
    tables = {"gain": {"a": [[1.0, 3.0], [2.0, 4.0]], "b": [[0.0, 0.0], [0.1, 0.1]]}}
    found = by_method(analyze(study(tables, seeds=2)))
    assert (found["a"].n, found["a"].mean) == (2, 2.5)
    assert analyze(study(tables, seeds=2)).comparisons["net", "gain"][0].n == 2


def test_seeds_that_agree_have_exactly_their_value():
    flat = {"gain": {"a": [0.1] * 4, "b": [0.1] * 4}}
    broken = [("b", i, 0, "gain") for i in range(4)]
    found = by_method(analyze(study(flat, seeds=3, failed=broken)))
    for each in found.values():
        assert (each.mean, each.low, each.high, each.rank) == (0.1, 0.1, 0.1, 1.5)
    assert found["b"].failed == 4


def test_failed_and_missing_cells_are_counted_and_noted():
    results = study(
        {"gain": noisy({"a": 0.0, "b": 1.0}, n=12), "loss": noisy({"a": 0.0, "b": 1.0}, n=12)},
        failed=[("a", 0), ("a", 1)],
        missing=[("b", 11, 0, "gain")],
    )
    analysis = analyze(results)
    a, b = by_method(analysis).values()
    assert (a.n, a.failed, a.missing) == (10, 2, 0)
    assert (b.n, b.failed, b.missing) == (11, 0, 1)
    assert a.note == "mean over 10 images, of others over up to 11"
    assert b.note == "" and a.n_ranked == b.n_ranked == 9
    assert analysis.comparisons["net", "gain"][0].n == 9
    text = format_leaderboard(analysis)
    assert "A, gain: 2 cells failed; mean over 10 images" in text
    assert "B, gain: 1 cell not computed" in text


def test_a_method_without_values_has_no_place_and_hinders_none():
    results = study(
        {"gain": noisy({"a": 0.0, "b": 1.0, "c": 0.0})}, failed=[("c", i) for i in range(30)]
    )
    analysis = analyze(results)
    found = by_method(analysis)
    assert {name: each.place for name, each in found.items()} == {"a": "", "b": "best", "c": ""}
    assert found["c"].n == 0 and math.isnan(found["c"].mean) and math.isnan(found["c"].rank)
    assert found["c"].note == "no values"
    assert math.isnan(analysis.costs[2].seconds) and analysis.costs[2].n == 0
    assert "C, gain: 30 cells failed; no values" in format_leaderboard(analysis)


def test_a_best_mean_over_easy_images_is_no_place():
    rng = np.random.default_rng(0)
    ease = np.repeat([0.0, 5.0], 15)
    values = {name: ease + mean + rng.normal(0, 0.1, 30) for name, mean in (("a", 1), ("b", 0))}
    results = study({"gain": values}, failed=[("b", i) for i in range(15)])
    found = by_method(analyze(results))
    assert found["b"].mean > found["a"].mean
    assert (found["a"].place, found["b"].place) == ("best", "")


def test_a_method_of_few_images_is_not_among_the_best_for_lack_of_evidence():
    results = study(
        {"gain": noisy({"a": 1.0, "b": 1.0, "bad": 0.0})}, failed=[("b", i) for i in range(4, 30)]
    )
    assert places(results) == {"a": "among the best", "b": "", "bad": ""}


def test_values_that_are_no_numbers_are_left_out_and_noted():
    values = noisy({"a": 0.0, "b": 1.0}, n=8)
    values["a"][:2] = [np.nan, np.inf]
    a = by_method(analyze(study({"gain": values})))["a"]
    assert (a.n, a.failed) == (6, 0)
    assert a.note.startswith("2 values that are no finite numbers")


@pytest.mark.parametrize("methods", ["a", "ab", "abc"])
def test_one_image_has_means_and_nothing_else(methods):
    analysis = analyze(study({"gain": {name: [0.5] for name in methods}}))
    for each in analysis.standings:
        assert (each.n, each.mean, each.place) == (1, 0.5, "")
        assert math.isnan(each.low) and math.isnan(each.high)
    assert "1 image." in format_leaderboard(analysis)


def test_one_method_is_not_best():
    analysis = analyze(study({"gain": noisy({"a": 1.0})}))
    assert [each.place for each in analysis.standings] == [""]
    assert analysis.comparisons["net", "gain"] == []
    assert "apart" not in format_leaderboard(analysis)


def test_constant_values_are_told_apart_by_nothing():
    analysis = analyze(study({"gain": {name: [0.3] * 12 for name in "abc"}}))
    assert {(each.place, each.low, each.rank) for each in analysis.standings} == {("", 0.3, 2.0)}
    assert analysis.friedman["net", "gain"] == 1.0
    assert "No best method is told apart by gain." in format_leaderboard(analysis)


def test_a_study_without_cells_has_nothing_to_say():
    results = study({"gain": {"a": [1.0], "b": [1.0]}})
    results.cells = results.cells.iloc[:0]
    analysis = analyze(results)
    assert [(each.n, each.place) for each in analysis.standings] == [(0, ""), (0, "")]
    assert "A " in format_leaderboard(analysis)


def test_costs_count_an_attribution_once_whatever_its_metrics():
    values = noisy({"a": 0.0, "b": 1.0}, n=3)
    # An attribution that fails has no cost; where only a metric fails, it has.
    results = study(
        {"gain": values, "loss": values},
        seeds=2,
        failed=[("a", 0), ("b", 0, 0, "gain")],
    )
    a, b = analyze(results).costs
    assert (a.n, a.forward, a.backward, a.seconds) == (4, 15.0, 5.0, 0.5)
    assert (b.n, b.forward) == (6, 15.0)


def test_agreement_is_between_metrics_with_a_direction():
    values = noisy({"a": 0.0, "b": 1.0, "c": 2.0})
    tables = {"gain": values, "loss": {name: -each for name, each in values.items()}}
    found = analyze(study(tables, {"loss": "lower"})).agreement["net"]
    assert found.metrics == ["gain", "loss"] and found.n_images == 30
    assert found.matrix == pytest.approx(np.ones((2, 2)))


def test_models_are_apart():
    one = study({"gain": noisy({"a": 0.0, "b": 1.0})})
    other = study({"gain": noisy({"a": 1.0, "b": 0.0})})
    cells = pd.concat([one.cells, other.cells.assign(model="other")])
    both = StudyResults("Both", cells, ["net", "other"], one.images, one.methods, one.metrics)
    analysis = analyze(both)
    best = [(each.model, each.method) for each in analysis.standings if each.place == "best"]
    assert best == [("net", "b"), ("other", "a")]
    assert format_leaderboard(analysis).count("method  ") == 2


def test_categories_of_names_are_names():
    results = study({"gain": noisy({"a": 0.0, "b": 1.0})})
    plain = analyze(results)
    columns = ["model", "image", "method", "metric", "status"]
    results.cells = results.cells.astype(dict.fromkeys(columns, "category"))
    again = analyze(results)
    assert again.standings == plain.standings and again.costs == plain.costs


def test_a_cell_of_an_unknown_method_is_refused():
    results = study({"gain": noisy({"a": 0.0, "b": 1.0})})
    del results.methods["b"]
    with pytest.raises(ValueError, match="of the study's methods; got method 'b'"):
        analyze(results)


def test_text_is_sorted_by_the_first_metric_that_has_a_direction():
    values = noisy({"a": 0.0, "b": 1.0, "c": 0.5})
    text = format_leaderboard(analyze(study({"size": values, "gain": values}, {"size": "none"})))
    names = [line[0] for line in text.splitlines() if line[:1] in "ABC" and "[" in line]
    assert names == ["B", "C", "A"]
    assert "gain ↑" in text and "size ↑" not in text


def test_marks_are_explained_where_they_are_used():
    best = format_leaderboard(analyze(study({"gain": noisy({"a": 0.0, "b": 1.0})})))
    assert "] *" in best and "* best" in best and "+ among" not in best
    shared = format_leaderboard(analyze(study({"gain": noisy({"a": 1.0, "b": 1.0, "c": 0.0})})))
    assert shared.count("] +") == 2 and "+ among" in shared and "* best" not in shared


def test_five_metrics_fit_the_width():
    values = noisy({f"some_method_of_length_{i}": i / 10 for i in range(6)})
    names = ("insertion", "deletion", "infidelity", "sensitivity", "sparseness")
    text = format_leaderboard(analyze(study(dict.fromkeys(names, values))))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert all(name in text for name in (*names, "forward", "backward", "seconds"))


def test_an_outlier_of_one_method_hides_no_difference_of_others():
    values = noisy({"a": 0.1, "b": 0.2}, n=20, spread=0.01)
    results = study({"gain": {**values, "c": [1e6, *np.zeros(19)]}})
    pair = analyze(results).comparisons["net", "gain"][0]
    assert pair.difference == pytest.approx(-0.1, abs=0.02)
    assert pair.p_corrected < 0.05
    assert by_method(analyze(results))["a"].rank > by_method(analyze(results))["b"].rank


def test_who_is_worse_than_another_is_not_among_the_best():
    rng = np.random.default_rng(0)
    second = rng.normal(0.562, 0.05, 15)
    values = {
        "noisy": rng.permutation(np.linspace(0.1, 1.1, 15)),
        "second": second,
        "third": second - 0.06 + rng.normal(0, 0.01, 15),
        "bad": second - 0.5,
    }
    found = by_method(analyze(study({"gain": values})))
    assert found["noisy"].place == found["second"].place == "among the best"
    assert found["third"].place == ""
