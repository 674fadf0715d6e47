import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis.leaderboard import RUN_COLUMNS, class_iou, current, flat, frame, groups, leaderboard, pareto


@pytest.fixture
def records(make_record):
    return [
        make_record("pspnet_r50-d8", 0, 0.8, macs=8_000_000_000, latency_ms=80.0)[0],
        make_record("pspnet_r50-d8", 1, 0.82, macs=8_000_000_000, latency_ms=82.0)[0],
        make_record("pspnet_r50-d8", 2, 0.81, macs=8_000_000_000, latency_ms=90.0)[0],
        make_record("enet", 0, 0.6, macs=500_000_001, latency_ms=5.0)[0],
        make_record("unet", 0, status="diverged", macs=900_000_000, latency_ms=9.0)[0],
    ]


def row(table, architecture):
    return table.set_index("architecture").loc[architecture]


def test_a_row_a_run_in_full_precision(records):
    runs = frame(records)
    assert list(runs.columns) == list(RUN_COLUMNS)
    assert runs["miou_percent"].tolist()[:4] == [record.evaluation().miou for record in records[:4]]
    assert runs["best_miou_percent"].tolist()[0] == records[0].evaluation("best").miou
    assert runs["macs"].tolist()[3] == 500_000_001
    assert runs["latency_ratio"].tolist()[3] == 1.25
    assert runs["input"].tolist()[0] == "64x64"


def test_what_a_run_does_not_have_is_missing(make_record):
    record = make_record(status="failed")[0].model_copy(
        update={"training": None, "complexity": None, "latency": [], "memory": None}
    )
    (missing,) = frame([record]).to_dict("records")
    for name in ("miou_percent", "params", "macs", "input", "latency_ms", "inference_memory_bytes", "iterations"):
        assert pd.isna(missing[name]), name


def test_no_results_make_an_empty_frame_of_the_same_columns():
    assert list(frame([]).columns) == list(RUN_COLUMNS)
    assert current(frame([])).empty
    assert groups([]) == []


