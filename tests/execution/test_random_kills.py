"""SIGKILL at random moments of `segbench run enet`: the repeated command leaves what one that was not killed leaves.

A moment is a time since the first checkpoint, or the n-th change of a file in the folder of the run or the store:
checkpoints and records are written in milliseconds, which a time hardly hits. The worker alone is killed,
`segbench run`, or all its processes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.results.reading import read
from benchmark.results.validate import check, validate

VICTIMS = ("worker", "command", "all")

WORDS = ("enet", "--max-iters", "24", "--val-interval", "4", "--batch-size", "2", "--no-latency", "--device", "cpu")

# Python imports it at its start; the fork server and all workers inherit it.
HOOK = f"""
import os, signal, sys

_at, _changes = int(os.environ.get("KILL_AT", "-1")), 0

def _see(event, arguments):
    global _changes
    path, _, flags = (*arguments, None, None, None)[:3]
    writes = event == "open" and (flags or 0) & (os.O_WRONLY | os.O_RDWR)
    if not (writes or event in {("os.remove", "os.rename", "os.rmdir", "shutil.rmtree")!r}):
        return
    if not isinstance(path, (str, os.PathLike)) or not os.path.abspath(os.fspath(path)).startswith(
        (os.environ["WORK"], os.environ["RESULTS"])
    ) or "vis_data" in os.fspath(path) or os.fspath(path).endswith((".log", ".lock")):
        return
    _changes += 1
    handle = os.open(os.environ["CHANGES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{{os.getpid()}}\\n".encode())
    os.close(handle)
    if _changes == _at:
        os.kill(os.getpid(), signal.SIGSTOP)

if "CHANGES" in os.environ and "segbench" not in sys.orig_argv:
    sys.addaudithook(_see)
"""


class Command:
    """`segbench run` in a folder of its own, which can be killed.

    Args:
        home: the folder.
    """

    def __init__(self, home):
        self.home = home
        (home / "hook").mkdir(parents=True)
        (home / "tmp").mkdir()
        (home / "hook" / "sitecustomize.py").write_text(HOOK)
        self.changes = home / "changes"
        path = os.pathsep.join([str(home / "hook"), *map(os.path.abspath, sys.path)])
        self.environment = os.environ | {
            "PYTHONPATH": path,
            "TMPDIR": str(home / "tmp"),
            "WORK": str(home / "work_dirs"),
            "RESULTS": str(home / "results"),
            "CHANGES": str(self.changes),
            "OMP_NUM_THREADS": "1",
        }

    def start(self, kill_at=-1):
        self.changes.unlink(missing_ok=True)
        command = [sys.executable, "-m", "segbench", "run", *WORDS]
        self.process = subprocess.Popen(
            command,
            cwd=self.home,
            env=self.environment | {"KILL_AT": str(kill_at)},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self):
        out, _ = self.process.communicate(timeout=600)
        return self.process.returncode, out

    def wait_for(self, is_reached):
        """Wait for a moment; return whether it comes before the end of the command."""
        while not is_reached():
            if self.process.poll() is not None:
                return False
            time.sleep(0.005)
        return True

    def worker(self):
        """Return the process that changes files, once it does."""
        return int(self.changes.read_text().split()[-1]) if self.changes.exists() else None

    def is_stopped(self):
        """Return whether the worker waits at the change at which it is to be killed."""
        worker = self.worker()
        try:
            return worker is not None and Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def kill(self, victim):
        processes = {"worker": [self.worker()], "command": [self.process.pid], "all": self.all()}[victim]
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        worker = self.worker()
        if victim == "command" and worker in self.all():
            os.kill(worker, signal.SIGCONT)
        code, out = self.finish()
        return code, out

    def all(self):
        """Return the processes of the command: those that have its variables."""
        found, mark = [], f"CHANGES={self.changes}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def outcome(self):
        """Return what must not depend on kills."""
        (path,) = (self.home / "results").glob("*/*/*.json")
        found = read(path).record
        training = found.training.model_copy(update={"seconds": 0.0, "setup_seconds": None})
        with np.load(path.with_suffix(".npz")) as file:
            arrays = {name: file[name].tobytes() for name in file.files}
        assert check(path) == []
        return found.status, found.run_id, found.evaluations, found.artifacts, training, arrays

    def files(self):
        """Return the files that the command has left."""
        folders = [self.home / name for name in ("results", "work_dirs", "reports")]
        found = [path.relative_to(self.home) for folder in folders for path in folder.rglob("*")]
        # Each call leaves a manifest, of which `segbench status` tells.
        return {path for path in found if not {"vis_data", "sweeps"} & {*path.parts}}


def _moments(rng, number, seconds, changes):
    """Draw moments, half of them times and half changes, for each victim in turn."""
    for index in range(number):
        victim = VICTIMS[index % len(VICTIMS)]
        if index % 2:
            yield victim, "second", rng.uniform(0, 0.8 * seconds)  # it ends with the report
        else:
            yield victim, "change", rng.randint(1, changes)


@pytest.mark.parametrize("number", [pytest.param(3, id="three"), pytest.param(20, id="twenty", marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_random_moments_ends_in_the_same_bits(tmp_path, number):
    seed = int(os.environ.get("SEGBENCH_TEST_SEED") or int.from_bytes(os.urandom(4), "big"))
    print("SEGBENCH_TEST_SEED", seed)
    whole = Command(tmp_path / "whole")
    whole.start()
    assert whole.wait_for(whole.changes.exists)
    began = time.monotonic()
    code, out = whole.finish()
    seconds, changes = time.monotonic() - began, len(whole.changes.read_text().split())
    assert code == 0, out
    expected, files = whole.outcome(), whole.files()
    assert changes > 40
    for index, (victim, unit, at) in enumerate(_moments(random.Random(seed), number, seconds, changes)):
        moment = f"{index}: {victim} at {unit} {at}"
        killed = Command(tmp_path / str(index))
        killed.start(at if unit == "change" else -1)
        if killed.wait_for(killed.changes.exists):
            until = time.monotonic() + at
            killed.wait_for(killed.is_stopped if unit == "change" else lambda until=until: time.monotonic() >= until)
        before = killed.files()
        code, out = killed.kill(victim)
        print(moment, "exit code", code, "had stored a result" if _has_result(before) else "")
        killed.start()
        code, out = killed.finish()
        assert code == 0, (moment, out)
        assert killed.outcome() == expected, moment
        assert killed.files() == files, (moment, killed.files() ^ files)
        assert validate(killed.home / "results") == (1, []), moment
        assert killed.all() == [], moment


def _has_result(files):
    return any(path.parts[0] == "results" and path.suffix == ".json" for path in files)
