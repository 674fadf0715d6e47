import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmark.analysis.marks import marks
from benchmark.analysis.ranking import current, groups, ranking
from benchmark.results.summary import EXTERNAL, Conditions, Summary, summarise


@pytest.fixture
def make_run(make_record):
    """A builder of rows: the arguments are those of `make_record`."""
    return lambda *args, **kwargs: summarise(make_record(*args, **kwargs)[0])


@pytest.fixture
def runs(make_run):
    return [
        make_run("pspnet_r50-d8", 0, 0.8, macs=8_000_000_000, latency_ms=80.0),
        make_run("pspnet_r50-d8", 1, 0.82, macs=8_000_000_000, latency_ms=82.0),
        make_run("pspnet_r50-d8", 2, 0.81, macs=8_000_000_000, latency_ms=90.0),
        make_run("enet", 0, 0.6, macs=500_000_001, latency_ms=5.0),
        make_run("unet", 0, status="diverged", macs=900_000_000, latency_ms=9.0),
    ]


def row(table, architecture):
    (found,) = (each for each in table if each.architecture == architecture)
    return found


def names(table):
    return [each.architecture for each in table]


def test_one_row_an_architecture(runs):
    table = ranking(runs)
    assert names(table) == ["pspnet_r50-d8", "enet", "unet"]
    scores = [run.miou_percent for run in runs[:3]]
    pspnet = row(table, "pspnet_r50-d8")
    assert (pspnet.rank, pspnet.seeds) == (1, 3)
    assert pspnet.miou_percent == pytest.approx(np.mean(scores), abs=1e-12)
    assert pspnet.miou_sd_percent == pytest.approx(np.std(scores, ddof=1), abs=1e-12)
    assert (pspnet.latency_ms, pspnet.latency_ratio, pspnet.macs) == (82.0, 20.5, 8_000_000_000)


def test_one_seed_has_no_spread(runs):
    assert row(ranking(runs), "enet").miou_sd_percent is None


def test_a_run_that_failed_is_shown_last_with_what_is_known_of_it(runs):
    unet = row(ranking(runs), "unet")
    assert (unet.status, unet.seeds, unet.failed) == ("diverged", 0, 1)
    assert (unet.rank, unet.miou_percent, unet.macs) == (None, None, 900_000_000)


def test_a_seed_that_failed_is_counted_and_not_averaged(runs, make_run):
    enet = row(ranking([*runs, make_run("enet", 1, 0.1, status="failed", latency_ms=5.0)]), "enet")
    assert (enet.status, enet.seeds, enet.failed) == ("ok", 1, 1)
    assert enet.miou_percent == runs[3].miou_percent


def test_scores_of_a_run_that_did_not_end_well_do_not_rank(make_run):
    (enet,) = ranking([make_run("enet")._replace(status="timed_out", error="time is up")])
    assert (enet.status, enet.miou_percent, enet.rank) == ("timed_out", None, None)


def test_equal_scores_share_a_rank(make_run):
    table = ranking([make_run(name, quality=quality) for name, quality in [("b", 0.7), ("a", 0.7), ("c", 0.5)]])
    assert [(each.rank, each.architecture) for each in table] == [(1, "a"), (1, "b"), (3, "c")]


def test_costs_of_two_devices_are_not_averaged(make_run):
    """Neither milliseconds nor ratios to the anchor, which keeps the hardware in it, nor memory."""
    one, other = make_run(seed=0, latency_ms=8.0, device="A"), make_run(seed=1, latency_ms=40.0, device="B")
    (enet,) = ranking([one, other])
    assert (enet.latency_ms, enet.latency_ratio, enet.device) == (None, None, "A; B")
    assert (enet.inference_memory_bytes, enet.training_memory_bytes) == (None, None)
    assert (enet.params, enet.macs) == (one.params, one.macs)
    (enet,) = ranking([one, other._replace(device="A")])
    assert (enet.latency_ms, enet.latency_ratio) == (24.0, 6.0)
    assert None not in (enet.inference_memory_bytes, enet.training_memory_bytes)


