"""A browser, and pages of small and of large stores. Without Playwright or Chromium these tests are skipped."""

import random
import shutil
import zlib
from pathlib import Path

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.reporting.report import make
from benchmark.results.record import Record
from benchmark.results.store import Store

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

ARCHITECTURES, SEEDS = 46, 3

NO_SMALL_TEXT = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), small = [];
  for (let node; (node = walker.nextNode()); ) {
    const parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility() || parent.closest("script, style, .unseen")) continue;
    const svg = parent.closest("svg");
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    if (parseFloat(getComputedStyle(parent).fontSize) * scale < 11.95) small.push(node.data.trim());
  }
  return small;
}"""


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a screen."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: tox run -e browser")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Open a page: `visit(path, hash="", width=1280, ...)`. No console message and no request may come of it."""
    contexts, complaints = [], []

    def open_page(path, hash="", width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
        page.goto(f"{path.as_uri()}{hash}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def small_text():
    """Return the visible texts of a page that are smaller than 12 pixels: `small_text(page)`."""
    return lambda page: page.evaluate(NO_SMALL_TEXT)


@pytest.fixture(scope="session")
def committed():
    """The page of the repository's own results."""
    return Path(__file__).parents[2] / "reports" / "index.html"


@pytest.fixture(scope="session")
def many(tmp_path_factory, make_record):
    """The page of a store of 46 architectures and 3 seeds, with one that failed."""
    store = Store(tmp_path_factory.mktemp("many") / "results")
    for name in list(catalog.architectures())[:ARCHITECTURES]:
        chance = random.Random(zlib.crc32(name.encode()))
        size = chance.uniform(0, 1)
        quality = 0.45 + 0.3 * size + chance.gauss(0, 0.05)
        macs, latency = int(5e8 * 200 ** (size + chance.gauss(0, 0.1))), 4 * 20 ** (size + chance.gauss(0, 0.1))
        for seed in range(SEEDS):
            status = "failed" if (name, seed) == ("unet", 2) else "ok"
            record, arrays = make_record(
                name, seed, quality + chance.gauss(0, 0.01), macs=macs, latency_ms=latency, status=status
            )
            params = int(3e5 * 200 ** (size + chance.gauss(0, 0.1)))
            complexity = record.complexity.model_copy(update={"params": params, "params_total": params * 2})
            training = record.training.model_copy(
                update={"loss": [(i, 3 / i**0.5 + chance.random() / 10) for i in range(1, 1001)], "iterations": 1000}
            )
            store.add(record.model_copy(update={"complexity": complexity, "training": training}), arrays)
    report = make(store.root, tmp_path_factory.mktemp("reports"))
    report.write()
    return report.page


@pytest.fixture(scope="session")
def few(tmp_path_factory, make_record):
    """The page of two protocols, with overrides, failures, rows that were not run, and hostile texts."""
    store = Store(tmp_path_factory.mktemp("few") / "results")
    for architecture, seed, quality in (("pspnet_r50-d8", 0, 0.8), ("pspnet_r50-d8", 1, 0.82), ("enet", 0, 0.6)):
        store.add(*make_record(architecture, seed, quality, macs=int(1e10 * quality), latency_ms=quality * 10))
    store.add(*make_record("mmseg:bisenetv1", status="diverged"))
    store.add(*make_record("\"a'b&c=d,e#f%20 ☃", quality=0.5, macs=100_000_000))
    store.add(*make_record("enet", overrides={"iterations": 3}))
    report = make(store.root, tmp_path_factory.mktemp("reports"))
    report.write()
    return report.page


LONG = "a_class_name_of_sixty_characters".ljust(60, "e")
"""The name of a class that no line of a phone holds."""

MANY_SEEDS = [*range(26), 2**100]


@pytest.fixture(scope="session")
def extreme(tmp_path_factory, make_record):
    """The page of what strains a layout: 27 seeds, long logs and names, published figures, two equal protocols."""
    store = Store(tmp_path_factory.mktemp("extreme") / "results")

    def add(*args, log=None, protocol="camvid_360x480_scratch", **more):
        record, arrays = make_record(*args, protocol=protocol, **more)
        renamed = Record.model_validate_json(record.model_dump_json().replace("tree & hedge", LONG))
        dataset = renamed.dataset.model_copy(update={"name": "camvid"})
        store.add(renamed.model_copy(update={"dataset": dataset, "log_tail": log}), arrays)

    for seed in MANY_SEEDS:
        add("enet", seed, 0.6 + seed % 27 / 1000)
    for name in ("pspnet_r50-d8", "unet", "segnet", "bisenetv1", "n" * 120):
        add(name, quality=0.7)
    add("enet", void="false_positive")
    log = [
        "Traceback (most recent call last):",
        *(f"  line {index} {'x' * 300}" for index in range(20)),
        "RuntimeError",
    ]
    add("mmseg:bisenetv1", status="failed", log=log)
    add("mmseg:bisenetv1", status="failed", log=log, protocol="camvid_180x240_cpu")
    report = make(store.root, tmp_path_factory.mktemp("reports"))
    report.write()
    return report.page


@pytest.fixture(scope="session")
def compared(tmp_path_factory, make_record):
    """The page of a comparison of 27 seeds with 3, under two protocols of the same name, with a new cost."""
    folder = tmp_path_factory.mktemp("compared")
    for side, seeds, quality in (("base", MANY_SEEDS, 0.8), ("new", range(3), 0.5)):
        store = Store(folder / side)
        for void in ("ignore", "false_positive"):
            for seed in seeds:
                store.add(*make_record("pspnet_r50-d8", seed, quality + seed % 27 / 1000, void=void))
            store.add(*make_record("n" * 120, quality=quality, macs=int(quality * 1e9), latency_ms=10 / quality))
    page = folder / "pages" / "compare.html"
    assert main(["compare", str(folder / "base"), str(folder / "new"), "--page", str(page)]) == 1
    return page
