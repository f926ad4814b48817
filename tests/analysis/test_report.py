"""The report of a study: one file, safe to open, that claims no more than the statistics do."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import captum_ext.analysis.report as report_package
from captum_ext.analysis.leaderboard import analyze
from captum_ext.analysis.report import render, write_report
from captum_ext.analysis.report.cost import scatters_of
from captum_ext.analysis.report.failures import MOST_FAILURES, failures_of
from captum_ext.analysis.report.gallery import gallery_of
from captum_ext.analysis.report.labels import Box, place_labels
from captum_ext.analysis.report.summary import summary_of
from tests.analysis.example_results import example_results

HOSTILE = "<script>alert(1)</script>"
CLOSING = "</script><img src=x onerror=alert(2)>"
#: Attributes whose value a browser may load.
LOADED = {"src", "href", "xlink:href", "srcset", "action", "formaction", "data", "poster", "style"}


class Page(HTMLParser):
    """The elements of a page, and its text outside of scripts and styles."""

    def __init__(self, content):
        super().__init__()
        self.elements, self.words, self.inside = [], [], ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if not self.inside:
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def of(self, tag, **attributes):
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]


@pytest.fixture(scope="module")
def results():
    return example_results(shown=2, failed=[("xrai", 1)], missing=5)


@pytest.fixture(scope="module")
def content(results):
    return render(results)


@pytest.fixture(scope="module")
def hostile():
    found = example_results(
        methods=[HOSTILE, "grad_cam", "rise"],
        images=[CLOSING, "b"],
        metrics=["srg", HOSTILE],
        models=[CLOSING, "net"],
        failed=[("grad_cam", 0)],
        shown=2,
    )
    found.title = CLOSING
    failed = found.cells["status"] == "failed"
    found.cells.loc[failed, ["error", "traceback"]] = [HOSTILE, CLOSING]
    found.cells.loc[found.cells["status"] == "ok", "remark"] = HOSTILE
    found.settings[HOSTILE] = [{CLOSING: HOSTILE}]
    found.versions[HOSTILE] = CLOSING
    return found


def test_nothing_outside_the_file_is_referred_to(content):
    for tag, attributes in Page(content).elements:
        for name in LOADED & set(attributes):
            assert attributes[name].startswith(("data:", "#")), (tag, name)
    assert "@import" not in content and "url(" not in content
    assert not re.search(r"https?://|\b(?:fetch|XMLHttpRequest|import)\s*\(", content)


def test_the_policy_allows_only_what_is_in_the_file(content):
    (policy,) = Page(content).of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy["content"]


def test_hostile_names_are_shown_and_add_no_element(hostile):
    page, harmless = Page(render(hostile)), Page(render(example_results(methods=3)))
    assert len(page.of("script")) == len(harmless.of("script")) == 1
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.of("img"))
    assert page.text.count(HOSTILE) > 10 and page.text.count(CLOSING) > 10


def test_the_head_counts_what_was_compared(content):
    facts = re.findall(r"<div><dt>(\w+)</dt><dd>([\d,]+)</dd></div>", content)
    assert facts == [
        *(("model", "1"), ("images", "15"), ("methods", "14")),
        *(("metrics", "4"), ("seed", "1"), ("cells", "840")),
    ]


def test_an_incomplete_study_says_so(content):
    text = Page(content).text
    assert "This study is incomplete: 5 of 840 cells are missing, not computed yet." in text
    assert "4 of 840 cells failed" in text


def test_a_complete_study_has_no_warning():
    assert not Page(render(example_results(methods=3))).of("p", **{"class": "warning"})


def marks_of(results):
    page = Page(render(results))
    return {
        place: len(page.of("span", **{"aria-label": place})) for place in ("best", "among the best")
    }


def test_the_marks_are_those_of_the_statistics(results):
    places = [each.place for each in analyze(results).standings]
    found = marks_of(results)
    assert found == {place: places.count(place) for place in found}
    assert found["among the best"]


def test_there_is_no_winner_where_nothing_tells_them_apart():
    noisy = example_results(methods=5, images=6, metrics=["srg"], noise=0.5)
    assert marks_of(noisy) == {"best": 0, "among the best": 0}
    (finding,) = summary_of(noisy, analyze(noisy)).findings
    assert finding.verdict == "alike" and finding.text.startswith("No winner")
    page = Page(render(noisy))
    assert not page.of("b") and not page.of("strong")
    assert "No method is marked" in page.text


def test_a_winner_is_named():
    clear = example_results(methods=["xrai", "random", "saliency"], images=20, metrics=["srg"])
    (finding,) = summary_of(clear, analyze(clear)).findings
    assert finding.text == "XRAI is best: better than each other method."
    assert marks_of(clear)["best"] == 1


def test_a_failed_attribution_is_one_entry():
    results = example_results(failed=[("xrai", 1), ("xrai", 3), ("rise", 0)])
    found = failures_of(results)
    assert [(each.method, each.metrics, each.images) for each in found.shown] == [
        ("XRAI", "all", "picture_001 and picture_003"),
        ("RISE", "all", "picture_000"),
    ]
    assert found.cells == 12 and not found.left_out


def test_a_failed_metric_is_named():
    results = example_results(methods=2, images=2)
    results.cells.loc[2, ["status", "error"]] = ["failed", "no curve"]
    (failure,) = failures_of(results).shown
    assert (failure.metrics, failure.images, failure.count) == ("Insertion", "picture_000", 1)


def test_thousands_of_failures_are_capped_and_counted():
    results = example_results(methods=2, images=300, metrics=["srg"])
    results.cells["status"] = "failed"
    results.cells["error"] = [f"error {i}" for i in range(600)]
    found = failures_of(results)
    assert len(found.shown) == MOST_FAILURES and found.left_out == 600 - MOST_FAILURES
    assert "400 more are left out here" in Page(render(results)).text


def test_the_front_is_what_no_cheaper_method_beats():
    results = example_results(noise=0.001)
    by_passes = scatters_of(results, analyze(results))[0]
    front = [point.title for point in by_passes.points if point.front]
    assert front == ["Grad-CAM", "XRAI", "RISE"]
    assert by_passes.left_out == ["Random attribution"]


def test_labels_cover_neither_each_other_nor_points():
    points = [(100.0 + 20 * i, 100.0 + 15 * (i % 3)) for i in range(12)]
    texts = [f"method number {i}" for i in range(12)]
    labels = place_labels(points, texts, Box(0, 0, 760, 400))
    boxes = []
    for label, text in zip(labels, texts, strict=True):
        if label is not None:
            width = 6.4 * len(text)
            left = label.x - {"start": 0, "middle": width / 2, "end": width}[label.anchor]
            boxes.append(Box(left + 0.1, label.y - 6.9, left + width - 0.1, label.y + 6.9))
    assert len(boxes) >= 10
    dots = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in [*boxes[:i], *dots])


def test_the_gallery_says_why_a_map_is_absent_and_how_much_it_shows(results):
    gallery = gallery_of(results)
    assert (gallery.shown, gallery.total) == (2, 15)
    reasons = {each.title: each.reason for each in gallery.plates[1].maps}
    assert reasons["XRAI"] == "failed: the model has no layer 'features'"
    assert reasons["RISE"] == ""
    assert gallery_of(results, most_bytes=0).shown == 1


def test_maps_that_no_seed_changes_are_shown_once():
    results = example_results(methods=2, images=1, seeds=2, shown=1)
    first = ("resnet50", "picture_000", "integrated_gradients", 0)
    results.maps[(*first[:3], 1)] = results.maps[first]
    of_method = results.cells["method"] == "integrated_gradients"
    results.cells.loc[of_method, "value"] = 0.5
    maps = gallery_of(results).plates[0].maps
    assert [(each.title, each.seed) for each in maps] == [
        ("Integrated Gradients", ""),
        ("Guided Integrated Gradients", "0"),
        ("Guided Integrated Gradients", "1"),
    ]


@pytest.mark.parametrize(
    "study",
    [
        {"methods": 1, "images": 1},
        {"methods": 2, "images": 2, "failed": [("guided_ig", 0), ("guided_ig", 1)]},
        {"methods": 1, "images": 2, "failed": [("integrated_gradients", i) for i in range(2)]},
        {"methods": 3, "images": 4, "metrics": ["gini"]},
        {"methods": 3, "images": 4, "missing": 48, "shown": 1},
        {"methods": 3, "images": 4, "models": ["a", "b"], "seeds": 2, "shown": 2},
        {"methods": 3, "images": 4, "noise": 0.0},
    ],
    ids=["one", "a method failed", "all failed", "no direction", "missing", "models", "equal"],
)
def test_each_kind_of_study_has_a_report(study):
    page = Page(render(example_results(**study)))
    assert page.text.count("nan") == 0
    assert len(page.of("section")) == 9


def test_values_may_be_equal_or_infinite():
    results = example_results(methods=3, images=4, metrics=["srg"])
    results.cells["value"] = 0.25
    results.cells.loc[0, "value"] = float("inf")
    assert "0.250" in render(results)


def test_the_file_stays_small_with_many_images(tmp_path):
    few, many = (example_results(methods=5, images=n, metrics=["srg"]) for n in (100, 1000))
    for name, results in (("few", few), ("many", many)):
        write_report(results, tmp_path / name)
    sizes = [(tmp_path / name).stat().st_size for name in ("few", "many")]
    # The settings list the images, up to a number.
    assert sizes[1] < sizes[0] + 20_000


def test_a_name_that_is_no_utf8_is_written(tmp_path):
    results = example_results(methods=1, images=1)
    results.title = "\udcff.png"
    write_report(results, str(tmp_path / "report.html"))
    assert "\\udcff.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_plain_columns_do_as_well_as_categories():
    results = example_results(methods=3, images=4, shown=1)
    before = render(results)
    for name in ("model", "image", "method", "metric"):
        results.cells[name] = pd.Series(results.cells[name].astype(str), dtype=object)
    assert render(results) == before


def test_every_file_of_the_page_is_of_a_kind_that_is_packaged():
    folder = Path(report_package.__file__).parent
    kinds = {"".join(file.suffixes) for file in folder.iterdir() if file.is_file()}
    assert kinds <= {".py", ".html.j2", ".css", ".js"}
