"""What names a run is worked out once, and goes with it to the process that makes it."""

import pickle
import time
from collections import Counter
from dataclasses import FrozenInstanceError, replace

import pytest

from benchmark.cli import main
from benchmark.configs import axes
from benchmark.errors import UserError
from benchmark.execution import run
from benchmark.execution.spec import Spec, sources
from benchmark.results import code, record
from benchmark.results.reading import read
from benchmark.results.validate import validate


@pytest.fixture
def spec(tmp_path):
    return Spec(
        architecture="enet",
        protocol="shapes_64x64_smoke",
        seed=0,
        device="cpu",
        deterministic=True,
        latency=False,
        overrides={"max_iters": 2},
        root=None,
        results=tmp_path / "results",
        work_dir=tmp_path / "work",
        keep_weights=None,
    )


@pytest.fixture
def calls(monkeypatch):
    """How often each part of an identity was worked out."""
    counted = Counter()

    def count(module, name):
        real = getattr(module, name)

        def counting(*args):
            counted[name] += 1
            return real(*args)

        monkeypatch.setattr(module, name, counting)

    for module, name in ((axes, "axes_of"), (axes, "config_hash"), (record, "fingerprint"), (record, "run_id")):
        count(module, name)
    return counted


def test_what_names_a_run(spec):
    identity = spec.identity
    assert identity.fingerprint == record.fingerprint(identity.axes)
    assert identity.config_sha256 == axes.config_hash(spec.config)
    assert identity.code == code.digest()
    parts = (identity.fingerprint, "enet", identity.config_sha256, 0, identity.code)
    assert identity.run_id == record.run_id(*parts)
    assert spec.folder.name == identity.run_id
    with pytest.raises(FrozenInstanceError):
        identity.run_id = "0" * 16


def test_a_run_works_it_out_once(spec, calls, monkeypatch, tmp_path, capsys):
    """From `segbench run` to the stored result, with a plan because of the time budget, and a worker's own copy."""

    def completed(specs, executor):
        for each in specs:
            yield read(run.run_one(pickle.loads(pickle.dumps(each)), lambda *_: None))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmark.execution.batch.completed", completed)
    words = ["run", "enet", "--max-iters", "2", "--no-latency", "--device", "cpu", "--time-budget", "1h"]
    assert main(words) == 0
    assert calls == {"axes_of": 1, "config_hash": 1, "fingerprint": 1, "run_id": 1}
    assert "skipped" not in capsys.readouterr().err
    assert validate(tmp_path / "results") == (1, [])


def test_a_worker_gets_it(spec, calls):
    sent = pickle.dumps(spec)
    assert calls == {"axes_of": 1, "config_hash": 1, "fingerprint": 1, "run_id": 1}
    there = pickle.loads(sent)
    assert there.identity == spec.identity
    assert calls.total() == 4


def test_it_is_valid_in_another_folder_and_on_another_machine(camvid_miniature, tmp_path, monkeypatch):
    """Paths do not depend on the working directory, and the deadline not on the clock since the start of a machine."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("SEGBENCH_DATA", str(camvid_miniature))
    now = time.monotonic()
    spec = Spec("enet", "camvid_360x480_scratch", 0, "cpu", deadline=now + 60)
    sent = pickle.dumps(spec)
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.delenv("SEGBENCH_DATA")
    monkeypatch.setattr(time, "monotonic", lambda: now - 5000)
    there = pickle.loads(sent)
    assert (there.results, there.work_dir) == (tmp_path / "here" / "results", tmp_path / "here" / "work_dirs")
    assert there.folder == tmp_path / "here" / spec.folder
    assert len(sources("camvid", there.root)["test"]) == 3
    assert there.deadline - time.monotonic() == pytest.approx(60, abs=10)
    assert spec.deadline == now + 60


def test_another_deadline_keeps_it_and_any_other_change_does_not(spec, calls):
    known = spec.identity
    later = spec.with_deadline(5.0)
    assert (later.deadline, later.identity is known, later.config is spec.config) == (5.0, True, True)
    assert calls["run_id"] == 1
    assert replace(spec, seed=1).identity.run_id != known.run_id
    assert calls["run_id"] == 2


def test_other_code_is_another_run(spec, monkeypatch):
    known = spec.identity
    monkeypatch.setattr(code, "digest", lambda: "f" * 64)
    other = replace(spec).identity
    assert (other.fingerprint, other.config_sha256) == (known.fingerprint, known.config_sha256)
    assert other.run_id != known.run_id


def test_a_run_whose_code_was_changed_since_it_was_named_is_not_made(spec, monkeypatch):
    """Its result would say that it is of the code of before."""
    _ = spec.identity
    monkeypatch.setattr(code, "digest", lambda: "f" * 64)
    with pytest.raises(UserError, match="the code was changed after the runs were planned: repeat the command"):
        run.run_one(spec, lambda *_: None)
    assert not spec.results.exists()
