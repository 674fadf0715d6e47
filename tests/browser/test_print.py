"""Printing the page: nothing is folded or cut, on A4 and Letter."""

import io
import itertools
import re

import pytest

pytestmark = pytest.mark.browser

FORMATS = {"A4": 595.9, "Letter": 612}
"""Widths in points."""


def printed(page, format, **options):
    """The pages of the PDF as lists of (text, x, font size)."""
    pypdf = pytest.importorskip("pypdf", reason="needs pypdf: tox run -e browser")
    pages = []
    for each in pypdf.PdfReader(io.BytesIO(page.pdf(format=format, **options))).pages:
        parts = []
        each.extract_text(visitor_text=lambda text, cm, tm, font, size, parts=parts: parts.append((text, tm, cm, size)))
        pages.append((each.extract_text(), parts))
    return pages


def words(text):
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("store", ["many", "few"])
def test_every_word_is_printed(request, visit, store, format):
    page = visit(request.getfixturevalue(store))
    parts = ", ".join(f"details:not(.menu) {each}" for each in ("summary", "h4", "th", "td", "dt", "dd", "p", "li"))
    folded = page.locator(parts).all_text_contents()
    assert any("adapt" in each.lower() for each in folded)
    head = page.locator(".board").first.locator("thead th:visible").last.text_content()
    cells = page.locator(".board tbody tr:visible td:last-of-type:visible").all_inner_texts()
    pdf = words("".join(text for text, _ in printed(page, format)))
    assert pdf.count(words(head)) > 1 or store == "few"  # the head of a long table is repeated
    for part in [*folded, head, *cells]:
        assert all(word in pdf for word in part.split()), part


@pytest.mark.parametrize("format", FORMATS)
def test_last_column_is_inside_the_page(visit, many, format):
    page = visit(many)
    for _, parts in printed(page, format):
        for text, tm, cm, _ in parts:
            if text.strip():
                x = tm[4] * cm[0] + cm[4]
                assert x < FORMATS[format] - 20, text


def test_all_columns_and_many_classes_fit(visit, many):
    page = visit(many)
    details = page.locator('.menu[data-facet="cols"]').first
    details.locator("summary").click()
    for box in details.locator("input").all():
        box.check()
    pdf = words("".join(text for text, _ in printed(page, "A4")))
    for cell in page.locator(".board tbody tr").first.locator("td").all_inner_texts():
        assert words(cell) in pdf


def test_tables_of_more_classes_than_a_page_is_wide_are_printed(visit, many, tmp_path):
    head = "".join(f'<th scope="col" class="number">kind {index}</th>' for index in range(150))
    row = "".join(f'<td class="number">{index}.25</td>' for index in range(150))
    table = (
        f'<thead><tr><th scope="col">Name</th>{head}</tr></thead><tbody><tr><th scope="row">wide</th>{row}</tr></tbody>'
    )
    pattern = re.compile(r'(<table class="sortable heat">).*?(</table>)', re.DOTALL)
    path = tmp_path / "wide.html"
    path.write_text(pattern.sub(rf"\1{table}\2", many.read_text(encoding="utf-8")), encoding="utf-8")
    pages = printed(visit(path), "A4")
    pdf = words("".join(text for text, _ in pages))
    assert all(f"kind{index}{index}.25" in pdf for index in range(150))
    assert max(tm[4] * cm[0] + cm[4] for _, parts in pages for text, tm, cm, _ in parts if text.strip()) < 580


def test_headings_are_not_orphaned(visit, many):
    page = visit(many)
    titles = page.locator("h2, h3, h4").all_inner_texts()
    for text, _ in printed(page, "A4"):
        last = [line.strip() for line in text.splitlines() if line.strip()][-1:]
        assert not set(last) & set(titles)


@pytest.mark.parametrize("store", ["committed", "extreme"])
@pytest.mark.parametrize("format", FORMATS)
def test_legends_are_printed_with_the_first_pictures(request, visit, store, format):
    page = visit(request.getfixturevalue(store))
    grid = page.locator(".predictions:has(.legend)").first
    parts = [*grid.locator(".legend li").all_inner_texts(), grid.locator("h4").first.inner_text()]
    parts.append(grid.locator(".scene figcaption").first.inner_text())
    pages = [words(text) for text, _ in printed(page, format)]
    with_legend = next(text for text in pages if words(parts[-2]) in text)
    rest = with_legend.partition("Predictions")[2]
    assert all(words(part) in rest for part in parts), parts


@pytest.mark.parametrize("format", FORMATS)
def test_logs_and_seeds_do_not_shrink_the_print(visit, extreme, format):
    page = visit(extreme)
    pages = printed(page, format)
    sizes = {}
    for _, parts in pages:
        for text, tm, cm, size in parts:
            for what in ("xxxxxxxx", "Traceback", "61.77"):
                if what in text:
                    sizes.setdefault(what, []).append(size * abs(tm[0] * cm[0]))
    assert len(sizes) == 3
    assert min(itertools.chain(*sizes.values())) > 6.5
    for _, parts in pages:
        for text, tm, cm, _ in parts:
            if text.strip():
                assert tm[4] * cm[0] + cm[4] < FORMATS[format] - 20, text


def test_heads_of_tables_are_printed_with_a_row(visit, compared):
    page = visit(compared)
    for offset in range(0, 300, 15):  # less than a row is high: one of them has a head at the end of a page
        page.evaluate("offset => { document.querySelector('main').style.paddingTop = `${offset}px`; }", offset)
        for text, _ in printed(page, "A4"):
            assert not text.rstrip().endswith("Class Base New Change Interval"), offset


def test_screen_is_as_before_after_printing(visit, many):
    page = visit(many)
    before = page.locator("details[open]").count(), page.locator("svg.plot").first.get_attribute("viewBox")
    page.pdf(format="A4")
    assert (page.locator("details[open]").count(), page.locator("svg.plot").first.get_attribute("viewBox")) == before
