"""The page in Debian's Chromium: `tox run -e browser`."""

import csv
import io
import itertools
import json
import re
import shutil
import subprocess

import pytest

from benchmark.reporting.latex import escaped, unbroken
from benchmark.reporting.report import make
from benchmark.results.store import Store

pytestmark = pytest.mark.browser

WIDTHS = (360, 1280, 2560)

OPEN = "document.querySelectorAll('details:not(.menu)').forEach(each => each.open = true)"

SCROLLED = """selector => [...document.querySelectorAll(selector)]
  .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.ariaLabel)"""

BOXES = """selector => [...document.querySelectorAll(selector)].map(each => {
  const box = each.getBoundingClientRect();
  return [each.textContent, box.left, box.top, box.right, box.bottom];
})"""


def names(page):
    return page.locator(".board").first.locator("tbody tr:visible th").all_inner_texts()


def count(page):
    return page.locator("output").first.inner_text()


def menu(page, facet):
    details = page.locator(f'.menu[data-facet="{facet}"]').first
    if not details.evaluate("each => each.open"):
        details.locator("summary").click()
    return details


def choose(page, facet, *labels):
    details = menu(page, facet)
    for label in labels:
        details.get_by_label(label, exact=True).click()
    page.keyboard.press("Escape")


def board_data(page):
    return page.evaluate("JSON.parse(document.getElementById('data').textContent).boards[0]")


def exported(page, kind):
    page.locator(".menu", has_text="Export").first.locator("summary").click()
    with page.expect_download() as download:
        page.locator(f'[data-export="{kind}"]').first.click()
    page.keyboard.press("Escape")
    assert download.value.suggested_filename.endswith(f".{kind}")
    return download.value.path().read_text(encoding="utf-8")


def run_axe(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: tox run -e browser")
    found = axe.Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found]


