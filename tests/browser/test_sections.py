"""Sections of architectures, methods and history in Debian's Chromium."""

import io
import json
import re

import pytest

from benchmark.cli import main
from benchmark.reporting.confusion import confusion
from benchmark.reporting.report import make
from benchmark.results.store import Store

pytestmark = pytest.mark.browser

PERMITTED = {"permissions": ["clipboard-read", "clipboard-write"]}


@pytest.fixture(scope="module")
def versions(tmp_path_factory, make_record):
    """The report of three versions of the code, of which the last lost accuracy, and the comparison of two of them."""
    folder = tmp_path_factory.mktemp("versions")
    store = Store(folder / "results")
    for version, quality in ((1, 0.8), (2, 0.8), (3, 0.4)):
        for seed in range(3):
            more = {"digest_of_code": f"{version}" * 64, "version": f"0.{version}.0"}
            for name, each in (("enet", quality), ("unet", 0.7)):
                started = f"2025-0{version}-01T00:00:00+00:00"
                store.add(*make_record(name, seed, each + seed / 1000, started=started, **more))
    report = make(store.root, folder / "reports")
    report.write()
    comparison = folder / "reports" / "compare.html"
    assert main(["compare", "0.2.0", "0.3.0", "--results", str(store.root), "--page", str(comparison)]) == 1
    return report.page, comparison


def test_a_link_opens_the_section_of_an_architecture(visit, few):
    page = visit(few, hash="#arch-enet")
    section = page.locator("details#arch-enet")
    assert section.evaluate("each => each.open")
    assert abs(section.bounding_box()["y"]) < 60
    assert not page.locator("details#arch-pspnet_r50-d8").evaluate("each => each.open")


def test_bibtex_and_methods_are_copied(visit, few):
    page = visit(few, hash="#arch-pspnet_r50-d8", **PERMITTED)
    button = page.locator("#arch-pspnet_r50-d8 button.copy")
    button.click()
    page.locator("#arch-pspnet_r50-d8 button.copy", has_text="Copied").first.wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("@inproceedings{zhao2017pspnet,")
    assert copied.count("{") == copied.count("}")
    page.locator("#methods button.copy").first.click()
    page.locator("#methods button.copy", has_text="Copied").first.wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("We trained ")


def test_text_is_copied_where_the_clipboard_is_not_allowed(visit, few):
    page = visit(few, hash="#arch-pspnet_r50-d8", **PERMITTED)
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')))")
    page.locator("#arch-pspnet_r50-d8 button.copy").click()
    page.locator("#arch-pspnet_r50-d8 button.copy", has_text="Copied").first.wait_for()
    assert "zhao2017pspnet" in page.evaluate("navigator.clipboard.readText()")


def test_the_matrix_is_in_percent_and_in_pixels_on_demand(visit, few):
    page = visit(few, hash="#arch-enet")
    section = page.locator("#arch-enet")
    box = section.locator(".matrix").first
    counts = [[int(each) for each in row.split(" ")] for row in box.get_attribute("data-counts").split(",")]
    classes = json.loads(box.get_attribute("data-classes"))
    assert box.locator("thead th").all_inner_texts() == classes
    assert box.locator("tbody th").all_inner_texts() == classes[: len(counts)]
    cells = box.locator("tbody tr").first.locator("td")
    shares = [float(each.replace("<", "")) for each in cells.all_inner_texts()]
    assert shares == pytest.approx([100 * each / sum(counts[0]) for each in counts[0]], abs=0.11)
    section.locator("input.show-pixels").first.check()
    assert [int(each.replace(",", "")) for each in cells.all_inner_texts()] == counts[0]
    section.locator("input.show-pixels").first.uncheck()
    assert float(cells.first.inner_text()) == shares[0]


