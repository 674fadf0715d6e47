import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis.leaderboard import class_iou, frame, leaderboard, pareto
from benchmark.analysis.ranking import Standing, ranking
from benchmark.results.summary import Summary, summarise


@pytest.fixture
def records(make_record):
    return [make_record("pspnet_r50-d8", seed, quality)[0] for seed, quality in [(0, 0.8), (1, 0.82), (2, 0.81)]] + [
        make_record("enet", 0, 0.6, macs=500_000_001)[0],
        make_record("unet", 0, status="diverged")[0],
    ]


def test_a_row_a_run(records):
    runs = frame(map(summarise, records))
    assert list(runs.columns) == ["protocol", "fingerprint", *Summary._fields[1:]]
    assert runs["protocol"].unique().tolist() == ["shapes_64x64_smoke"]
    assert runs["miou_percent"].tolist()[:4] == [record.evaluation().miou for record in records[:4]]
    assert pd.isna(runs["miou_percent"][4])
    assert runs["macs"].tolist()[3] == 500_000_001
    assert (runs["macs"].dtype, runs["miou_percent"].dtype, runs["status"].dtype) == ("Int64", "float64", "string")


def test_a_row_an_architecture(records):
    rows = [summarise(record) for record in records]
    table = leaderboard(rows)
    assert list(table.columns) == list(Standing._fields)
    plain = table.astype(object).where(table.notna(), None)
    assert [Standing(*row) for row in plain.itertuples(index=False)] == ranking(rows)
    assert table["rank"].tolist()[:2] == [1, 2]
    assert pd.isna(table["rank"][2])


def test_no_results_make_empty_frames_of_the_same_columns(records):
    rows = [summarise(record) for record in records]
    for make in (frame, leaderboard):
        assert make([]).empty
        assert (make([]).dtypes == make(rows).dtypes).all()


def test_class_iou_is_the_mean_over_seeds(records):
    table = class_iou(records)
    assert list(table.columns) == records[0].dataset.classes
    assert list(table.index) == ["enet", "pspnet_r50-d8"]
    expected = np.mean([record.evaluation().iou["car"] for record in records[:3]])
    assert table.loc["pspnet_r50-d8", "car"] == pytest.approx(expected, abs=1e-12)


def test_class_iou_where_a_class_is_nowhere(make_record):
    record = make_record()[0]
    last = record.evaluations[0]
    without = last.model_copy(update={"iou": last.iou | {"car": None}})
    assert np.isnan(class_iou([record.model_copy(update={"evaluations": [without]})]).loc["enet", "car"])


def test_the_front_against_its_definition():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"miou_percent": rng.integers(0, 12, 60) * 1.0, "macs": rng.integers(1, 12, 60)})
    table.loc[:3, "miou_percent"] = np.nan
    points = list(zip(table["miou_percent"].tolist(), table["macs"].tolist(), strict=True))
    expected = [
        not np.isnan(score)
        and not any(s >= score and c <= cost and (s > score or c < cost) for s, c in points if not np.isnan(s))
        for score, cost in points
    ]
    assert pareto(table, "macs").tolist() == expected
    assert 0 < sum(expected) < 60


@pytest.mark.parametrize("module", ["benchmark.analysis.leaderboard", "benchmark.results.validate"])
def test_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
