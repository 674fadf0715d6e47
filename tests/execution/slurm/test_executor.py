"""What the executor of Slurm says in the terminal, without a cluster."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.execution import progress, status
from benchmark.execution.lost import lost
from benchmark.execution.plan import Job
from benchmark.execution.progress import Progress
from benchmark.execution.slurm import executor, queue, submission
from benchmark.execution.slurm.executor import Slurm
from benchmark.execution.slurm.queue import JobState
from benchmark.execution.slurm.request import JobRequest
from benchmark.execution.slurm.task import Task
from benchmark.execution.spec import Spec
from benchmark.execution.sweep import Manifest, Process


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        (
            "sbatch: error: invalid partition specified: nosuch\nsbatch: error: Batch job submission failed: Invalid",
            "invalid partition specified: nosuch",
        ),
        (
            "sbatch: unrecognized option '--nosuch=1'\nTry \"sbatch --help\" for more information",
            "unrecognized option '--nosuch=1'",
        ),
        ("sbatch: a notice of the site\nsbatch: error: no account", "no account"),
        ("", "RuntimeError"),
    ],
)
def test_the_reason_of_sbatch(errors, reason):
    assert executor._reason(RuntimeError(errors) if errors else RuntimeError()) == reason


class Silent:
    def __getattr__(self, name):
        return lambda *_: None


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """An executor whose jobs, 7_0 and so on, Slurm says to be in these states."""
    monkeypatch.setattr(executor, "POLL_SECONDS", 0.0)

    def make(*states):
        fields = {"results": tmp_path / "results", "work_dir": tmp_path / "work", "latency": False}
        specs = [Spec("enet", "shapes_64x64_smoke", seed, "cpu", **fields) for seed in range(len(states))]
        manifest = Manifest.create([Job(spec, None, 0.0) for spec in specs], "slurm", None, "segbench run enet")
        found = {f"7_{index}": JobState(f"7_{index}", state) for index, state in enumerate(states)}
        monkeypatch.setattr(executor.queue, "ask", lambda jobs: {job: found[job] for job in jobs})
        made = Slurm(Silent(), manifest, JobRequest())
        monkeypatch.setattr(made, "_known", lambda gathered: {})
        monkeypatch.setattr(made, "_submitted", lambda part, room: list(found))
        for spec in specs:
            made.submit(spec)
        made.poll()
        return made, specs

    return make


def test_one_run_is_left(slurm, capsys):
    made, _ = slurm("RUNNING")
    made.cancel()
    submitted, left = capsys.readouterr().err.splitlines()
    assert submitted == "1 run is submitted to Slurm, as job 7"
    assert left.startswith("segbench: 1 run is left to Slurm: ")
    assert left.endswith("shows it, with --cancel it cancels it, and the same command attaches to it")


def test_a_job_that_has_ended_is_not_left(slurm, capsys):
    """Its result may not be storable, which ends the command."""
    made, specs = slurm("FAILED", "RUNNING", "RUNNING")
    ended = Progress("7_1", state="ended", status="ok", started=time.time(), updated=time.time())
    path = progress.path_of(specs[1].work_dir, specs[1].identity.run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(ended)))
    made.cancel()
    assert "segbench: 1 run is left to Slurm" in capsys.readouterr().err
    made, _ = slurm("FAILED")
    made.cancel()
    assert "left" not in capsys.readouterr().err


class Heard:
    """A listener that notes which of its methods are called."""

    def __init__(self, heard):
        self._heard = heard

    def __getattr__(self, name):
        return lambda *_: self._heard.append(name)


class Queue:
    """Slurm, as far as the executor and the status ask it: jobs by their states, arrays by the names of their jobs."""

    def __init__(self):
        self.jobs, self.arrays, self.cancelled, self.limits = {}, {}, [], []

    def ask(self, jobs):
        return {job: JobState(job, self.jobs.get(job, "GONE")) for job in jobs}


@pytest.fixture
def cluster(monkeypatch):
    made = Queue()
    monkeypatch.setattr(executor, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(executor, "QUEUE_SECONDS", 0.0)
    monkeypatch.setattr(executor, "LOST_SECONDS", 0.0)
    monkeypatch.setattr(queue, "ask", made.ask)
    monkeypatch.setattr(queue, "arrays", lambda name: made.arrays.get(name, []))
    monkeypatch.setattr(queue, "cancel", made.cancelled.extend)
    monkeypatch.setattr(queue, "cancel_named", made.cancelled.append)
    monkeypatch.setattr(queue, "limit", lambda *limit: made.limits.append(limit))
    return made


@pytest.fixture
def call(tmp_path, cluster, monkeypatch):
    """A call for so many runs; `sent` has the size and the limit of each array that it submits."""

    def make(number, most=None):
        fields = {"results": tmp_path / "results", "work_dir": tmp_path / "work", "latency": False}
        specs = [Spec("enet", "shapes_64x64_smoke", seed, "cpu", **fields) for seed in range(number)]
        manifest = Manifest.create([Job(spec, None, 0.0) for spec in specs], "slurm", most, "segbench run enet")
        heard = []
        made = Slurm(Heard(heard), manifest, JobRequest(), most)
        made.manifest, made.specs, made.sent, made.heard = manifest, specs, [], heard

        def submitted(part, room):
            made.sent.append((len(part), room))
            array = 1 + max((int(job.partition("_")[0]) for job in cluster.jobs), default=6)
            jobs = [f"{array}_{index}" for index in range(len(part))]
            cluster.jobs |= dict.fromkeys(jobs, "RUNNING")
            return jobs

        monkeypatch.setattr(made, "_submitted", submitted)
        for spec in specs:
            made.submit(spec)
        return made

    return make


def end(spec, job):
    """Let a job report that its run has failed, and be with Slurm for a moment more."""
    ended = Progress(job, state="ended", status="failed", started=time.time(), updated=time.time())
    progress.write(progress.path_of(spec.work_dir, spec.identity.run_id), ended)
    lost(spec, "no")


def test_jobs_that_are_attached_to_count_for_the_limit_until_they_end(call, cluster):
    call(2, most=3).poll()
    again = call(5, most=3)
    again.poll()
    assert (again.sent, again.active, cluster.limits) == ([(3, 1)], 5, [])
    end(again.specs[0], "7_0")
    end(again.specs[2], "8_0")
    again.poll()
    assert cluster.limits == [("8", 2)]
    end(again.specs[1], "7_1")
    again.poll()
    assert cluster.limits == [("8", 2), ("8", 3)]


def test_runs_wait_until_fewer_jobs_than_allowed_are_left(call):
    call(2, most=1).poll()
    again = call(4, most=1)
    again.poll()
    end(again.specs[0], "7_0")
    again.poll()
    assert (again.sent, again.active) == ([], 3)
    end(again.specs[1], "7_1")
    again.poll()
    again.poll()
    assert (again.sent, again.active) == ([(2, 1)], 2)


def test_a_repeated_run_is_not_attached_to_the_job_that_has_just_failed(call):
    made = call(1)
    made.poll()
    end(made.specs[0], "7_0")
    assert len(made.poll()) == 1
    made.submit(made.specs[0])
    made.poll()
    assert made.sent == [(1, None)] * 2
    assert made.manifest.sweep.runs[0].job == "8_0"


@pytest.fixture
def killed(call, cluster):
    """A call that was killed while sbatch submitted two of its three runs, as array 9; their tasks have no job yet."""
    utils = pytest.importorskip("submitit.core.utils")
    call(1).poll()
    made = call(3)
    process = subprocess.Popen([sys.executable, "-c", ""])
    gone = replace(Process.here(), number=process.pid, start="before")
    process.wait()
    first, second, third = (spec.identity.run_id for spec in made.specs)
    made.manifest.assign({first: "7_0"})
    made.manifest.write(process=gone, submitting=[second, third])
    made.manifest.folder.mkdir()
    for letter, spec in zip("ba", made.specs[1:], strict=True):
        utils.DelayedSubmission(Task.__call__, Task(spec)).dump(made.manifest.folder / f"{letter * 32}.pkl")
    cluster.jobs |= {"9_0": "RUNNING", "9_1": "RUNNING"}
    return made


def test_jobs_of_a_killed_submission_are_found(killed, cluster, call):
    cluster.arrays[submission.name_of(killed.manifest.sweep)] = [9, 9]
    left = Manifest.read(killed.manifest.path)
    found = status.look(left, time.time())
    assert [(run.state, run.run.job) for run in found.runs] == [("running", job) for job in ("7_0", "9_0", "9_1")]
    assert [run.job for run in Manifest.read(left.path).sweep.runs] == ["7_0", "9_0", "9_1"]
    again = call(3)
    again.poll()
    assert (again.sent, again.active) == ([], 3)
    load = pytest.importorskip("submitit.core.utils").DelayedSubmission.load
    tasks = {path.name: load(path).args[0].spec.seed for path in left.folder.glob("*.pkl")}
    assert tasks == {"9_0_submitted.pkl": 1, "9_1_submitted.pkl": 2}


def test_what_a_killed_submission_may_still_send_is_waited_for(killed, call):
    left = Manifest.read(killed.manifest.path)
    assert [run.state for run in status.look(left, time.time()).runs] == ["running", "unknown", "unknown"]
    with pytest.raises(UserError, match="repeat the command in a minute"):
        call(3).poll()
    os.utime(left.path, (0, 0))
    assert [run.state for run in status.look(left, time.time()).runs] == ["running", "interrupted", "interrupted"]
    again = call(3)
    again.poll()
    assert again.sent == [(2, None)]


def test_a_killed_submission_is_cancelled_by_the_name_of_its_jobs(killed, cluster, capsys):
    sweep = killed.manifest.sweep
    main(["status", sweep.name, "--cancel", "--work-dir", str(killed.manifest.work_dir)])
    assert cluster.cancelled == ["7_0", submission.name_of(sweep)]


def test_a_run_that_segbench_cancels_has_no_record_whoever_sees_its_end(call, cluster, capsys):
    made = call(2)
    made.poll()
    main(["status", "--cancel", "--work-dir", str(made.manifest.work_dir)])
    assert cluster.cancelled == ["7_0", "7_1"]
    cluster.jobs = dict.fromkeys(cluster.jobs, "CANCELLED")
    with made.manifest.executed():
        ended = [each for _ in range(3) for each in made.poll()]
    assert [each.elsewhere for each in ended] == ["cancelled by segbench, in another terminal"] * 2
    assert made.heard == ["interrupt", "interrupt"]
    assert not made.specs[0].results.exists()
    found = status.look(Manifest.read(made.manifest.path), time.time())
    assert [run.state for run in found.runs] == ["cancelled"] * 2


def test_runs_are_not_submitted_after_their_sweep_was_cancelled(call):
    made = call(2)
    Manifest.read(made.manifest.path).write(cancelled=True)
    assert [each.elsewhere for each in made.poll()] == ["cancelled by segbench, in another terminal"] * 2
    assert (made.sent, made.active, made.heard) == ([], 0, ["interrupt", "interrupt"])
