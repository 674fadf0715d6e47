import json
import re
from html import unescape

import numpy as np
import pytest

from benchmark.catalog import catalog, stages
from benchmark.reporting import architecture, citation
from benchmark.reporting.anchor import anchor
from benchmark.reporting.report import make

HOSTILE = 'own:net "><img src=x onerror=alert(1)> &amp;'

BY = "\N{MULTIPLICATION SIGN}"


def section(page, name):
    start = f'<details class="architecture" id="{re.escape(anchor(name))}">'
    found = re.search(f'{start}(.*?)</details>\n(?=<details class="architecture"|</section>)', page, re.DOTALL)
    return unescape(found[1])


@pytest.fixture
def page(filled, tmp_path):
    return make(filled.root, tmp_path / "reports").files["index.html"].decode()


def test_every_architecture_with_results_has_a_section(page, filled):
    names = {each.record.architecture for each in filled.scan()[0]}
    ids = re.findall('<details class="architecture" id="([^"]+)">', page)
    assert sorted(ids) == sorted(map(anchor, names))
    assert len(re.findall(" id=", page)) == len(set(re.findall(' id="([^"]+)"', page)))


def test_a_section_cites_the_paper_and_shows_the_stages(page):
    found = section(page, "pspnet_r50-d8")
    assert citation.bibtex(citation.keys("pspnet_r50-d8")) in found
    assert "Copy BibTeX" in found
    assert catalog.methods()["pspnet"].title in found
    for stage in stages.breakdown("pspnet_r50-d8").stages:
        assert f'<th scope="row">{stage.name}</th><td class="long">{BY.join(map(str, stage.output))}</td>' in found
    assert "23079.4 <small>49.5 %</small></td>" in found  # of the parameters in the head
    assert "48.701 M parameters" not in found
    assert f"{stages.breakdown('pspnet_r50-d8').params / 1e6:.3f} M parameters" in found


def test_classes_are_shown_with_their_spread_over_seeds(page, filled):
    records = [each.record for each in filled.scan()[0] if each.record.architecture == "pspnet_r50-d8"]
    iou = [record.evaluation().iou["car"] for record in records]
    found = section(page, "pspnet_r50-d8")
    row = f'<th scope="row">car</th><td class="number">{np.mean(iou):.1f}</td>'
    assert f'{row}<td class="number">{min(iou):.1f}-{max(iou):.1f}</td>' in found
    assert "mean of 2 seeds, lowest and highest" in found
    assert "Range" not in section(page, "enet")
    assert "The other" not in found


def test_provenance_names_code_machine_and_the_command_to_repeat_it(page, filled):
    record = next(each.record for each in filled.scan()[0] if each.record.architecture == "pspnet_r50-d8")
    found = section(page, "pspnet_r50-d8")
    assert f"segbench rerun {record.run_id}" in found
    assert f"commit {record.environment.code.commit[:8]}" in found
    for text in (record.environment.packages["torch"], record.started[:10]):
        assert f"<td>{text}</td>" in found
    assert f'<td class="prose">{record.environment.cpu}</td>' in found


def test_a_failed_network_has_a_section_without_scores(page):
    found = section(page, "mmseg:bisenetv1")
    assert "diverged" in found
    assert "no mIoU" in found
    for absent in ("Confusion matrix", "IoU by class", "Stages"):
        assert absent not in found


def test_names_of_networks_and_classes_are_escaped(store, make_record, tmp_path):
    record, arrays = make_record('a"b & c')
    classes = ["<b>", 'a"b', "&amp;", "</script>"]
    evaluations = [
        each.model_copy(update={name: dict(zip(classes, getattr(each, name).values(), strict=True)) for name in names})
        for names in [("iou", "acc")]
        for each in record.evaluations
    ]
    data = record.dataset.model_copy(update={"classes": classes})
    store.add(record.model_copy(update={"dataset": data, "evaluations": evaluations, "method": "<i>own"}), arrays)
    text = make(store.root, tmp_path / "reports").files["index.html"].decode()
    assert "<b>" not in text
    assert "<i>" not in text
    assert text.count("</script>") == text.count("<script")
    assert "&lt;b&gt;" in text
    data = re.search('data-classes="([^"]+)"', text)[1]
    assert json.loads(unescape(data)) == [*classes, "void"]
    assert section(text, record.architecture)


def test_of_many_classes_the_lowest_and_highest_are_listed():
    classes = [architecture.ClassIoU(str(index), float(index), float(index), float(index)) for index in range(150)]
    found = [each.name for each in architecture._extremes(classes)]
    assert found == [*map(str, range(10)), *map(str, range(140, 150))]


def test_every_section_of_46_networks_stays_small(store, make_record, tmp_path):
    names = list(catalog.architectures())[:12]
    for name in names:
        for seed in range(3):
            store.add(*make_record(name, seed))
    text = make(store.root, tmp_path / "reports").files["index.html"].decode()
    start = text.index('<section id="architectures"')
    assert (text.index("</section>", start) - start) / len(names) < 15_000


def test_a_network_without_stages_says_why(store, make_record, tmp_path):
    store.add(*make_record("mmseg:bisenetv1"))
    record, arrays = make_record("theirs")
    store.add(record.model_copy(update={"method": "external"}), arrays)
    record, arrays = make_record("broken", status="failed")
    store.add(record.model_copy(update={"complexity": None}), arrays)
    page = make(store.root, tmp_path / "reports").files["index.html"].decode()
    assert "no parameters and MACs by stage: new runs count them" in section(page, "mmseg:bisenetv1")
    assert "Only its predictions are known" in section(page, "theirs")
    assert "were not counted" in section(page, "broken")


@pytest.fixture
def page_of_many_classes(filled, tmp_path, monkeypatch):
    """A report of four classes, which are more than may be shown at once."""
    monkeypatch.setattr(architecture, "CLASSES", 3)
    monkeypatch.setattr(architecture, "EXTREMES", 1)
    monkeypatch.setattr("benchmark.reporting.confusion.READABLE", 3)
    return make(filled.root, tmp_path / "reports").files["index.html"].decode()


def test_of_many_classes_the_others_are_folded(page_of_many_classes, filled):
    found = section(page_of_many_classes, "pspnet_r50-d8")
    shown, folded = found.split("<summary>The other 2 classes</summary>")
    assert "the 1 lowest and highest of 4 classes, the others below" in shown
    folded = folded.partition("</details>")[0]
    names = [re.findall('<th scope="row">([^<]+)</th><td class="number">', each) for each in (shown, folded)]
    classes = filled.scan()[0][0].record.dataset.classes
    assert names[1] == [name for name in classes if name in names[1]]
    assert sorted([*names[0][-2:], *names[1]]) == sorted(classes)


def test_a_matrix_of_many_classes_is_a_heat_map(page_of_many_classes):
    found = section(page_of_many_classes, "pspnet_r50-d8")
    assert 'class="heat-map"' in found
    assert "as a heat map" in found
    assert "Most confused classes" in found
    assert "data-counts" not in found
    assert "heat-map" not in section(page_of_many_classes, "mmseg:bisenetv1")