def test_against_pandas():
    """Every column of the table, from rows with gaps, as a data frame would have it."""
    rng = np.random.default_rng(0)
    conditions = Conditions("camvid_360x480_scratch", "0" * 16, {}, {})

    def some(value):
        return None if rng.random() < 0.2 else value

    runs = [
        Summary(
            conditions,
            run_id=f"{rng.integers(1 << 60):016x}",
            architecture=f"network-{rng.integers(30):02}",
            method=f"method-{rng.integers(3)}",
            config_sha256="0" * 64,
            seed=seed,
            version="0.1.0",
            started=f"2025-01-01T00:00:{rng.integers(60):02}+00:00",
            status=str(rng.choice(["ok", "ok", "ok", "failed"])),
            error=None,
            miou_percent=some(float(rng.uniform(0, 100))),
            miou_void_ignored_percent=some(float(rng.uniform(0, 100))),
            miou_void_counted_percent=None,
            best_miou_percent=some(float(rng.uniform(0, 100))),
            macc_percent=some(float(rng.uniform(0, 100))),
            aacc_percent=some(float(rng.uniform(0, 100))),
            params=some(int(rng.integers(1 << 40))),
            params_total=some(int(rng.integers(1 << 40))),
            macs=some(int(rng.integers(1 << 40))),
            input=some("360x480"),
            latency_ms=some(float(rng.uniform(1, 9))),
            latency_iqr_ms=some(0.1),
            latency_repeats=some(50),
            latency_ratio=some(float(rng.uniform(1, 9))),
            latency_setting=some(f"threads {rng.integers(3)}"),
            latency_unsteady=None,
            inference_memory_bytes=some(int(rng.integers(1 << 40))),
            training_memory_bytes=some(int(rng.integers(1 << 40))),
            device=f"device {max(0, rng.integers(-9, 2))}",
            iterations=some(100),
            training_seconds=some(1.0),
            gpu_hours=0.0,
            code="code 0",
            revision=None,
        )
        for seed in range(150)
    ]
    frame = pd.DataFrame(runs, columns=Summary._fields).sort_values(["started", "run_id"])
    ok = frame["status"] == "ok"
    for name in ("miou_percent", "miou_void_ignored_percent", "best_miou_percent", "macc_percent", "aacc_percent"):
        frame[name] = frame[name].where(ok)
    by = frame.groupby("architecture")
    one_device = by["device"].nunique() == 1
    expected = pd.DataFrame(
        {
            "method": by["method"].last(),
            "status": by["status"].last().where(~ok.groupby(frame["architecture"]).any(), "ok"),
            "seeds": ok.groupby(frame["architecture"]).sum(),
            "failed": (~ok).groupby(frame["architecture"]).sum(),
            "miou_percent": by["miou_percent"].mean(),
            "miou_sd_percent": by["miou_percent"].std(),
            **{name: by[name].mean() for name in ("miou_void_ignored_percent", "best_miou_percent")},
            **{name: by[name].mean() for name in ("macc_percent", "aacc_percent")},
            **{name: by[name].last() for name in ("params", "params_total", "macs", "input", "latency_setting")},
            **{name: by[name].median().where(one_device) for name in ("latency_ms", "latency_ratio")},
            **{
                name: by[name].median().round().where(one_device)
                for name in ("inference_memory_bytes", "training_memory_bytes")
            },
            "device": by["device"].agg(lambda devices: "; ".join(sorted(set(devices)))),
        }
    )
    expected["rank"] = expected["miou_percent"].rank(ascending=False, method="min")
    expected["latency_unsteady"] = None
    table = ranking(runs)
    assert names(table) == expected.reset_index().sort_values(["rank", "architecture"])["architecture"].tolist()
    for standing in table:
        wanted = expected.loc[standing.architecture]
        for name, value in standing._asdict().items():
            if name in ("architecture", "rank_low", "rank_high", "best", "front"):  # see test_marks.py
                continue
            if pd.isna(wanted[name]):
                assert value is None, name
            elif isinstance(value, float):
                assert value == pytest.approx(wanted[name], rel=1e-14), name
            else:
                assert value == wanted[name], name


def test_a_newer_run_of_a_seed_stands_for_the_older(make_run):
    old = make_run(quality=0.5, version="0.1.0", started="2025-01-01T00:00:00+00:00")
    new = make_run(quality=0.8, version="0.2.0", started="2025-06-01T00:00:00+00:00")
    (group,) = groups([new, old])
    assert group.runs == [new]
    assert group.superseded == 1
    assert any("1 older result excluded" in note for note in group.notes)


def test_runs_of_a_config_that_was_changed_since_are_not_averaged_with_those_of_today(make_run):
    old = [make_run(seed=s, config="a" * 64, started="2025-01-01T00:00:00+00:00") for s in (0, 1)]
    new = make_run(seed=0, quality=0.9, config="b" * 64, started="2025-06-01T00:00:00+00:00")
    (group,) = groups([*old, new])
    assert group.runs == [new]
    assert [each.miou_percent for each in group.table] == [new.miou_percent]


def test_what_counts_stays_in_order(runs):
    assert current(runs) == runs
    assert current(runs[::-1]) == runs[::-1]


