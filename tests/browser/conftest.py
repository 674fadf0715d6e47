"""A browser, and pages of small and of large stores. Without Playwright or Chromium these tests are skipped."""

import random
import shutil
import zlib

import pytest

from benchmark.catalog import catalog
from benchmark.reporting.report import make
from benchmark.results.store import Store

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

ARCHITECTURES, SEEDS = 46, 3


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
