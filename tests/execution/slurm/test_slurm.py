"""Runs on a real Slurm of two nodes: they end as runs of this machine do, whatever becomes of their jobs."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from benchmark.results.store import Store

pytestmark = pytest.mark.slurm

SECONDS = 240
"""The longest that anything is waited for."""


ROOT = Path(__file__).parents[3]

CONFIG = f"""
_base_ = {str(ROOT / "model_configs" / "enet" / "enet.py")!r}
custom_imports = dict(imports=["held"])
model = dict(backbone=dict(type="HeldENetEncoder"))
"""

ENCODER = """
import time
from pathlib import Path

from mmseg.registry import MODELS

from benchmark.models.backbones.enet import ENetEncoder

HOLD = Path(__file__).with_name("hold")


@MODELS.register_module()
class HeldENetEncoder(ENetEncoder):
    steps = 0

    def forward(self, images):
        if self.training and len(images) > 1:
            self.steps += 1
            if self.steps > 8 and HOLD.exists():
                time.sleep(3)
        return super().forward(images)
"""
"""While there is a file `hold`, a step of training takes seconds from the ninth on, so that whoever wants to meet a
run in its training does, on any machine."""


class Sweep:
    """Sweeps of ENet on drawn scenes in a folder of its own."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        self.hold = folder / "hold"
        folder.mkdir(exist_ok=True)
        (folder / "enet.py").write_text(CONFIG)
        (folder / "held.py").write_text(ENCODER)

    def command(self, *words, seeds=1, iterations=24):
        run = ["run", "enet.py", "-p", "shapes_64x64_smoke", "--seeds", ",".join(map(str, range(seeds)))]
        run += ["--max-iters", str(iterations), "--val-interval", "6", "--no-latency", "--device", "cpu"]
        return [sys.executable, "-m", "benchmark", *run, *words]

    def start(self, *words, slurm=True, held=False, **fields):
        if held:
            self.hold.touch()
        words = ["--executor", "slurm", "--time", "30", "--mem", "3G", *words] if slurm else words
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | {
            name: fields.pop(name) for name in ("stdin", "stderr") if name in fields
        }
        command = self.command(*words, **fields)
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **streams)

    def run(self, *words, **fields):
        return ended(self.start(*words, **fields))

    def status(self, *words):
        """The exit code of `segbench status`, and what it says of the last sweep; of none before there is one."""
        command = [sys.executable, "-m", "benchmark", "status", "--json", *words]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if done.returncode == 2:
            assert "no sweep" in done.stderr
            return 3, {"runs": []}
        assert done.returncode in (0, 1, 3), done.stderr
        return done.returncode, json.loads(done.stdout)["sweeps"][-1]

    def until(self, is_so):
        """The runs as soon as something holds for them."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            runs = self.status()[1]["runs"]
            if runs and is_so(runs):
                return runs
            time.sleep(0.5)
        raise AssertionError(runs)

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


class Terminal:
    """A terminal, whose output is read so that its programs are not held up."""

    def __init__(self):
        self.ours, self.theirs = pty.openpty()
        self.said = ""
        threading.Thread(target=self._read, daemon=True).start()

    def answer(self, question, words):
        end = time.monotonic() + SECONDS
        while question not in self.said:
            assert time.monotonic() < end, self.said
            time.sleep(0.1)
        os.write(self.ours, words.encode())

    def _read(self):
        with suppress(OSError):  # it was closed
            while found := os.read(self.ours, 10_000):
                self.said += found.decode(errors="replace")


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


def _trains(run, at_least=7):
    """Whether a run trains, and has been validated once."""
    return run["state"] == "running" and run["phase"] == "train" and run["done"] >= at_least


def test_a_sweep_survives_the_death_of_a_node(cluster, sweep, local):
    process, killed, seen = sweep.start(held=True, seeds=8), None, set()
    while process.poll() is None:
        before = cluster.states()
        code, status = sweep.status()
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
        assert len(list(sweep.folder.glob("results/*/*/*.json"))) >= ends
        assert (code == 0) == (ends == 8)
        victims = [run for run in status["runs"] if _trains(run) and run["node"] == "node1"]
        if killed is None and victims:
            cluster.kill_node("node1")
            sweep.hold.unlink()
            killed = [run["seed"] for run in victims]
        time.sleep(0.5)
    code, _, err = ended(process)
    cluster.start_node("node1")
    assert code == 0, err
    assert killed
    assert sweep.bits() == local
    assert (
        {"pending", "running", "requeued", "done"} <= seen <= {"pending", "running", "unresponsive", "requeued", "done"}
    )
    assert sweep.status()[0] == 0


def _restarts(cluster, job):
    """How often Slurm has started a job again."""
    return int(cluster("scontrol", "show", "job", job).partition("Restarts=")[2].split()[0])


def test_a_job_that_is_told_to_stop_is_requeued_and_resumes(cluster, sweep, local):
    """As Slurm tells it before its time limit."""
    process = sweep.start(held=True, seeds=1)
    (run,) = sweep.until(lambda runs: _trains(runs[0]))
    cluster("scancel", "--signal=USR2", run["job"])
    (run,) = sweep.until(lambda runs: runs[0]["state"] == "requeued")
    sweep.hold.unlink()
    assert 7 <= run["done"] < 24
    assert list(Path(sweep.folder, "work_dirs").glob("**/resume.pth"))
    code, _, err = ended(process)
    assert code == 0, err
    assert _restarts(cluster, run["job"]) == 1
    assert sweep.bits()[0] == local[0]


def test_a_job_that_is_preempted_resumes(cluster, sweep, local):
    process = sweep.start("--partition", "main", held=True, seeds=1)
    (run,) = sweep.until(lambda runs: _trains(runs[0]))
    other = cluster(
        "sbatch", "--parsable", "-p", "urgent", "-N", "2", "--exclusive", "-o", "/dev/null", "--wrap", "true"
    )
    sweep.until(lambda runs: runs[0]["state"] == "requeued")
    sweep.hold.unlink()
    code, _, err = ended(process)
    assert code == 0, err
    assert cluster.states()[other.strip()] == "COMPLETED"
    assert _restarts(cluster, run["job"]) == 1
    assert sweep.bits()[0] == local[0]


def test_interrupted_without_a_terminal_the_jobs_are_left_and_attached_to(cluster, sweep, local):
    """One at a time, as --jobs says; the second call submits nothing."""
    process = sweep.start("--jobs", "1", held=True, seeds=2)
    sweep.until(lambda runs: any(_trains(run, 1) for run in runs))
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    left = next(line for line in err.splitlines() if "left to Slurm" in line)
    assert "2 runs are left to Slurm: `segbench status" in left
    assert "--cancel" in left
    jobs, again, most = set(cluster.states()), sweep.start("--jobs", "1", seeds=2), 0
    assert any("with Slurm already: attached" in line for line in again.stderr)
    sweep.hold.unlink()
    while again.poll() is None:
        most = max(most, list(cluster.states().values()).count("RUNNING"))
        time.sleep(0.5)
    code, out, err = ended(again)
    assert code == 0, err
    assert set(cluster.states()) == jobs
    assert most == 1
    assert [sweep.bits()[seed] for seed in (0, 1)] == [local[seed] for seed in (0, 1)]
    assert "enet" in out


def test_jobs_are_cancelled_by_scancel_and_by_the_answer_to_ctrl_c(cluster, sweep):
    terminal = Terminal()
    process = sweep.start(held=True, seeds=2, iterations=3000, stdin=terminal.theirs, stderr=terminal.theirs)
    runs = sweep.until(lambda runs: all(_trains(run, 1) for run in runs))
    cluster("scancel", runs[0]["job"])
    runs = sweep.until(lambda runs: runs[0]["state"] == "failed")
    assert (runs[0]["cause"], runs[1]["state"]) == ("cancelled", "running")
    end = time.monotonic() + SECONDS
    while 0 not in sweep.records and time.monotonic() < end:
        time.sleep(0.5)
    record = sweep.records[0]
    assert (record.status, record.cause) == ("failed", "cancelled")
    assert "was cancelled" in record.error
    process.send_signal(signal.SIGINT)
    terminal.answer("1 run is with Slurm: [l]eave it running, or [c]ancel it? ", "c\n")
    assert process.wait(SECONDS) == 130
    code, status = sweep.status()
    assert (code, [run["state"] for run in status["runs"]]) == (3, ["failed", "cancelled"])
    assert not {"RUNNING", "PENDING"} & {cluster.states()[run["job"]] for run in runs}
    assert set(sweep.records) == {0}


def test_a_job_that_slurm_kills_for_its_memory(cluster, sweep):
    code, _, err = sweep.run("--mem", "150M", seeds=1)
    assert code == 1, err
    (record,) = sweep.records.values()
    assert (record.status, record.cause) == ("out_of_memory", "out_of_memory")
    assert "ask for more with --mem" in record.error
    assert any("memory" in line for line in record.log_tail)
    assert sweep.status()[0] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition", "nosuch"], "invalid partition specified: nosuch"),
        (["--profile", "profile.yaml"], "unrecognized option '--nosuch=1'"),
    ],
)
def test_what_sbatch_refuses_is_one_line(sweep, words, said):
    (sweep.folder / "profile.yaml").write_text("sbatch: {nosuch: 1}")
    code, _, err = sweep.run(*words, seeds=1)
    assert code == 2
    assert [line for line in err.splitlines() if "sbatch" in line] == [f"segbench: error: sbatch: {said}"]


def test_the_commands_of_the_page(cluster, sweep):
    page = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
    (profile,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (sweep.folder / "cluster.yaml").write_text(profile)
    (commands,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    for line in commands.splitlines():
        program, *words = shlex.split(line)
        assert program == "segbench"
        command = [sys.executable, "-m", "benchmark", *words]
        done = subprocess.run(command, cwd=sweep.folder, env=sweep.environment, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr)
    first, second = json.loads(done.stdout)["sweeps"]
    assert first["counts"] == second["counts"] == {"done": 2}
    assert sorted(sweep.records) == [0, 1, 2, 3]


def test_a_run_on_two_nodes(cluster, sweep, local):
    """Their processes meet under the name of the first node, which has no address here."""
    (sweep.folder / "profile.yaml").write_text(
        "nodes: 2\nsetup: [export MASTER_ADDR=127.0.0.1, export GLOO_SOCKET_IFNAME=lo]\n"
    )
    process = sweep.start("--profile", "profile.yaml", held=True, seeds=1)
    (run,) = sweep.until(lambda runs: runs[0]["state"] == "running")
    assert run["node"] == "node[1-2]"
    sweep.hold.unlink()
    code, _, err = ended(process)
    assert code == 0, err
    (record,) = sweep.records.values()
    assert record.environment.world_size == 2
    assert record.evaluation().miou == pytest.approx(local[0][2][0].miou, abs=5)