@pytest.mark.parametrize(("width", "scheme"), [*itertools.product(WIDTHS, ("light", "dark"))])
@pytest.mark.parametrize("store", ["many", "few", "extreme"])
def test_is_legible_and_accessible_at_every_width(request, visit, store, width, scheme, small_text):
    page = visit(request.getfixturevalue(store), width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert small_text(page) == []
    page.evaluate(OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert small_text(page) == []
    assert run_axe(page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_committed_report_is_no_wider_than_the_screen(visit, committed, width, small_text):
    page = visit(committed, width=width)
    page.evaluate(OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert small_text(page) == []
    assert page.evaluate(SCROLLED, "#architectures .scroll, #verdicts .scroll, #published-weights .scroll") == []


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("store", ["few", "extreme"])
def test_static_plots_are_legible_without_javascript(request, visit, store, width, small_text):
    page = visit(request.getfixturevalue(store), width=width, java_script_enabled=False)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert small_text(page) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_many_seeds_push_no_column_out(visit, extreme, width):
    page = visit(extreme, width=width)
    assert page.evaluate(SCROLLED, ".scroll:has(.board)") == []
    seeds = page.locator(".board td.seeds", has_text=str(2**100))
    links = seeds.locator("a")
    assert links.all_inner_texts() == list(map(str, [*range(26), 2**100]))
    cell = seeds.bounding_box()
    for box in (each.bounding_box() for each in links.all()):
        assert cell["x"] <= box["x"] + 1
        assert box["x"] + box["width"] <= cell["x"] + cell["width"] + 1


@pytest.mark.parametrize("width", [700, 1280])
def test_columns_of_failed_runs_alone_do_not_overlap(visit, extreme, width):
    page = visit(extreme, width=width)
    table = page.locator(".board").first
    assert table.locator("tbody tr:visible .status").all_inner_texts() == ["failed"]
    assert table.locator("thead th:visible").first.inner_text().startswith("Architecture")
    table.evaluate("each => { each.parentElement.scrollTo(500, 0); }")
    for row in ("thead tr", "tbody tr:visible"):
        first, second = (table.locator(row).first.locator(":scope > :visible").nth(index) for index in (0, 1))
        assert first.evaluate("each => each.scrollWidth <= each.clientWidth")
        assert first.bounding_box()["width"] > 120
        assert second.evaluate("each => getComputedStyle(each).left") == "auto"  # it does not stay over the first


def test_equal_protocols_have_distinct_titles(visit, extreme):
    page = visit(extreme)
    titles = page.locator("main > section[aria-labelledby] > h2").all_inner_texts()
    assert len(set(titles)) == len(titles)
    assert "camvid_360x480_scratch (void: false_positive)" in titles
    links = page.locator("nav a").all_inner_texts()
    assert links[:2] == titles[:2]
    for each in page.locator("nav a").all():
        assert page.locator(each.get_attribute("href")).count() == 1
    labels = page.locator("[role=region]").evaluate_all("all => all.map(each => each.ariaLabel)")
    assert len(set(labels)) == len(labels)


def test_sizes_of_stages_are_read_on_a_phone(visit, committed):
    page = visit(committed, width=360)
    page.evaluate(OPEN)
    row = page.locator(".architecture .stages tbody tr").first
    for label, unit in (("Params", "K"), ("MACs", "M")):
        cell = row.locator(f"td[data-label^={label}]")
        assert cell.is_visible()
        assert cell.get_attribute("data-label") == f"{label} {unit}, share"
        assert re.fullmatch(r"\d+\.\d\s+\d+\.\d %", cell.inner_text())
        box = cell.bounding_box()
        assert 0 < box["x"] < box["x"] + box["width"] <= 360


def test_card_and_menus_are_accessible_on_a_phone_too(visit, many, small_text):
    page = visit(many, width=360)
    menu(page, "cols")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert run_axe(page) == []
    page.keyboard.press("Escape")
    page.locator(".board th a").first.click()
    assert page.locator("#card").is_visible()
    assert small_text(page) == []
    assert run_axe(page) == []


def test_text_filter(visit, many):
    page = visit(many)
    everything = names(page)
    page.get_by_label("Filter by text").first.fill("R50 psp")
    assert names(page) == [name for name in everything if "r50" in name and "psp" in name] != []
    assert count(page).startswith(f"{len(names(page))} of")
    page.locator("button[type=reset]").first.click()
    assert names(page) == everything


def test_facets(visit, many):
    page = visit(many)
    rows = board_data(page)["rows"]
    choose(page, "backbone", "VGG-16", "ResNet-101")
    expected = [row["name"] for row in rows if row["backbone"] in ("VGG-16", "ResNet-101")]
    assert names(page) == expected != []
    choose(page, "method", "fcn")
    assert names(page) == [name for name in expected if name.startswith("fcn")] != []


def test_rows_that_were_not_run_are_a_status(visit, few):
    page = visit(few)
    rows = board_data(page)["rows"]
    not_run = [row["name"] for row in rows if row["status"] == "not_run"]
    assert not_run
    assert not set(not_run) & set(names(page))
    choose(page, "status", "not run")
    assert set(not_run) < set(names(page))
    choose(page, "status", "ok", "diverged")
    assert names(page) == not_run
    choose(page, "source", "mmsegmentation zoo")
    assert names(page) == []
    assert count(page).startswith("0 of")


@pytest.mark.parametrize(
    ("column", "scale", "low", "high"),
    [("params", 1e6, 1, 20), ("macs", 1e9, None, 10), ("latency_ms", 1, 10, None), ("miou_percent", 1, 40, 60)],
)
def test_ranges(visit, many, column, scale, low, high):
    page = visit(many)
    board = board_data(page)
    index = [each["name"] for each in board["columns"]].index(column)
    ranges = menu(page, "ranges")
    for which, value in (("low", low), ("high", high)):
        if value is not None:
            ranges.locator(f'input[name="{column} {which}"]').fill(str(value))
    expected = [
        row["name"]
        for row in board["rows"]
        if row["values"] and (low or 0) <= row["values"][index] / scale <= (high or 1e9)
    ]
    assert names(page) == expected
    assert 0 < len(expected) < 46


def test_a_figure_as_shown_is_in_the_range_of_itself(visit, many):
    """Values have more digits than are shown, which nobody can type."""
    page = visit(many)
    row = page.locator(".board tbody tr").nth(4)
    columns = [each["name"] for each in board_data(page)["columns"]]
    name, shown = row.locator("th").inner_text(), row.locator("td, th").nth(columns.index("miou_percent")).inner_text()
    board_id = board_data(page)["id"]
    page = visit(many, f"#board={board_id}&miou_percent={shown}..{shown}")
    assert name in names(page)
    assert len(names(page)) < 5


def test_columns_and_order(visit, many):
    page = visit(many)
    table = page.locator(".board").first
    choose(page, "cols", "mAcc (%)", "Frame rate (fps)", "Training memory (MiB)")
    heads = " ".join(table.locator("th[scope=col]:visible").all_inner_texts())
    assert "mAcc" not in heads
    assert "Frame rate" in heads
    assert "Training memory" in heads
    page.get_by_role("button", name="Frame rate").first.click()
    rates = [float(each) for each in table.locator("tbody tr:visible td[data-label^='Frame']").all_inner_texts()]
    assert rates == sorted(rates, reverse=True)
    assert table.locator("th[aria-sort=descending]").inner_text().startswith("Frame rate")
    page.get_by_role("button", name="Architecture").first.click()
    assert names(page) == sorted(names(page))


@pytest.mark.parametrize("width", [1280, 700])
def test_head_and_first_columns_stay_in_sight(visit, many, width):
    page = visit(many, width=width)
    box = page.locator(".scroll").first
    box.evaluate("each => { each.scrollIntoView(); each.scrollTo(300, 400); }")
    if "fits" in box.get_attribute("class"):
        page.evaluate("scrollBy(0, 400)")
    head, name = page.locator(".board thead th").nth(1), page.locator(".board tbody tr").nth(20).locator("th")
    place, top = head.bounding_box(), max(0, box.bounding_box()["y"])
    assert abs(place["y"] - top) < 3
    assert name.bounding_box()["x"] - box.bounding_box()["x"] < 80


def test_view_is_in_the_link(visit, many):
    page = visit(many)
    page.get_by_label("Filter by text").first.fill("r50")
    choose(page, "backbone", "ResNet-50")
    choose(page, "cols", "mAcc (%)", "Frame rate (fps)")
    menu(page, "ranges").locator('input[name="macs high"]').fill("50")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Params").first.click()
    page.locator("select[name=x]").first.select_option("latency_ms")
    page.locator("select[name=y]").first.select_option("macc_percent")
    page.locator("input[name=ylog]").first.check()
    page.locator(".board tbody tr:visible th a").nth(1).click()
    seen = _view(page)
    assert seen["card"]
    page.reload()
    assert _view(page) == seen
    pasted = visit(many, hash="#" + page.url.partition("#")[2], width=1280)
    assert _view(pasted) == seen
    other = visit(many)
    other.evaluate("hash => { location.hash = hash; }", page.url.partition("#")[2])
    other.locator("#card").wait_for()
    assert _view(other) == seen


def _view(page):
    return {
        "names": names(page),
        "heads": page.locator(".board th[scope=col]:visible").all_inner_texts(),
        "sorted": page.locator(".board th[aria-sort]").evaluate_all("all => all.map(each => each.ariaSort)"),
        "axes": page.locator("svg.plot").first.get_attribute("aria-label"),
        "log": page.locator("input[name=xlog], input[name=ylog]").evaluate_all("all => all.map(each => each.checked)"),
        "card": page.locator("#card h3").inner_text() if page.locator("#card").is_visible() else "",
    }


@pytest.mark.parametrize(
    "hash",
    ["#board=none&q=x", "#board=%E0%A4%A&q=%", "#board=shapes&cols=no&x=no&sort=-no&params=a..b", "#=", "#nowhere"],
)
def test_links_that_name_what_is_not_there(visit, few, hash):
    page = visit(few, hash=hash)
    assert len(names(page)) == 4


def test_links_of_unknown_columns_are_repaired(visit, few):
    page = visit(few)
    name = board_data(page)["id"]
    page = visit(few, hash=f"#board={name}&cols=no,macs&x=no&y=no&sort=-no&params=a..b&card=no&status=ok")
    assert [
        each.split()[0] for each in page.locator(".board").first.locator("th:visible[scope=col]").all_inner_texts()
    ] == [*("Architecture", "MACs")]
    assert len(names(page)) == 3
    page = visit(few, hash=f"#board={name}&source=no&backbone=no&method=no&params=1.2.3..")
    assert len(names(page)) == 4


def test_the_back_button_leads_to_the_view_before(visit, few):
    page = visit(few)
    before = names(page)
    name = board_data(page)["id"]
    page.evaluate(f"location.hash = '#board={name}&q=enet'")
    page.wait_for_function("document.querySelector('input[name=q]').value === 'enet'")
    assert names(page) != before
    page.go_back()
    page.wait_for_function("document.querySelector('input[name=q]').value === ''")
    assert names(page) == before


def _points(page):
    return (
        page.locator("svg.plot")
        .first.locator(".mark")
        .evaluate_all("all => all.map(each => [each.dataset.name, each.classList.contains('front')])")
    )


@pytest.mark.parametrize(
    ("x", "y"),
    [
        *(("macs", "miou_percent"), ("fps", "miou_percent"), ("params", "aacc_percent"), ("latency_ms", "macs")),
        *(("training_seconds", "macc_percent"), ("inference_memory_bytes", "fps"), ("training_memory_bytes", "fps")),
    ],
)
def test_front_is_that_of_the_rows_shown(visit, many, x, y):
    page = visit(many)
    page.get_by_label("Filter by text").first.fill("r50")
    page.locator("select[name=x]").first.select_option(x)
    page.locator("select[name=y]").first.select_option(y)
    board = board_data(page)
    index = {each["name"]: place for place, each in enumerate(board["columns"])}
    sign = {each["name"]: 1 if each["good"] == "max" else -1 for each in board["columns"]}
    shown = set(names(page))
    points = {
        row["name"]: (sign[x] * row["values"][index[x]], sign[y] * row["values"][index[y]])
        for row in board["rows"]
        if row["name"] in shown
    }
    front = {
        name
        for name, (a, b) in points.items()
        if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in points.values())
    }
    found = _points(page)
    assert {name for name, _ in found} == shown
    assert {name for name, is_front in found if is_front} == front


def test_front_of_the_page_is_that_of_the_ranking(visit, few, many):
    for path in (few, many):
        page = visit(path, java_script_enabled=False)
        static = [each.get_attribute("aria-label") for each in page.locator("svg.plot").all()[:2]]
        page = visit(path)
        for label, cost in zip(static, ("macs", "latency_ratio"), strict=True):
            page.locator("select[name=x]").first.select_option(cost)
            expected = set(label.partition("cheapest: ")[2].rstrip(".").split(", "))
            assert {name for name, is_front in _points(page) if is_front} == expected


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("x", "y"), [("macs", "miou_percent"), ("fps", "params"), ("latency_ms", "fps")])
def test_every_name_of_the_front_is_drawn_and_none_overlap(visit, many, width, x, y):
    page = visit(many, width=width)
    page.locator("select[name=x]").first.select_option(x)
    page.locator("select[name=y]").first.select_option(y)
    front = [name for name, is_front in _points(page) if is_front]
    labels = page.evaluate(BOXES, ".plot .label")
    drawn = {text for text, *_ in page.evaluate(BOXES, ".plot .label.front")}
    short = {row["name"]: row["label"] for row in board_data(page)["rows"]}
    assert drawn == {short[name] for name in front}
    frame = page.locator("svg.plot").first.bounding_box()
    for text, left, top, right, bottom in labels:
        assert left >= frame["x"] - 1, text
        assert right <= frame["x"] + frame["width"] + 1, text
        for other, *box in labels:
            if other != text:
                assert right <= box[0] + 1 or box[2] <= left + 1 or bottom <= box[1] + 2 or box[3] <= top + 2, (
                    text,
                    other,
                )


FAR = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const labels = new Map(all(".plot .label.front").map(each => [each.textContent, each.getBoundingClientRect()]));
  const start = (path) => path.getPointAtLength(0).matrixTransform(path.getScreenCTM());
  const starts = all(".plot .leader").map(start);
  const rows = JSON.parse(document.getElementById("data").textContent).boards[0].rows;
  return all(".plot .mark.front").map(each => {
    const box = labels.get(rows.find(row => row.name === each.dataset.name).label);
    const circle = each.querySelector("circle.target").getBoundingClientRect();
    const [x, y] = [circle.left + circle.width / 2, circle.top + circle.height / 2];
    const away = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
    return [each.dataset.name, away, Math.min(...starts.map(start => Math.hypot(start.x - x, start.y - y)))];
  }).filter(([, away, leader]) => away > 16 && !(leader < 10));
}"""


@pytest.mark.parametrize("width", [*WIDTHS, 420, 500])
def test_a_name_away_from_its_point_has_a_leader(visit, many, width):
    page = visit(many, width=width)
    for x, y in (("macs", "miou_percent"), ("latency_ms", "fps"), ("params", "macs"), ("fps", "params")):
        page.locator("select[name=x]").first.select_option(x)
        page.locator("select[name=y]").first.select_option(y)
        assert page.evaluate(FAR) == []


CENTRES = """plot => [...plot.querySelectorAll(".mark")].map((mark) => {
  const circle = mark.querySelector("circle.target").getBoundingClientRect();
  return [mark.dataset.name, circle.left + circle.width / 2, circle.top + circle.height / 2];
})"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("store", ["many", "committed"])
def test_a_click_on_the_centre_of_a_point_opens_its_card(visit, request, store, width):
    """Also where reaches of neighbours, their names or leaders lie over it."""
    page = visit(request.getfixturevalue(store), width=width)
    page.locator("svg.plot").first.scroll_into_view_if_needed()
    centres = page.locator("svg.plot").first.evaluate(CENTRES)
    places = [(x, y) for _, x, y in centres]
    assert len(centres) > 3
    for name, x, y in centres:
        if places.count((x, y)) > 1 or not 0 < y < page.viewport_size["height"]:
            continue
        page.mouse.click(x, y)
        assert page.locator("#card h3").inner_text() == name
        page.keyboard.press("Escape")


def test_point_opens_its_card(visit, many):
    page = visit(many)
    point = page.locator(".mark.front").first
    name = point.get_attribute("data-name")
    for act in (point.click, lambda: point.press("Enter"), lambda: point.press(" ")):
        act()
        card = page.locator("#card")
        assert card.locator("h3").inner_text() == name
        assert f"card={name}" in page.url
        board = board_data(page)
        row = next(row for row in board["rows"] if row["name"] == name)
        assert card.locator("tbody a").all_inner_texts() == [run[0] for run in row["runs"]]
        for link in card.locator("tbody a").all():
            target = (many.parent / link.get_attribute("href")).resolve()
            assert json.loads(target.read_text(encoding="utf-8"))["architecture"] == name
        assert (
            f"{row['values'][[each['name'] for each in board['columns']].index('miou_percent')]:.2f}"
            in card.inner_text()
        )
        page.keyboard.press("Escape")
        assert not card.is_visible()
        assert "card=" not in page.url


def test_every_figure_leads_to_its_results(visit, many):
    page = visit(many)
    row = page.locator(".board tbody tr").nth(5)
    for cell in row.locator("td.number:visible").all():
        cell.click(position={"x": 3, "y": 3})
        assert page.locator("#card h3").inner_text() == row.locator("th").inner_text()
        assert page.locator("#card tbody a").count() == 3
        page.keyboard.press("Escape")


def test_iou_by_class_leads_to_its_results(visit, many):
    page = visit(many)
    row = page.locator("table.heat tbody tr").nth(7)
    name = row.locator("th").inner_text()
    for place in (row.locator("td").nth(2), row.locator("th a")):
        place.click()
        assert page.locator("#card h3").inner_text() == name
        assert page.locator("#card tbody a").count() == 3
        page.keyboard.press("Escape")
    page = visit(many, java_script_enabled=False)
    href = page.locator("table.heat tbody tr").nth(7).locator("th a").get_attribute("href")
    assert page.locator(f"[id='{href[1:]}'] summary h3").first.inner_text() == name


def test_tap_opens_a_card_on_a_phone(visit, many):
    page = visit(many, width=360, has_touch=True)
    point = page.locator(".mark.front").first
    point.scroll_into_view_if_needed()
    point.tap()
    assert page.locator("#card h3").inner_text() == point.get_attribute("data-name")
    page.locator("#card").get_by_role("button", name="Close").tap()
    assert not page.locator("#card").is_visible()


def test_points_are_reached_by_keys(visit, many):
    page = visit(many)
    page.locator("input[name=xlog]").first.focus()
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.dataset.name")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.dataset.name")
    page.keyboard.press("Enter")
    assert page.locator("#card h3").inner_text() == second != first


