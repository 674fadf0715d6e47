import re
from typing import get_args

from benchmark.reporting.report import make
from benchmark.reporting.verdict_tally import MEANINGS
from benchmark.verdicts.verdict import Outcome


def test_every_outcome_of_a_comparison_has_a_meaning():
    assert {*MEANINGS, "not run"} == set(get_args(Outcome))


def test_counts_are_those_of_the_table(store, make_record, tmp_path):
    for seed in range(3):
        record, arrays = make_record("enet", seed, protocol="camvid_180x240_cpu")
        data = record.dataset.model_copy(update={"name": "camvid"})
        store.add(record.model_copy(update={"dataset": data}), arrays)
    text = make(store.root, tmp_path / "reports").files["index.html"].decode()
    part = text[text.index('<section id="verdicts"') :].partition("</section>")[0]
    heads = re.findall('<th scope="col" class="number">([^<]+)</th>', part.partition("</thead>")[0])
    counts = re.search(r'<th scope="row">camvid_180x240_cpu</th>((?:<td class="number">\d+</td>)+)', part)[1]
    found = dict(zip(heads, map(int, re.findall(r"\d+", counts)), strict=True))
    assert sum(found.values()) == part.count('<td class="source">') > 0


def test_a_report_of_an_embedded_dataset_has_no_verdicts(filled, tmp_path):
    assert 'id="verdicts"' not in make(filled.root, tmp_path / "reports").files["index.html"].decode()
