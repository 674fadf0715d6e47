from html import unescape

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