def test_csv_has_the_rows_and_columns_shown(visit, many):
    page = visit(many)
    page.get_by_label("Filter by text").first.fill("vgg")
    choose(page, "cols", "Frame rate (fps)", "Seeds")
    page.get_by_role("button", name="MACs").first.click()
    text = exported(page, "csv")
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["architecture"] for row in found] == names(page)
    board = board_data(page)
    for number, row in enumerate(found):
        cells = page.locator(".board tbody tr:visible").nth(number).locator("td:visible")
        shown = dict(
            zip(cells.evaluate_all("all => all.map(each => each.dataset.label)"), cells.all_inner_texts(), strict=True)
        )
        for column in board["columns"]:
            label = f"{column['title']} {column['unit']}".strip()
            if label in shown and column["name"] not in ("rank", "status"):
                assert f"{float(row[column['name']]) / column['scale']:.{column['decimals']}f}" == shown[label]
    assert {"rank_low", "rank_high"} <= found[0].keys()
    whole = exported(page, "json")
    assert [row["architecture"] for row in json.loads(whole)["rows"]] == names(page)


def test_latex_and_bibtex_are_of_the_view(visit, many):
    page = visit(many)
    page.get_by_label("Filter by text").first.fill("psp")
    latex, bibtex = exported(page, "tex"), exported(page, "bib")
    body = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")]
    shown = [unbroken(line.split(" & ")[1].partition("~")[0]) for line in body.splitlines()[1:-1]]
    assert [name.replace(r"\_", "_") for name in shown] == names(page)
    cited = {key for keys in re.findall(r"\\cite\{([^}]+)\}", latex) for key in keys.split(",")}
    assert {"zhao2017pspnet", "segbench"} <= cited
    entries = set(re.findall(r"@\w+\{([^,]+),", bibtex))
    assert cited | {"segbench"} <= entries
    assert "paszke2016enet" not in entries
    assert len({line.count("&") for line in latex.splitlines() if line.endswith(r"\\")}) == 1
    assert not re.search(r"(?<!\\)[#_](?!.*label)", body.replace("cite", ""))


