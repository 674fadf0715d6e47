import json

import pytest

from benchmark.analysis import coverage
from benchmark.analysis.ranking import groups
from benchmark.reporting.board import bibtex, board, cells, shown
from benchmark.results.record import NetworkSource
from benchmark.results.summary import EXTERNAL, STATED, summarise


def make(records, missing=()):
    (group,) = groups(map(summarise, records))
    rows = [*group.table, *map(coverage.row, missing)]
    table = cells(rows, group.runs)
    return board(
        "here", group.title, group, table, rows, {each.run_id: (each, f"{each.run_id}.json") for each in records}
    )


def column(found, name):
    index = [each["name"] for each in found["columns"]].index(name)
    return {row["name"]: row["values"][index] for row in found["rows"] if row["values"]}


@pytest.fixture
def records(make_record):
    return [
        *(make_record("pspnet_r50-d8", seed, 0.8 + seed / 100, latency_ms=20.0)[0] for seed in range(3)),
        make_record("enet", 0, 0.6, latency_ms=5.0)[0],
        make_record("enet", 1, 0.6, status="failed", latency_ms=5.0)[0],
    ]


def test_is_plain_data_with_a_row_for_each_architecture(records):
    found = make(records, ["unet"])
    assert json.loads(json.dumps(found)) | {"of_a_seed": 0} == found | {"of_a_seed": 0}
    names = [row["name"] for row in found["rows"]]
    assert names == ["pspnet_r50-d8", "enet", "unet"]
    psp, enet, unet = found["rows"]
    assert (psp["method"], psp["backbone"], psp["source"], psp["status"]) == ("pspnet", "ResNet-50", "suite", "ok")
    assert psp["anchor"] == "arch-pspnet_r50-d8"
    assert [run[:3] for run in psp["runs"]] == [[str(r.seed), "ok", f"{r.run_id}.json"] for r in records[:3]]
    assert [run[1] for run in enet["runs"]] == ["ok", "failed"]
    assert unet["values"] == unet["runs"] == []
    assert unet["status"] == "not_run"


def test_frame_rate_and_training_time_are_columns_on_demand(records):
    found = make(records)
    assert column(found, "fps") == {"pspnet_r50-d8": 50.0, "enet": 200.0}
    assert column(found, "training_seconds") == {"pspnet_r50-d8": 12.5, "enet": 12.5}
    assert not {"fps", "training_seconds", "training_memory_bytes", "params_total"} & set(found["shown"])
    assert "status" in found["shown"]  # a run failed


def test_status_is_shown_only_where_it_says_something(records):
    (group,) = groups(map(summarise, records[:4]))
    rows = [*group.table, coverage.row("unet")]
    assert "status" not in shown(cells(rows, group.runs), rows)


def test_unsteady_and_mixed_costs_are_doubtful(make_record):
    alike = [make_record(name, latency_ms=ms)[0] for name, ms in (("enet", 5.0), ("unet", 9.0))]
    assert [row["doubtful"] for row in make(alike)["rows"]] == [[], []]
    timed = [each.model_copy(update={"unsteady": "it drifted"}) for each in alike[0].latency]
    unsteady = make([alike[0].model_copy(update={"latency": timed}), alike[1]])
    doubtful = {row["name"]: row["doubtful"] for row in unsteady["rows"]}
    assert doubtful == {"enet": ["latency_ms", "latency_ratio", "fps"], "unet": []}
    mixed = make([alike[0], make_record("unet", device="Other CPU")[0]])
    for row in mixed["rows"]:
        assert {"latency_ms", "fps", "inference_memory_bytes", "training_seconds"} <= set(row["doubtful"])
        assert "macs" not in row["doubtful"]


def test_stated_costs_are_ignored_by_fronts(make_record):
    record = make_record("theirs")[0]
    timed = [each.model_copy(update={"unsteady": STATED, "anchor_ratio": None}) for each in record.latency]
    found = make([record.model_copy(update={"method": EXTERNAL, "latency": timed}), make_record("enet")[0]])
    theirs = next(row for row in found["rows"] if row["name"] == "theirs")
    assert theirs["source"] == "external predictions"
    assert {"latency_ms", "fps"} <= set(theirs["ignored"])
    assert theirs["cite"] == []


@pytest.mark.parametrize(
    ("name", "kind", "source"),
    [
        ("mine", "file", "own"),
        ("smp:Unet/resnet34", "smp", "library"),
        ("mmseg:fcn_r50-d8_4xb2-40k_cityscapes-512x1024", None, "mmsegmentation zoo"),
    ],
)
def test_source(make_record, name, kind, source):
    record = make_record(name)[0]
    of = NetworkSource(name=name, kind=kind, packages={}, sha256="a" * 64) if kind else None
    (row,) = make([record.model_copy(update={"source": of})])["rows"]
    assert row["source"] == source


def test_bibtex_has_all_that_is_cited(records):
    found = make(records)
    entries = bibtex([found], [summarise(each) for each in records])
    assert set(entries) == {"segbench", "zhao2017pspnet", "paszke2016enet"}
    assert all(entry.startswith("@") and f"{{{key}," in entry for key, entry in entries.items())


def test_a_result_without_a_method_has_a_row(make_record):
    (row,) = make([make_record("__proto__")[0].model_copy(update={"method": ""})])["rows"]
    assert (row["method"], row["cite"]) == ("not stated", [])