def test_different_fingerprints_never_share_a_ranking(runs, make_run):
    short = make_run("enet", quality=0.99, overrides={"iterations": 3})
    other = make_run("enet", protocol="camvid_360x480_scratch")
    found = groups([short, other, *runs])
    assert [(group.protocol, dict(group.overrides)) for group in found] == [
        ("camvid_360x480_scratch", {}),
        ("shapes_64x64_smoke", {}),
        ("shapes_64x64_smoke", {"iterations": 3}),
    ]
    assert names(found[1].table) == ["pspnet_r50-d8", "enet", "unet"]
    assert found[1].differs == {}
    assert found[2].differs == {"schedule.iterations": (3, 30)}
    assert found[2].title == "shapes_64x64_smoke with iterations = 3"
    assert [each.miou_percent for each in found[2].table] == [short.miou_percent]


def test_the_protocol_without_overrides_comes_first_however_few_its_runs(make_run):
    many = [make_run("enet", seed, overrides={"iterations": 3}) for seed in range(3)]
    found = groups([*many, make_run("enet")])
    assert [dict(group.overrides) for group in found] == [{}, {"iterations": 3}]


def test_axes_that_only_one_side_has_are_named(make_run):
    found = groups([make_run("enet"), make_run("enet", overrides={"warmup": 5})])
    assert found[1].differs == {"schedule.warmup": (5, None)}


def test_two_devices_are_noted(make_run):
    found = groups([make_run("enet", device="A"), make_run("unet", device="B")])
    assert any(note.startswith("Measured on 2 devices (A, B)") for note in found[0].notes)


def test_a_device_that_timed_nothing_is_not_noted(make_run):
    """That of a machine on which predictions were scored, whose latency is stated or unknown."""
    stated = make_run("theirs", device="A")._replace(method=EXTERNAL, latency_ms=3.0)
    scored = make_run("other", device="B")._replace(method=EXTERNAL, latency_ms=None)
    (found,) = groups([stated, scored])
    assert "Device: A." in found.notes
    (found,) = groups([stated, scored, make_run("enet", device="C")])
    assert any(note.startswith("Measured or stated on 2 devices (A, C)") for note in found.notes)


def test_an_unsteady_latency_is_said(make_run):
    steady, other = make_run("enet"), make_run("unet")
    (group,) = groups([steady, other._replace(latency_unsteady="it drifted")])
    assert any("and is unreliable, for unet." in note for note in group.notes)
    assert not any("unsteady" in note for note in groups([steady])[0].notes)


def test_neither_ms_nor_ratios_compare_between_devices(make_run):
    (group,) = groups([make_run("enet", device="A"), make_run("unet", device="B")])
    assert any("neither ms nor ratios compare" in note for note in group.notes)


def test_what_is_mixed_is_said_and_where_it_is_averaged(make_run):
    alike = {"revision": "01234567", "torch": "2.13.0", "platform": "Linux"}
    runs = [make_run("enet", seed)._replace(**alike) for seed in (0, 1)] + [make_run("unet")._replace(**alike)]
    assert groups(runs)[0].mixture == []
    (group,) = groups([*runs[:1], runs[1]._replace(revision="89abcdef"), runs[2]._replace(torch=None)])
    assert group.mixture[0].startswith("Results are of the same code: ")
    assert group.mixture[0].endswith("commit 89abcdef, commit 01234567): enet, unet.")
    assert group.mixture[1:] == [
        "Results of different versions of PyTorch are mixed: 2.13.0 (2 runs), unknown (1 run)."
    ]
    assert set(group.mixture) < set(group.notes)
    (group,) = groups([runs[0]._replace(platform="Windows"), *runs[1:]])
    assert group.mixture == [
        "Results of different platforms are mixed: Linux (2 runs), Windows (1 run); averaged in enet."
    ]


def test_changes_that_no_commit_holds_are_said_even_where_all_have_them(make_run):
    runs = [make_run(name)._replace(revision="01234567 with changes") for name in ("enet", "unet")]
    (note,) = groups(runs)[0].mixture
    assert note == "2 runs of code with uncommitted changes: enet, unet."


def test_a_group_is_ranked_once_and_not_before_its_table_is_asked_for(make_run, monkeypatch):
    counted = []
    monkeypatch.setattr("benchmark.analysis.ranking.marks", lambda *given: counted.append(given) or marks(*given))
    (group,) = groups([make_run("enet"), make_run("unet")])
    assert counted == []
    assert group.table is group.table
    assert len(counted) == 1


def test_no_results():
    assert current([]) == []
    assert ranking([]) == []
    assert groups([]) == []


def test_nothing_heavy_is_imported():
    code = (
        "import sys, benchmark.analysis.ranking, benchmark.reporting.table, benchmark.results.store\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