def compiled(page, folder):
    """Compile the table and the bibliography of a view in a two-column article, with the packages they say they need.

    Returns:
        The table, and what LaTeX complains of.
    """
    table, bibtex = exported(page, "tex"), exported(page, "bib")
    packages = re.search(r"^% needs \\usepackage\{(.*?)\}", table, re.MULTILINE)[1]
    (folder / "paper.tex").write_text(
        rf"\documentclass[twocolumn]{{article}}\usepackage{{{packages}}}\begin{{document}}"
        f"Text.\n{table}"
        r"\bibliographystyle{plain}\bibliography{view}\end{document}",
        encoding="utf-8",
    )
    (folder / "view.bib").write_text(bibtex, encoding="utf-8")
    for command in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        options = [] if command == "bibtex" else ["-interaction=nonstopmode", "-halt-on-error"]
        done = subprocess.run([command, *options, "paper"], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    log = (folder / "paper.log").read_text(encoding="latin-1")
    boxes = [f"overfull by {points} pt" for points in re.findall(r"Overfull \\[hv]box \(([\d.]+)pt", log)]
    found = [each for each in boxes if float(each.split()[2]) > 5]
    return table, found + re.findall(r"^LaTeX Warning: .*(?:undefined|too large|multiply).*", log, re.MULTILINE)


needs_tex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs TeX: apt-get install texlive-latex-recommended"
)


