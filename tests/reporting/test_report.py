import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmark.catalog import catalog
from benchmark.confusion import scores
from benchmark.datasets.digest import published_digest
from benchmark.datasets.shapes import Shapes
from benchmark.errors import UserError
from benchmark.reporting.report import make

SVG = "{http://www.w3.org/2000/svg}"
VOID_ELEMENTS = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The parsed page: every element with its attributes and text, and that all are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1] not in ("style", "script"):
            self.texts.append(" ".join(data.split()))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def render(results, folder, photographs=False):
    report = make(results, folder, photographs)
    report.write()
    return report.page


@pytest.fixture
def page(filled, tmp_path):
    return Page(render(filled.root, tmp_path / "reports").read_text(encoding="utf-8"))


def test_the_page_is_one_file_that_asks_for_nothing(filled, tmp_path):
    path = render(filled.root, tmp_path / "reports")
    assert path == tmp_path / "reports" / "index.html"
    assert [each.name for each in path.parent.iterdir()] == ["index.html"]
    text = path.read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    page = Page(text)
    assert page.all("link") == []
    assert all("src" not in script for script in page.all("script"))
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))


def test_every_link_leads_to_a_result_or_into_the_page(page, filled, tmp_path):
    targets = [link["href"] for link in page.all("a")]
    inside = [target for target in targets if target.startswith("#")]
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {target[1:] for target in inside} <= ids
    outside = [tmp_path / "reports" / unquote(target) for target in targets if not target.startswith("#")]
    stored, _ = filled.scan()
    assert {path.resolve() for path in outside} == {each.path.resolve() for each in stored}
    for path in outside:
        json.loads(path.read_text())


def test_every_picture_has_a_text_and_every_heading_a_scope(page):
    assert page.all("img")
    assert all(image["alt"] and int(image["width"]) and int(image["height"]) for image in page.all("img"))
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    plots = [svg for svg in page.all("svg") if svg["class"] == "plot"]
    assert plots
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in plots)


@pytest.mark.parametrize(("photographs", "truth"), [(False, []), (True, ["Input", "Ground truth"])])
def test_every_architecture_is_shown_on_the_same_images(filled, tmp_path, photographs, truth):
    page = Page(render(filled.root, tmp_path / "reports", photographs).read_text(encoding="utf-8"))
    alts = [image["alt"] for image in page.all("img")]
    for name in ("test_001", "test_004"):
        of_image = [alt.partition(",")[0] for alt in alts if alt.endswith(f"test image {name}")]
        assert of_image[: len(truth) + 2] == [*truth, "pspnet_r50-d8", "enet"]


def test_what_is_untrusted_is_escaped(page):
    assert "the loss was not finite at iteration 12 <script>" in page.texts  # as text, not as an element
    assert [script.get("type") for script in page.all("script")] == ["application/json", None]
    assert "tree & hedge" in page.texts


def test_failures_and_variants_are_shown_and_named(page):
    assert "diverged" in page.texts
    assert "shapes_64x64_smoke with iterations = 3" in page.texts
    text = " ".join(page.texts)
    assert "schedule.iterations is 3, not 30." in text
    assert page.texts.count("Leaderboard") == 2


def test_figures_are_those_of_the_results(page, filled):
    enet = next(s.record for s in filled.scan("shapes_64x64_smoke")[0] if not s.record.protocol.overrides)
    assert f"{enet.evaluation().miou:.2f}" in page.texts
    assert f"{enet.evaluation().iou['car']:.1f}" in page.texts


def test_rendering_twice_gives_the_same_bytes(filled, tmp_path):
    first = render(filled.root, tmp_path / "reports").read_bytes()
    assert render(filled.root, tmp_path / "reports").read_bytes() == first


def test_damaged_files_are_named_and_the_rest_is_shown(filled, tmp_path):
    broken, other = sorted(filled.root.glob("*/pspnet_r50-d8/*.json"))
    broken.write_text("{")
    other.with_suffix(".npz").write_bytes(b"no zip")
    report = make(filled.root, tmp_path / "reports")
    assert [problem.path for problem in report.problems] == [broken, other.with_suffix(".npz")]
    text = " ".join(Page(report.files["index.html"].decode()).texts)
    assert "2 files that cannot be used" in text
    assert str(broken) in text


@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_photographs_that_are_not_there_are_missed_only_where_they_are_asked_for(filled, tmp_path, damage):
    whole = make(filled.root, tmp_path / "reports").files
    (samples,) = filled.root.glob("*/samples-*.npz")
    if damage == "missing":
        samples.unlink()
    else:
        samples.write_bytes(b"")
    assert make(filled.root, tmp_path / "reports").files == whole
    report = make(filled.root, tmp_path / "reports", photographs=True)
    assert {problem.path for problem in report.problems} == {samples if damage == "broken" else samples.parent}
    page = Page(report.files["index.html"].decode())
    assert {image["alt"].partition(",")[0] for image in page.all("img")} == {"pspnet_r50-d8", "enet"}