def test_a_cell_of_a_heat_map_shows_its_classes_and_share(visit, filled, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.reporting.confusion.READABLE", 3)
    report = make(filled.root, tmp_path / "reports")
    report.write()
    page = visit(report.page, "#arch-pspnet_r50-d8", has_touch=True)
    box = page.locator("#arch-pspnet_r50-d8 .heat-map")
    picture, shown = box.locator("img"), box.locator("output")
    picture.scroll_into_view_if_needed()
    size = picture.bounding_box()
    stored, _ = filled.scan()
    found = confusion(each for each in stored if each.record.architecture == "pspnet_r50-d8")
    for row, truth in enumerate(found.truths):
        for column, predicted in enumerate(found.predictions):
            at = {"x": size["width"] * (column + 0.5) / 5, "y": size["height"] * (row + 0.5) / 4}
            picture.hover(position=at) if row % 2 else picture.tap(position=at)
            text = shown.inner_text()
            assert text.startswith(f"{truth} predicted as {predicted}: ")
            numbers = list(map(float, re.findall(r"[\d.]+(?= (?:to|%))", text)))
            percent = found.percent[row, column]
            if "more than" in text:
                assert percent > numbers[0]
            elif "up to" in text:
                assert 0 < percent <= numbers[0]
            elif "no pixel" in text:
                assert percent == 0
            else:
                assert numbers[0] < percent <= numbers[1]


def test_predictions_of_a_section_are_those_of_the_grid(visit, few):
    page = visit(few, hash="#arch-enet")
    copies = page.locator("#arch-enet .copies").first.locator("img")
    sources = copies.evaluate_all("all => all.map(each => each.src)")
    grid = page.locator(".scene:not(.copies) figure", has=page.locator('img[alt^="enet, "]')).locator("img")
    assert sources == grid.evaluate_all("all => all.map(each => each.src)")[: len(sources)]
    assert len(sources) == 2
    assert "test_001" in page.locator("#arch-enet figcaption", has_text="Test image").first.inner_text()


def test_errors_are_shown_on_demand(visit, tmp_path, filled):
    report = make(filled.root, tmp_path / "reports", photographs=True)
    report.write()
    page = visit(report.page)
    errors = page.locator("svg.errors").first
    assert not errors.is_visible()
    page.locator("input.show-errors").first.check()
    assert errors.is_visible()
    assert errors.bounding_box() == pytest.approx(
        page.locator(".layers img.small, .layers img").nth(2).bounding_box(), abs=1
    )


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark"), (2560, "light")])
def test_history_and_comparison_are_accessible(visit, versions, compared, small_text, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: tox run -e browser")
    for path in (*versions, compared):
        page = visit(path, width=width, color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details:not(.menu)').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert small_text(page) == []
        assert [each["id"] for each in axe.Axe().run(page).response["violations"]] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_comparison_is_wholly_in_sight(visit, versions, compared, width):
    for path in (versions[1], compared):
        page = visit(path, width=width)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.locator(".scroll").count() >= 2
        wide = "all => all.filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.ariaLabel)"
        assert page.locator(".scroll").evaluate_all(wide) == []
        for link in page.locator("td a").all():
            box = link.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        if width == 360:
            labels = "all => all.map(each => getComputedStyle(each, '::before').content)"
            assert not {"none", "normal", '""'} & set(page.locator(".scroll td").evaluate_all(labels))


def test_equal_protocols_of_a_comparison_have_distinct_titles(visit, compared):
    titles = visit(compared).locator("section[aria-labelledby^=protocol] h2").all_inner_texts()
    assert titles == ["shapes_64x64_smoke", "shapes_64x64_smoke (void: false_positive)"]


def test_steps_are_marked_and_link_to_the_architecture(visit, versions):
    page = visit(versions[0])
    assert page.locator("#history .step.worse").count() == 1
    page.locator("#history td, #history th").locator("a", has_text="enet").first.click()
    assert page.locator("#arch-enet").evaluate("each => each.open")


def test_everything_folded_of_a_comparison_is_printed(visit, versions):
    pypdf = pytest.importorskip("pypdf", reason="needs pypdf: tox run -e browser")
    page = visit(versions[1])
    folded = page.locator("details:not([open])").all_text_contents()
    assert folded
    pdf = "".join(each.extract_text() for each in pypdf.PdfReader(io.BytesIO(page.pdf(format="A4"))).pages)
    pdf = re.sub(r"\s+", "", pdf)
    for word in " ".join(folded).split():
        assert word in pdf


def test_matrices_are_printed(visit, few):
    pypdf = pytest.importorskip("pypdf", reason="needs pypdf: tox run -e browser")
    page = visit(few)
    pdf = "".join(each.extract_text() for each in pypdf.PdfReader(io.BytesIO(page.pdf(format="A4"))).pages)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    cells = page.locator("#arch-enet .matrix td.right").all_text_contents()
    assert len(cells) >= 4
    assert all(cell in pdf for cell in cells)
