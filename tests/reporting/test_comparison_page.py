import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from benchmark.cli import main
from benchmark.results.store import Store


@pytest.fixture
def page(tmp_path, make_record, capsys):
    """The page of two stores of three seeds: PSPNet fell by much, U-Net is in BASE alone, ENet is the same."""
    stores = Store(tmp_path / "base"), Store(tmp_path / "new & <b>")
    for store, first, pspnet in ((stores[0], 0, 0.8), (stores[1], 3, 0.5)):
        for seed in range(first, first + 3):
            store.add(*make_record("pspnet_r50-d8", seed, pspnet + seed / 1000))
        for seed in range(3):
            store.add(*make_record("enet", seed, 0.6 + seed / 1000))
    stores[0].add(*make_record("unet"))
    path = tmp_path / "pages" / "compare.html"
    code = main(["compare", *(str(store.root) for store in stores), "--page", str(path)])
    assert code == 1
    assert "pspnet_r50-d8" in capsys.readouterr().out
    return path, path.read_text(encoding="utf-8")


def test_what_got_worse_is_first_and_open(page):
    text = page[1]
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th>\s<td [^>]+><strong class="(\w+)">([^<]+)</strong>', text)
    assert [(name, outcome) for name, _, outcome in rows[:2]] == [("pspnet_r50-d8", "regression"), ("unet", "missing")]
    details = re.findall("<details( open)? class=.*?<h3>([^<]+)</h3>", text, re.DOTALL)
    assert {name: bool(is_open) for is_open, name in details} == {
        "pspnet_r50-d8": True,
        "unet": True,
        "enet": False,
    }


def test_intervals_and_classes_are_shown(page):
    text = unescape(page[1])
    assert re.search(r'aria-label="Change of mIoU\. -\d+\.\d\d, interval -\d+\.\d\d to -\d+\.\d\d; margin -0\.5"', text)
    part = text[text.index("<h3>pspnet_r50-d8</h3>") :].partition("</details>")[0]
    names = re.findall('<tr><th scope="row">([^<]+)</th><td class="number" data-label="Base">', part)
    assert sorted(names) == ["car", "road_surface", "sky", "tree & hedge"]
    losses = [float(each) for each in re.findall(r'<strong class="worse">(-[\d.]+)</strong>', part)]
    assert losses == sorted(losses)
    assert losses


def test_links_lead_to_the_results_and_names_are_escaped(page):
    path, text = page
    links = [unquote(unescape(link)) for link in re.findall('href="([^"]+)"', text)]
    assert len(links) == 13
    assert all((path.parent / Path(link)).resolve().is_file() for link in links)
    assert "<b>" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_results_of_a_revision_are_not_linked(page, tmp_path, make_record):
    from benchmark.analysis.regression import compare_results
    from benchmark.reporting.comparison_page import comparison_page
    from benchmark.results.source import source

    base = source(str(tmp_path / "base"), tmp_path)
    from dataclasses import replace

    unpacked = replace(base, is_unpacked=True)
    found = compare_results(base, unpacked)
    text = comparison_page(found, (base, unpacked), ("v1", "v2"), 0.5, ["accuracy"], tmp_path)
    assert len(re.findall("<a href=", text)) == len(base.runs)
