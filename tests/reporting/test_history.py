import os
import re
from collections import Counter
from html import unescape
from urllib.parse import quote

import pytest

from benchmark.reporting.report import make


def test_a_report_of_several_versions_has_a_history(store, make_record, tmp_path):
    for version, quality in ((1, 0.8), (2, 0.8), (3, 0.4)):
        for seed in range(3):
            more = {"digest_of_code": f"{version}" * 64, "version": f"0.{version}.0"}
            started = f"2025-0{version}-01T00:00:00+00:00"
            store.add(*make_record("enet", seed, quality + seed / 1000, started=started, **more))
            store.add(*make_record("unet", seed, 0.6 + seed / 1000, started=started, **more))
    text = make(store.root, tmp_path / "reports").files["index.html"].decode()
    history = unescape(text[text.index('<section id="history"') :].partition("</section>")[0])
    assert "<td>2 to 3</td>" in history
    assert '<strong class="worse">worse</strong>' in history
    assert "worse at version 3" in history  # the text of the plot
    assert history.count('<path class="step worse"') == 1
    assert "0.3.0" in history
    assert '<a href="#arch-enet">enet</a>' in history


def test_a_report_of_one_version_has_none(filled, tmp_path):
    assert 'id="history"' not in make(filled.root, tmp_path / "reports").files["index.html"].decode()


@pytest.fixture
def history(store, make_record, tmp_path):
    """Two versions: the latency of ENet is unsteady, U-Net needs more memory, SegNet is in the first only."""
    for version, names in ((1, ("enet", "unet", "segnet-basic")), (2, ("enet", "unet"))):
        for name in names:
            record, arrays = make_record(
                name,
                version,
                digest_of_code=f"{version}" * 64,
                version=f"0.{version}.0",
                started=f"2025-0{version}-01T00:00:00+00:00",
                latency_ms=10.0 + version if name == "enet" else 10.0,
            )
            latency = [each.model_copy(update={"unsteady": "it drifted by +25%"}) for each in record.latency]
            peak = int(record.memory.inference_peak * (1.2 if (name, version) == ("unet", 2) else 1))
            memory = record.memory.model_copy(update={"inference_peak": peak})
            update = {"latency": latency} if name == "enet" else {"memory": memory}
            store.add(record.model_copy(update=update), arrays)
    text = make(store.root, tmp_path / "reports").files["index.html"].decode()
    return unescape(text[text.index('<section id="history"') :].partition("</section>")[0])


def test_every_figure_of_a_version_and_of_a_step_leads_to_results(history, store, tmp_path):
    targets = Counter(re.findall(r'<a href="([^"#]+)"', history))
    stored = {quote(os.path.relpath(each.path, tmp_path / "reports")) for each in store.scan()[0]}
    assert set(targets) == stored  # of each version, the missing architecture's, too
    assert max(targets.values()) > 1  # and those of a step
    (anchor,) = set(re.findall(r'<td class="number"><a href="#([^"]+)">\d+</a></td>', history))
    assert f'id="{anchor}"' in history


def test_memory_is_compared_and_what_is_unsteady_is_named(history):
    steps, undecided = history.split("1 undecided cost, and why")
    assert "Memory at inference" in steps
    assert '<strong class="worse">worse</strong>' in steps
    assert "it drifted by +25%" not in steps
    assert "it drifted by +25%" in undecided