@needs_tex
@pytest.mark.parametrize("search", ["", "r50", "enet", "no such network"])
def test_latex_compiles_and_fits(visit, many, tmp_path, search):
    page = visit(many)
    page.get_by_label("Filter by text").first.fill(search)
    assert compiled(page, tmp_path)[1] == []


@needs_tex
@pytest.mark.parametrize("chosen", [["miou_percent"], None], ids=["one column", "all columns"])
def test_latex_of_more_rows_than_a_page_is_several_floats(visit, many, tmp_path, chosen):
    board = board_data(visit(many))
    columns = ",".join(chosen or [column["name"] for column in board["columns"]])
    page = visit(many, hash=f"#board={board['id']}&status=&cols={columns}")
    table, complaints = compiled(page, tmp_path)
    assert complaints == []
    assert table.count(r"\begin{table") > 1
    assert table.count(r"\caption") == table.count(r"\label") == 1
    lines = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert len(lines) == len(names(page)) + table.count(r"\begin{table")
    assert len({line.count(" & ") for line in lines}) == 1


@needs_tex
def test_latex_of_odd_and_long_names_compiles(visit, tmp_path, make_record):
    """As names of the user's, and of the zoo; the longest have lines of their own where there are many columns."""
    zoo = "mmseg:mask2former_swin-l-in22k-384x384-pre_8xb2-160k_ade20k-640x640"
    odd = ["αβΨ", "רשת", "中文网络", "\N{SNOWMAN}", "żółw é ß", "a_b & 50% #1 ~^ {c}$", "n" * 120]
    store = Store(tmp_path / "results")
    for name in [zoo, *odd]:
        store.add(*make_record(name))
    report = make(store.root, tmp_path / "reports")
    report.write()
    page = visit(report.page)
    columns = ",".join(column["name"] for column in board_data(page)["columns"])
    for hash in ("", f"#board={board_data(page)['id']}&cols={columns}"):
        table, complaints = compiled(visit(report.page, hash=hash), tmp_path)
        assert complaints == []
        assert table.isascii()
        assert all(escaped(name) in unbroken(table) for name in [zoo, *odd])
    assert r"mask2former\_\allowbreak{}swin" in table