def test_one_row_an_architecture(records):
    table = leaderboard(frame(records))
    assert table["architecture"].tolist() == ["pspnet_r50-d8", "enet", "unet"]
    scores = [record.evaluation().miou for record in records[:3]]
    pspnet = row(table, "pspnet_r50-d8")
    assert pspnet["rank"] == 1
    assert pspnet["seeds"] == 3
    assert pspnet["miou_percent"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert pspnet["miou_sd_percent"] == pytest.approx(np.std(scores, ddof=1), abs=1e-12)
    assert pspnet["latency_ms"] == 82.0
    assert pspnet["latency_ratio"] == 20.5
    assert pspnet["macs"] == 8_000_000_000


def test_one_seed_has_no_spread(records):
    assert np.isnan(row(leaderboard(frame(records)), "enet")["miou_sd_percent"])


def test_a_run_that_failed_is_shown_last_with_what_is_known_of_it(records):
    unet = row(leaderboard(frame(records)), "unet")
    assert unet["status"] == "diverged"
    assert (unet["seeds"], unet["failed"]) == (0, 1)
    assert pd.isna(unet["rank"])
    assert pd.isna(unet["miou_percent"])
    assert unet["macs"] == 900_000_000


def test_a_seed_that_failed_is_counted_and_not_averaged(records, make_record):
    failed = make_record("enet", 1, 0.1, status="failed", latency_ms=5.0)[0]
    enet = row(leaderboard(frame([*records, failed])), "enet")
    assert (enet["status"], enet["seeds"], enet["failed"]) == ("ok", 1, 1)
    assert enet["miou_percent"] == records[3].evaluation().miou


def test_scores_of_a_run_that_did_not_end_well_do_not_rank(make_record):
    timed_out = make_record("enet")[0].model_copy(update={"status": "timed_out", "error": "time is up"})
    (enet,) = leaderboard(frame([timed_out])).to_dict("records")
    assert enet["status"] == "timed_out"
    assert np.isnan(enet["miou_percent"])


def test_equal_scores_share_a_rank(make_record):
    table = leaderboard(frame([make_record(name, quality=q)[0] for name, q in [("b", 0.7), ("a", 0.7), ("c", 0.5)]]))
    assert table["architecture"].tolist() == ["a", "b", "c"]
    assert table["rank"].tolist() == [1, 1, 3]


def test_milliseconds_of_two_devices_are_not_averaged(make_record):
    runs = frame(
        [make_record(seed=0, latency_ms=8.0, device="A")[0], make_record(seed=1, latency_ms=40.0, device="B")[0]]
    )
    (enet,) = leaderboard(runs).to_dict("records")
    assert np.isnan(enet["latency_ms"])
    assert enet["latency_ratio"] == 6.0
    assert enet["device"] == "A; B"


def test_a_newer_run_of_a_seed_stands_for_the_older(make_record):
    old = make_record(quality=0.5, version="0.1.0", started="2025-01-01T00:00:00+00:00")[0]
    new = make_record(quality=0.8, version="0.2.0", started="2025-06-01T00:00:00+00:00")[0]
    (group,) = groups([new, old])
    assert group.runs["run_id"].tolist() == [new.run_id]
    assert group.superseded == 1
    assert any("1 older result left out" in note for note in group.notes)


def test_runs_of_a_config_that_was_changed_since_are_not_averaged_with_those_of_today(make_record):
    old = [make_record(seed=s, config="a" * 64, started="2025-01-01T00:00:00+00:00")[0] for s in (0, 1)]
    new = make_record(seed=0, quality=0.9, config="b" * 64, started="2025-06-01T00:00:00+00:00")[0]
    (group,) = groups([*old, new])
    assert group.runs["run_id"].tolist() == [new.run_id]
    assert group.table["miou_percent"].tolist() == [new.evaluation().miou]


def test_different_fingerprints_never_share_a_ranking(records, make_record):
    short = make_record("enet", quality=0.99, overrides={"iterations": 3})[0]
    other = make_record("enet", protocol="camvid_360x480_scratch")[0]
    found = groups([short, other, *records])
    assert [(group.protocol, dict(group.overrides)) for group in found] == [
        ("camvid_360x480_scratch", {}),
        ("shapes_64x64_smoke", {}),
        ("shapes_64x64_smoke", {"iterations": 3}),
    ]
    assert found[1].table["architecture"].tolist() == ["pspnet_r50-d8", "enet", "unet"]
    assert found[1].differs == {}
    assert found[2].differs == {"schedule.iterations": (3, 30)}
    assert found[2].title == "shapes_64x64_smoke with iterations = 3"
    assert found[2].table["miou_percent"].tolist() == [short.evaluation().miou]


def test_the_protocol_without_overrides_comes_first_however_few_its_runs(make_record):
    many = [make_record("enet", seed, overrides={"iterations": 3})[0] for seed in range(3)]
    found = groups([*many, make_record("enet")[0]])
    assert [dict(group.overrides) for group in found] == [{}, {"iterations": 3}]


def test_axes_that_only_one_side_has_are_named(make_record):
    found = groups([make_record("enet")[0], make_record("enet", overrides={"warmup": 5})[0]])
    assert found[1].differs == {"schedule.warmup": (5, None)}


def test_two_devices_are_noted(make_record):
    found = groups([make_record("enet", device="A")[0], make_record("unet", device="B")[0]])
    assert any(note.startswith("Measured on 2 devices (A, B)") for note in found[0].notes)


def test_an_unsteady_latency_is_said(make_record):
    steady, other = make_record("enet")[0], make_record("unet")[0]
    unsteady = other.model_copy(update={"latency": [other.latency[0].model_copy(update={"unsteady": "it drifted"})]})
    (group,) = groups([steady, unsteady])
    assert group.runs["latency_unsteady"].tolist()[1] == "it drifted"
    assert any("not to be trusted, for unet." in note for note in group.notes)
    assert not any("unsteady" in note for note in groups([steady])[0].notes)


def test_the_headline_latency_is_one_image_end_to_end(make_record):
    record = make_record()[0]
    (one,) = record.latency
    others = [
        one.model_copy(update={"batch": 16, "median_ms": 1.0}),
        one.model_copy(update={"regime": "device", "median_ms": 2.0}),
        one.model_copy(update={"median_ms": 3.0}),
    ]
    runs = frame([record.model_copy(update={"latency": others})])
    assert runs["latency_ms"].tolist() == [3.0]
    assert runs["latency_setting"].tolist()[0].startswith("end_to_end (thread_cpu clock), 64x64, batch 1, float32")


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


def test_flat_names_every_leaf():
    tree = {"a": {"b": 1, "c": [{"d": 2}, {"d": 3}]}, "size": [3, 4], "none": None, "empty": {}}
    assert dict(flat(tree)) == {"a.b": 1, "a.c.0.d": 2, "a.c.1.d": 3, "size": [3, 4], "none": None, "empty": {}}


@pytest.mark.parametrize("module", ["benchmark.analysis.leaderboard", "benchmark.results.validate"])
def test_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