def test_results_without_predictions_are_shown_without_them(store, tmp_path, make_record):
    record, arrays = make_record("unet")
    store.add(record, {name: each for name, each in arrays.items() if not name.startswith("prediction")})
    page = Page(render(store.root, tmp_path / "reports").read_text(encoding="utf-8"))
    assert page.all("img") == []
    assert "Predictions" not in page.texts
    assert "IoU by class" in page.texts


def test_what_was_not_run_has_hidden_rows_and_is_told_once(page):
    rows = [attributes for attributes in page.all("tr") if attributes.get("class") == "not-run"]
    known = len(catalog.architectures())
    assert len(rows) == known - 2  # enet and pspnet_r50-d8 were run
    assert all("hidden" in row for row in rows)
    assert set(catalog.architectures()) - {"enet", "pspnet_r50-d8"} <= set(page.texts)
    assert page.texts.count(f"{known - 2} architectures not run") == 1
    assert "segbench run --all -p shapes_64x64_smoke" in page.texts


def test_a_protocol_of_which_only_a_variant_was_run_says_so(store, make_record, tmp_path):
    store.add(*make_record("enet", overrides={"iterations": 3}))
    page = Page(render(store.root, tmp_path / "reports").read_text(encoding="utf-8"))
    everything = len(catalog.architectures())
    assert f"shapes_64x64_smoke without overrides: {everything} architectures not run" in page.texts


def test_where_void_counts_both_rules_are_told(store, make_record, tmp_path):
    record, arrays = make_record("enet", void="false_positive")
    store.add(record, arrays)
    page = Page(render(store.root, tmp_path / "reports").read_text(encoding="utf-8"))
    ignored = scores(arrays["last_test"], "ignore").miou
    assert ignored > record.evaluation().miou
    assert {f"{record.evaluation().miou:.2f}", f"{ignored:.2f}"} <= set(page.texts)
    assert "mIoU, void ignored" in page.texts


def test_the_embedded_dataset_is_drawn_beside_the_predictions(store, make_record, tmp_path):
    record, _ = make_record("enet")
    classes = list(Shapes.classes)
    data = record.dataset.model_copy(update={"digest": published_digest(Shapes), "classes": classes})
    record = record.model_copy(update={"dataset": data, "evaluations": []})
    store.add(record, {"prediction_names": np.array(["test_0001"]), "predictions": Shapes("test").label(1)[None]})
    page = Page(render(store.root, tmp_path / "reports").read_text(encoding="utf-8"))
    photo, truth, prediction = page.all("img")
    assert [each["alt"].partition(",")[0] for each in (photo, truth, prediction)] == ["Input", "Ground truth", "enet"]
    assert truth["src"] == prediction["src"] != photo["src"]
    assert "photographs" not in " ".join(page.texts)


@pytest.fixture
def real(store, make_record):
    """A store of a protocol on a dataset that may not be passed on: three networks, one of them with changes."""
    for architecture, quality, overrides in (("enet", 0.6, {}), ("unet", 0.8, {}), ("unet", 0.7, {"iterations": 3})):
        record, arrays = make_record(architecture, quality=quality, protocol="camvid_180x240_cpu", overrides=overrides)
        data = record.dataset.model_copy(update={"name": "camvid"})
        store.add(record.model_copy(update={"dataset": data}), arrays)
    return store


def test_a_leaderboard_of_a_real_dataset_has_figures(real, tmp_path):
    files = make(real.root, tmp_path / "reports").files
    assert set(files) == {"index.html", "camvid_180x240_cpu/predictions.png", "camvid_180x240_cpu/curves.svg"}
    svg = ElementTree.fromstring(files["camvid_180x240_cpu/curves.svg"])
    names = [text.text for text in svg.iter(f"{SVG}text") if text.get("class") == "name"]
    assert names == ["unet", "enet"]
    assert len(list(svg.iter(f"{SVG}polyline"))) == 4


def test_figures_of_what_has_gone_go_too(real, tmp_path):
    folder = tmp_path / "reports"
    make(real.root, folder).write()
    (folder / "gone").mkdir()
    (folder / "gone" / "curves.svg").write_text("old")
    (folder / "gone" / "mine.svg").write_text("mine")
    report = make(real.root, folder)
    assert report.unexpected == [folder / "gone" / "curves.svg"]
    report.write()
    assert sorted(path.name for path in folder.rglob("*.*")) == [
        *("curves.svg", "index.html", "mine.svg", "predictions.png")
    ]