def test_bibtex_and_link_are_copied(visit, many):
    page = visit(many, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Filter by text").first.fill("enet")
    page.locator(".menu", has_text="Export").first.locator("summary").click()
    page.locator('[data-copy="bib"]').first.click()
    page.get_by_text("Copied").wait_for()
    assert "@" in page.evaluate("navigator.clipboard.readText()")
    page.locator('[data-copy="link"]').first.click()
    page.wait_for_timeout(100)
    link = page.evaluate("navigator.clipboard.readText()")
    assert names(visit(many, hash="#" + link.partition("#")[2])) == names(page)


def test_names_are_not_markup(visit, few, tmp_path):
    hostile = "<img src=x onerror=alert(1)>"
    page = visit(few)
    assert "\"a'b&c=d,e#f%20 ☃" in names(page)
    text = few.read_text(encoding="utf-8")
    for old in ('"pspnet_r50-d8"', '"method": "pspnet"', '"backbone": "ResNet-50"', '"source": "suite"'):
        name = old.rpartition(":")[0]
        text = text.replace(old, f"{name}{': ' if name else ''}" + json.dumps(hostile).replace("<", r"\u003c"))
    changed = tmp_path / "changed.html"
    changed.write_text(text, encoding="utf-8")
    page = visit(changed)
    page.locator(f'.mark[data-name="{hostile}"]').first.click()
    assert page.locator("#card h3").inner_text() == hostile
    assert page.locator("img[src=x]").count() == 0
    page.reload()
    assert page.locator("#card h3").inner_text() == hostile


def test_odd_name_has_a_link(visit, few):
    page = visit(few)
    name = "\"a'b&c=d,e#f%20 ☃"
    page.locator(".board").first.get_by_role("link", name=name, exact=True).click()
    assert page.locator("#card h3").inner_text() == name
    page.reload()
    assert page.locator("#card h3").inner_text() == name


def test_every_leaderboard_has_a_view_of_its_own(visit, few):
    page = visit(few)
    searches = page.get_by_label("Filter by text")
    assert searches.count() == 2
    searches.nth(1).fill("nothing")
    assert len(names(page)) == 4
    assert page.locator("output").nth(1).inner_text().startswith("0 of")
    page.reload()
    assert page.locator("output").nth(1).inner_text().startswith("0 of")
    assert len(names(page)) == 4


def test_without_javascript_there_are_table_and_plots(visit, many, few):
    page = visit(many, java_script_enabled=False)
    assert len(names(page)) == 46
    assert page.locator(".plots svg.plot").first.is_visible()
    assert page.locator(".controls").count() == 0
    page = visit(few, java_script_enabled=False)
    assert len(names(page)) > 4  # what was not run, too


def test_is_small_and_fast(visit, many):
    assert many.stat().st_size < 1_500_000
    page = visit(many)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? performance.now()")
    assert paint < 1000
    taken = page.evaluate("""() => {
      const input = document.querySelector("input[name=q]"), times = [];
      for (const text of ["r", "r5", "r50", "r5", "r", "", "v", "vgg", "none", ""]) {
        const start = performance.now();
        input.value = text;
        input.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.offsetHeight;
        times.push(performance.now() - start);
      }
      return times;
    }""")
    assert sorted(taken)[len(taken) // 2] < 50
