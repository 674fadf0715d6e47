"""The campaign goes on wherever a lease of a GPU has ended."""

import importlib.util
import os
import tarfile
from itertools import islice, product
from pathlib import Path

import pytest

from benchmark.catalog import catalog
from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.execution import batch
from benchmark.execution.spec import Spec, sources
from benchmark.results.store import Store
from benchmark.results.validate import validate

SCRIPT = Path(__file__).parents[2] / "experiments" / "campaign.py"


@pytest.fixture
def campaign():
    specification = importlib.util.spec_from_file_location("campaign", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_order_of_the_runs(campaign):
    """One of each method, ENet as its authors train it, then the rest; nothing twice."""
    names, scratch = list(catalog.architectures()), "camvid_360x480_scratch"
    first = catalog.representatives()
    stages = list(campaign.schedule([_runs(stage) for stage in campaign.STAGES]))
    assert stages[0] == [(scratch, name, 0) for name in first]
    assert stages[1] == [("camvid_360x480_enet", "enet", seed) for seed in range(3)]
    assert stages[2] == [(scratch, name, 0) for name in names if name not in first]
    assert stages[3] == [("camvid_360x480_espnet", "espnet", seed) for seed in range(3)]
    assert stages[4] == [(scratch, name, seed) for seed, name in product((1, 2), names)]
    assert stages[5] == [(scratch, name, seed) for seed, name in product(range(3, 10), campaign.ANCHORS)]


def _runs(stage):
    """As `stage_runs`, of protocols that may not be there."""
    names = catalog.architectures() if stage.architectures is None else stage.architectures
    return [(stage.protocol, name, seed) for seed, name in product(range(stage.seeds), names)]


def test_a_stage_names_what_there_is(campaign):
    stage = campaign.Stage("a stage", "shapes_64x64_smoke", ("enet", "espnet"), 2)
    assert campaign.stage_runs(stage) == _runs(stage)
    with pytest.raises(UserError, match="unknown protocol 'shapes'"):
        campaign.stage_runs(stage._replace(protocol="shapes"))
    with pytest.raises(UserError, match="unknown architecture 'ennet'"):
        campaign.stage_runs(stage._replace(architectures=("ennet",)))


def test_mistakes_are_one_line(campaign, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(campaign, "STAGES", (campaign.Stage("a stage", "shapes_64x64_smoke", ("enet",), 1),))
    for words, line in (
        (["out.zip"], "the name of an archive must end in"),
        (["out.tar", "--time-budget", "soon"], "a duration such as 25m"),
        (["out.tar", "--device", "cuda:99"], "device cuda:99 is not available"),
    ):
        assert campaign.main([str(tmp_path / words[0]), *words[1:]]) == 2
        captured = capsys.readouterr()
        assert (captured.err.count("\n"), line in captured.err) == (1, True)


def test_two_leases_end_to_end(campaign, monkeypatch, tmp_path, capsys):
    """The first lease is too short; the second has what it brought; together they leave what a report is made of."""
    shapes = "shapes_64x64_smoke"
    stages = (campaign.Stage("one seed", shapes, ("enet", "espnet"), 1), campaign.Stage("two", shapes, ("enet",), 2))
    monkeypatch.setattr(campaign, "STAGES", stages)
    sources.cache_clear()

    def lease(name, budget):
        folder = tmp_path / name
        places = ["--results", str(folder / "results"), "--work-dir", str(folder / "work")]
        words = [str(folder / "out.tar"), *places, "--device", "cpu", "--max-iters", "2", "--jobs", "1"]
        return campaign.main([*words, "--time-budget", budget]), capsys.readouterr().out

    home = Store(tmp_path / "home")

    completed = batch.completed
    monkeypatch.setattr(batch, "completed", lambda specs, executor: completed(islice(specs, 1), executor))
    code, printed = lease("first", "10m")
    assert code == 3
    assert "one seed: 1 of 2 left\ntwo: 1 of 1 left" in printed
    assert printed.endswith("out.tar: 1 new results\n")
    assert main(["results", "add", str(tmp_path / "first/out.tar"), "--results", str(home.root)]) == 0

    monkeypatch.setattr(batch, "completed", completed)
    assert main(["results", "add", str(home.root), "--results", str(tmp_path / "second/results")]) == 0
    capsys.readouterr()
    code, printed = lease("second", "10m")
    assert code == 0
    assert printed.endswith("out.tar: 2 new results\n")
    assert main(["results", "add", str(tmp_path / "second/out.tar"), "--results", str(home.root)]) == 0
    stored, problems = home.scan()
    ended = sorted((each.record.architecture, each.record.seed, each.record.status) for each in stored)
    assert ended == [("enet", 0, "ok"), ("enet", 1, "ok"), ("espnet", 0, "ok")]
    assert problems == []
    assert validate(home.root) == (3, [])

    where = ["--results", str(home.root)]
    assert main(["verify", "-p", shapes, *where]) in (0, 1)
    assert main(["leaderboard", "-p", shapes, *where]) == 0
    assert main(["report", *where, "--output", str(tmp_path / "reports")]) == 0
    assert (tmp_path / "reports" / "index.html").stat().st_size > 1000

    # Called again where it has ended: nothing is run, and the archive keeps what it has.
    before = (tmp_path / "second/out.tar").read_bytes()
    capsys.readouterr()
    code, printed = lease("second", "10m")
    assert (code, printed.splitlines()[0]) == (0, "0 done, of which 0 failed")
    assert (tmp_path / "second/out.tar").read_bytes() == before


def _outcomes(**statuses):
    from benchmark.selftest.worker import CheckOutcome

    return lambda device, checks: (
        CheckOutcome(name.replace("_", " "), status, "why", 1.0) for name, status in statuses.items()
    )


def test_what_the_self_test_finds_broken_is_done_without(campaign, monkeypatch, capsys):
    outcomes = _outcomes(worker="pass", resident_batches="fail", latency="fail", compiled_training="skipped")
    monkeypatch.setattr("benchmark.selftest.worker.run", outcomes)
    assert campaign.self_test("cuda") == {"resident": "off"}
    assert "self-test: latency: fail, why" in capsys.readouterr().out
    monkeypatch.setattr("benchmark.selftest.worker.run", _outcomes(worker="pass", device="fail"))
    with pytest.raises(UserError, match="no run is possible: device: why"):
        campaign.self_test("cuda")


def test_the_self_test_takes_a_minute_at_most(campaign, monkeypatch, capsys):
    now = iter([0.0, 30.0, 61.0])
    monkeypatch.setattr(campaign, "time", type("Clock", (), {"monotonic": staticmethod(lambda: next(now))}))
    monkeypatch.setattr("benchmark.selftest.worker.run", _outcomes(worker="pass", device="pass", memory="fail"))
    assert campaign.self_test("cuda") == {}
    assert "memory" not in capsys.readouterr().out


def test_unfinished_runs_are_packed_as_far_as_they_fit(campaign, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(campaign, "LIMIT", 8000)
    for name, size in (("a", 3000), ("b", 9000), ("c", 2000)):
        (tmp_path / "work" / name / "first_stage").mkdir(parents=True)
        (tmp_path / "work" / name / "first_stage" / "resume.pth").write_bytes(bytes(size))
        (tmp_path / "work" / name / ".lock").touch()
    out = campaign.next_to(tmp_path / "out.tar", "unfinished")
    campaign.pack_files(tmp_path / "work", [tmp_path / "work" / name for name in "abc"], out)
    assert "too large for out.unfinished.tar" in capsys.readouterr().out
    assert campaign.unpack(out, tmp_path / "again", lambda name: name, 10**6) == 2
    assert (tmp_path / "again/c/first_stage/resume.pth").stat().st_size == 2000
    campaign.pack_files(tmp_path / "work", [], out)
    assert not out.exists()


def test_timings_and_the_newest_kernels_are_packed_first(campaign, monkeypatch, tmp_path, capsys):
    """As far as the limit holds them, to the byte; what does not fit is said."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    for age, (name, size) in enumerate([("a.artifacts", 9000), ("b.artifacts", 9000), ("c.artifacts", 9000)]):
        (folder / name).write_bytes(bytes(size))
        os.utime(folder / name, (1000.5 - age, 1000.5 - age))
    (folder / "c.json").write_text("{}")
    os.utime(folder / "c.json", (1.0, 1.0))
    monkeypatch.setattr(campaign, "LIMIT", 2 * 10240)
    assert [file.name for file in campaign.kept_kernels(folder)] == [
        "c.json", "a.artifacts", "b.artifacts", "c.artifacts",
    ]  # fmt: skip
    out = campaign.next_to(tmp_path / "out.tar", "kernels")
    campaign.pack_files(folder, campaign.kept_kernels(folder), out)
    said = capsys.readouterr().out
    with tarfile.open(out) as archive:
        packed = archive.getnames()
    assert packed[:2] == ["c.json", "a.artifacts"]
    assert out.stat().st_size <= campaign.LIMIT
    for name in ("b.artifacts", "c.artifacts"):
        assert (name in packed) is not (f"{name}: " in said)
    assert "c.artifacts" not in packed


def test_the_device_is_idle_between_the_last_word_of_a_run_and_the_first_of_the_next(
    campaign, monkeypatch, make_record, capsys
):
    now = iter([10.0, 20.0, 23.5, 30.0])
    monkeypatch.setattr(campaign, "time", type("Clock", (), {"monotonic": staticmethod(lambda: next(now))}))
    monkeypatch.setattr(campaign.Lines, "progress", lambda *_: None)
    packed = []
    ledger = campaign.Ledger(2, lambda: packed.append(True))
    for spec in (Spec("enet", "shapes_64x64_smoke", seed, "cpu") for seed in (0, 1)):
        for done in (1, 2):
            ledger.progress(spec, "train", done, 2, None)
        ledger.end(spec, make_record()[0])
    out = capsys.readouterr().out
    assert "device idle 0.0 s, set-up 0.0 s, 416.7 ms per iteration" in out
    assert "device idle 3.5 s" in out
    assert len(packed) == 2
    assert len(ledger.table()) == 6
