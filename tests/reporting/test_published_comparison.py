"""What the report says of published figures: a verdict with its reason and source, or why there is none."""

import re
from html import unescape

import pytest

from benchmark.reporting.report import make


@pytest.fixture
def shown(store, tmp_path):
    """The rows of published figures on the page, as text, and all of its text about them."""

    def shown():
        page = make(store.root, tmp_path / "reports").files["index.html"].decode()
        if "Comparison with published results" not in page:
            return [], ""
        part = page.split("<h3>Comparison with published results</h3>")[1].split("<h3>")[0]
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in part.split("<tr>")[1:]]
        cells = [[unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in rows]
        return [row for row in cells if row[0] != "Architecture"], " ".join(part.split())

    return shown


def test_a_figure_has_its_verdict_its_reason_and_its_source(add_real, publish, shown):
    scores = [add_real(seed=seed).miou for seed in range(10)]
    mean = sum(scores) / 10
    publish("enet", mean, decimals=2)
    publish("enet", mean - 20)
    (good, bad), text = shown()
    assert good[:4] == ["enet", "mIoU", f"{mean:.2f}", f"{mean:.2f}"]
    assert (good[5], bad[5]) == ("reproduced", "differs")
    assert good[6].startswith("10 seeds, deviation")
    assert bad[6].startswith("above")
    assert good[7] == "A <paper>, Table 1"
    assert '<a href="https://example.org/paper">A &lt;paper&gt;</a>' in text
    assert "less than 1 point, " in text
    assert "not comparable" not in text


def test_each_metric_is_held_against_its_own(add_real, publish, shown):
    found = [add_real(seed=seed) for seed in range(10)]
    publish("enet", sum(each.macc for each in found) / 10, metric="macc")
    publish("enet", 1, metric="params", unit="M")
    ((_, metric, *_, outcome, _, _),), _ = shown()
    assert (metric, outcome) == ("mAcc", "reproduced")


def test_what_is_not_comparable_is_folded_away_with_its_reason(add_real, publish, shown):
    add_real()
    publish("enet", 50, split="val")
    ((*row,),), text = shown()
    assert row[:3] == ["enet", "mIoU", "50.00"]
    assert "split: val, ours test" in row[3]
    assert "No published figure can be compared with these results." in text
    assert "<summary>1 published figure not comparable, and why</summary>" in text


def test_further_seeds_are_asked_for(add_real, publish, shown):
    add_real()
    publish("enet", 50)
    ((*_, outcome, reason, _),), _ = shown()
    assert outcome == "inconclusive"
    assert reason.endswith("; 1 further seed would settle it")


def test_a_dataset_on_which_nothing_is_published(add_real, publish, shown):
    add_real(dataset="camvid_180x240")
    publish("enet", 50)
    rows, text = shown()
    assert rows == []
    assert "No accuracy on camvid_180x240 was published, so nothing here is compared." in text


def test_the_zoo_is_not_read_for_an_embedded_dataset(add_real, shown, monkeypatch):
    add_real(dataset="shapes")
    monkeypatch.setattr("benchmark.catalog.mmseg_zoo.everything", None)
    assert shown() == ([], "")


def test_published_speeds_stand_beside_ours(add_real, publish, shown):
    add_real(latency_ms=5.0)
    speed = {"unit": "ms", "dataset": None, "split": None, "decimals": 0}
    publish("enet", 7, metric="latency_ms", stated={"input_size": (360, 640), "hardware": "NVIDIA TX1"}, **speed)
    publish("unet", 7, metric="latency_ms", stated={"input_size": (360, 640)}, **speed)
    (row,), text = shown()
    assert row[:5] == ["enet", "Latency", "7 ms", "5.0 ms", "not comparable"]
    assert row[5].startswith("device: NVIDIA TX1, ours ")
    assert "1 published speed compared with ours" in text