def test_labels_that_look_permuted_are_named(store, make_record, tmp_path):
    record, arrays = make_record("unet", quality=0.9)
    evaluations = []
    for evaluation in record.evaluations:
        counts = arrays[evaluation.counts] = arrays[evaluation.counts][:, :, [1, 0, 2, 3, 4]]
        found = scores(counts)
        by_class = {
            name: dict(zip(record.dataset.classes, getattr(found, name).tolist(), strict=True))
            for name in ("iou", "acc")
        }
        update = {"miou": found.miou, "macc": found.macc, "aacc": found.aacc, **by_class}
        evaluations.append(evaluation.model_copy(update=update))
    store.add(*make_record("enet", quality=0.9))
    store.add(record.model_copy(update={"evaluations": evaluations}), arrays)
    page = Page(render(store.root, tmp_path / "reports").read_text(encoding="utf-8"))
    (named,) = (text for text in page.texts if "labels look permuted" in text)
    assert named.startswith("unet: labels look permuted (sky is truly road_surface, road_surface is truly sky): mIoU")


def test_only_failures(store, make_record, tmp_path):
    record, arrays = make_record(status="failed")
    store.add(record.model_copy(update={"training": None, "complexity": None, "latency": [], "memory": None}), arrays)
    page = Page(render(store.root, tmp_path / "reports").read_text(encoding="utf-8"))
    assert "failed" in page.texts
    assert page.all("svg") == []


def test_a_diverged_run_does_not_flatten_the_curves_of_the_others(store, make_record, tmp_path):
    record, arrays = make_record("enet")
    record = record.model_copy(
        update={
            "training": record.training.model_copy(update={"loss": [(i, 2 / (1 + i / 100)) for i in range(1, 1001)]})
        }
    )
    store.add(record, arrays)
    bad = make_record("unet", status="diverged")[0]
    store.add(bad.model_copy(update={"training": bad.training.model_copy(update={"loss": [(1, 2.0), (5, 1e12)]})}), {})
    text = render(store.root, tmp_path / "reports").read_text(encoding="utf-8")
    line = next(points for points in re.findall(r'<polyline class="curve" points="([^"]+)"', text) if len(points) > 500)
    heights = [float(pair.split(",")[1]) for pair in line.split()]
    assert max(heights) - min(heights) > 40  # of the 92 units of the frame


def test_no_results(tmp_path):
    with pytest.raises(UserError, match=r"no results in .*segbench run"):
        make(tmp_path / "results", tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_a_folder_that_is_not_writable(filled, tmp_path):
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(UserError, match="cannot write"):
        render(filled.root, tmp_path / "reports")


def test_it_needs_neither_torch_nor_matplotlib():
    code = (
        "import sys, benchmark.reporting.report; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib', 'mmseg', 'cv2')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_templates_are_part_of_the_package():
    import benchmark.reporting

    folder = Path(benchmark.reporting.__file__).parent / "templates"
    pages = {"index.html", "section.html", "leaderboard.html", "controls.html", "published_comparison.html"}
    pages |= {"architecture.html", "predictions.html", "history.html", "verdicts.html", "methods.html", "cite.html"}
    styles = {"style.css", "plot.css", "colours.css", "sections.css"}
    scripts = {
        f"{name}.js" for name in ("page", "sort", "table", "plot", "card", "latex", "export", "view", "sections")
    }
    others = {"comparison.html", "weights.html", "curves.svg"}
    assert {path.name for path in folder.iterdir()} == pages | styles | scripts | others


def test_what_does_not_compare_is_neither_bold_nor_filled(store, make_record, tmp_path):
    for index, (name, unsteady) in enumerate([("enet", "it drifted"), ("unet", None), ("fcn_r50-d8", None)]):
        for seed in range(3):
            record, arrays = make_record(name, seed, 0.5 + 0.1 * index, latency_ms=5.0 + index)
            timed = [each.model_copy(update={"unsteady": unsteady}) for each in record.latency]
            store.add(record.model_copy(update={"latency": timed}), arrays)
    text = make(store.root, tmp_path / "reports").files["index.html"].decode()
    macs, latency = re.findall(r'<svg class="plot".*?</svg>', text, re.DOTALL)[:2]
    assert "cheapest: fcn_r50-d8." in macs
    assert "cheapest: unet, fcn_r50-d8." in latency
    assert ">5.00</td>" in text  # of the one that is unsteady, which is shown, and leaves none the fastest
    assert "<strong>6.00" not in text


def test_the_ranks_that_tests_leave_open_are_shown_and_sorted_by_the_mean(store, make_record, tmp_path):
    for name, quality in (("enet", 0.7), ("unet", 0.705)):
        for seed in range(3):
            store.add(*make_record(name, seed, quality + seed / 50))
    text = make(store.root, tmp_path / "reports").files["index.html"].decode()
    assert re.findall(r'<td class="rank number" data-value="(\d)">1-2</td>', text) == ["1", "2"]
    assert text.count("at a family-wise error of 5 %") == 1


def test_results_without_a_method_are_reported(store, make_record, tmp_path):
    for name in ("__proto__", "enet", "mmseg:bisenetv1"):
        record, arrays = make_record(name)
        store.add(record.model_copy(update={"method": ""}), arrays)
    page = make(store.root, tmp_path / "reports").files["index.html"].decode()
    assert page.count('<details class="architecture"') == 3
