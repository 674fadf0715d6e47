"""Runs on a real Slurm of two nodes: they end as runs of this machine do, whatever becomes of their jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.results.store import Store

pytestmark = pytest.mark.slurm

SECONDS = 240
"""The longest that anything is waited for."""


class Sweep:
    """Sweeps of ENet on drawn scenes in a folder of its own."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        folder.mkdir(exist_ok=True)

    def command(self, *words, seeds=1, iterations=40):
        run = ["run", "enet", "-p", "shapes_64x64_smoke", "--seeds", ",".join(map(str, range(seeds)))]
        run += ["--max-iters", str(iterations), "--val-interval", "8", "--no-latency", "--device", "cpu"]
        return [sys.executable, "-m", "benchmark", *run, *words]

    def start(self, *words, slurm=True, **fields):
        words = ["--executor", "slurm", "--time", "30", "--mem", "3G", *words] if slurm else words
        return subprocess.Popen(
            self.command(*words, **fields),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words, **fields):
        return ended(self.start(*words, **fields))

    def status(self, *words):
        """Its exit code and what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", "status", "--json", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, 1, 3), done.stderr
        (sweep,) = json.loads(done.stdout)["sweeps"]
        return done.returncode, sweep

    def runs(self):
        return self.status()[1]["runs"]

    def until(self, is_so):
        """The runs as soon as something holds for them."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            done = subprocess.run(
                [sys.executable, "-m", "benchmark", "status", "--json"],
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
            )
            if done.returncode != 2 and is_so(runs := json.loads(done.stdout)["sweeps"][-1]["runs"]):
                return runs
            time.sleep(0.5)
        raise AssertionError(done.stdout + done.stderr)

    @property
    def records(self):
        stored, problems = Store(self.folder / "results").scan()
        assert not problems
        return {each.record.seed: each.record for each in stored}

    def bits(self):
        """What must not depend on where and in how many parts the runs are made, by seed."""
        found = {}
        for each in Store(self.folder / "results").scan()[0]:
            record = each.record
            training = record.training.model_copy(update={"seconds": 0.0, "setup_seconds": None})
            with np.load(each.path.with_suffix(".npz")) as arrays:
                counts = {name: arrays[name].tobytes() for name in arrays.files}
            found[record.seed] = record.status, record.run_id, record.evaluations, record.artifacts, training, counts
        return found


def ended(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.fixture
def sweep(cluster, tmp_path):
    yield Sweep(tmp_path / "sweep", cluster.environment)
    cluster.clear()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The bits of the same runs on this machine, by seed."""
    made = Sweep(tmp_path_factory.mktemp("local") / "sweep", dict(os.environ))
    code, _, err = made.run("--jobs", "2", slurm=False, seeds=8)
    assert code == 0, err
    return made.bits()


def _trains(run, at_least=9):
    """Whether a run trains, and has been validated once."""
    return run["state"] == "running" and run["phase"] == "train" and run["done"] >= at_least


def test_a_sweep_survives_the_death_of_a_node(cluster, sweep, local):
    process, killed, seen = sweep.start(seeds=8), None, set()
    while process.poll() is None:
        before = cluster.states()
        code, status = sweep.status() if (sweep.folder / "work_dirs" / "sweeps").is_dir() else (3, {"runs": []})
        after = cluster.states()
        for run in status["runs"]:
            state, slurm = run["state"], {before.get(run["job"]), after.get(run["job"])}
            seen.add(state)
            if state == "done":
                assert Path(run["result"]).is_file()
            elif run["job"] is None:
                assert state == "pending"
            elif state in ("running", "unresponsive"):
                assert slurm & {"RUNNING", "COMPLETING", "COMPLETED"}
                assert (run["silent_seconds"] or 0) <= 20 or state == "unresponsive"
            else:
                assert state in ("pending", "requeued")
                assert slurm & {"PENDING", "REQUEUED", "CONFIGURING"}
        ends = sum(run["state"] == "done" for run in status["runs"])
        assert len(list(sweep.folder.glob("results/*/enet/*.json"))) >= ends
        assert (code == 0) == (ends == 8)
        victims = [run for run in status["runs"] if _trains(run) and run["node"] == "node1"]
        if killed is None and victims:
            cluster.kill_node("node1")
            killed = [run["seed"] for run in victims]
        time.sleep(0.5)
    code, out, err = ended(process)
    cluster.start_node("node1")
    assert code == 0, err
    assert killed
    assert sweep.bits() == local
    assert (
        {"pending", "running", "requeued", "done"} <= seen <= {"pending", "running", "unresponsive", "requeued", "done"}
    )
    assert "8 " in out or out
    assert sweep.status()[0] == 0
