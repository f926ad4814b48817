"""The report in a browser: it opens without errors, and what moves in it moves rightly."""

import shutil

import pytest

from captum_ext.analysis.report import write_report
from tests.analysis.example_results import example_results

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("needs chromium and chromedriver", allow_module_level=True)

HOSTILE = "<script>window.hurt = 1</script>"
IMAGE = "<img src=x onerror='window.hurt = 2'>"
CLOSING = "</script><script>window.hurt = 3</script>"
SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = Options()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    results = example_results(
        methods=["saliency", "xrai", "rise", "random", "guided_ig", HOSTILE],
        images=[*(f"picture_{i}" for i in range(10)), IMAGE],
        models=["resnet50", "vit_b_16"],
        failed=[("random", i) for i in range(11)],
        seeds=2,
        shown=2,
    )
    results.title = CLOSING
    results.cells.loc[results.cells["status"] == "failed", "error"] = IMAGE
    write_report(results, folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.fixture
def page(browser, address):
    browser.set_window_size(1400, 900)
    browser.get(address)
    return browser


@pytest.fixture
def all_models(page):
    Select(page.find_element("css selector", "[data-filter-model]")).select_by_value("")
    return page


def column(page, number):
    """The values of a column of the leaderboard as it is shown, top to bottom."""
    return page.execute_script(
        "return [...document.querySelectorAll('#board tbody tr')].filter(row => !row.hidden)"
        ".map(row => row.cells[arguments[0]].dataset.value)",
        number,
    )


def header(page, number):
    """The button over a column: Method, Model, then Mean and Rank of each metric."""
    first, second, *rest = page.find_elements("css selector", "#board thead th[aria-sort]")
    behind, within = rest[:3], rest[3:]
    return [first, second, *within, *behind][number]


def shown(page, section):
    """The panels of a section that can be seen."""
    panels = page.find_elements("css selector", f"#{section} figure.panel")
    return [panel for panel in panels if panel.is_displayed()]


def test_it_opens_without_an_error(page):
    assert page.get_log("browser") == []
    assert page.title == CLOSING


def test_hostile_names_are_inert(page):
    assert page.execute_script("return window.hurt === undefined")
    assert HOSTILE in page.find_element("id", "board").text
    assert IMAGE in page.find_element("id", "failures").text
    assert page.find_element("css selector", "h1").text == CLOSING


def test_it_is_sorted_by_the_first_metric_best_first(page):
    values = [float(value) for value in column(page, 2) if value]
    assert values == sorted(values, reverse=True) and len(values) == 5
    assert set(column(page, 1)) == {"resnet50"}
    assert header(page, 2).get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize(("number", "best_first"), [(2, "descending"), (4, "ascending")])
def test_a_click_sorts_numbers_and_what_is_missing_comes_last(all_models, number, best_first):
    page = all_models
    header(page, 0).find_element("tag name", "button").click()
    opposite = {"descending": "ascending", "ascending": "descending"}
    for order in (best_first, opposite[best_first]):
        header(page, number).find_element("tag name", "button").click()
        values = column(page, number)
        assert values[-2:] == ["", ""]
        numbers = [float(value) for value in values[:-2]]
        assert numbers == sorted(numbers, reverse=order == "descending")
        assert header(page, number).get_attribute("aria-sort") == order
        sorted_headers = page.find_elements("css selector", "th[aria-sort$='scending']")
        assert len(sorted_headers) == 1


def test_passes_are_sorted_as_numbers_by_the_keyboard(page):
    header(page, 10).find_element("tag name", "button").send_keys(Keys.ENTER)
    values = [float(value) for value in column(page, 10) if value]
    assert values == sorted(values)
    assert values[0] < 10 and values[-1] > 1000


def test_a_filter_hides_rows(all_models):
    page = all_models
    box = page.find_element("css selector", "input[data-filter='board']")
    box.send_keys("xra")
    assert column(page, 0) == ["XRAI", "XRAI"]
    Select(page.find_element("css selector", "[data-filter-model]")).select_by_value("vit_b_16")
    assert column(page, 1) == ["vit_b_16"]
    assert page.find_element("css selector", "output").text == "1 of 12 rows"
    box.send_keys(Keys.BACKSPACE * 3)
    assert len(column(page, 1)) == 6


def test_a_choice_of_metric_and_model_changes_every_chart(page):
    sections = ("comparisons", "cost", "distributions")
    for section in sections:
        (panel,) = shown(page, section)
        assert panel.find_element("tag name", "figcaption").text.startswith("SRG, resnet50")
    for name, value in (("metric", "deletion"), ("model", "vit_b_16"), ("cost", "seconds")):
        choice = page.find_element("css selector", f"#cost [data-choice='{name}']")
        Select(choice).select_by_value(value)
    for section in sections:
        (panel,) = shown(page, section)
        assert panel.find_element("tag name", "figcaption").text.startswith("Deletion, vit_b_16")
    assert "Seconds" in shown(page, "cost")[0].text


def test_the_gallery_goes_to_the_next_image_and_another_seed(page):
    def plates():
        found = page.find_elements("css selector", "#plates > article")
        return [plate.get_attribute("data-image") for plate in found if plate.is_displayed()]

    assert plates() == ["picture_0"]
    page.find_element("css selector", "button[data-step='1']").click()
    assert plates() == ["picture_1"]
    Select(page.find_element("css selector", "[data-choice='seed']")).select_by_value("1")
    maps = page.find_elements("css selector", "#plates li[data-seed]")
    assert {each.get_attribute("data-seed") for each in maps if each.is_displayed()} == {"1"}
    box = page.find_element("css selector", "input[data-filter='plates']")
    box.send_keys("rise")
    named = page.find_elements("css selector", "#plates li[data-text]")
    assert [each.get_attribute("data-text") for each in named if each.is_displayed()] == ["RISE"]


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_does_not_scroll_sideways(page, width):
    # A window cannot be as narrow as a phone, a screen that is emulated can.
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
        wide, inner = page.execute_script(
            "return [document.documentElement.scrollWidth, window.innerWidth]"
        )
        assert inner == width and wide <= width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
