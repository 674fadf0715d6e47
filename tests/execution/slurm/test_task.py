"""What a job does with a run, without Slurm: when it requeues itself, and when it gives up."""

import threading
from datetime import datetime, timezone

import pytest

from benchmark.errors import UserError
from benchmark.execution import interrupted, progress
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.interrupted import ResumableRun
from benchmark.execution.lost import lost
from benchmark.execution.run import blank
from benchmark.execution.slurm import task
from benchmark.execution.slurm.task import STARTS, Task
from benchmark.execution.spec import Spec
from benchmark.results.store import Store


@pytest.fixture
def spec(tmp_path):
    return Spec(
        "enet", "shapes_64x64_smoke", 0, "cpu", results=tmp_path / "results", work_dir=tmp_path / "work", latency=False
    )


@pytest.fixture
def job(spec, monkeypatch):
    """A job of which `job(isolated, runs=...)` is one start; it returns the requeues so far."""
    stop, requeues = threading.Event(), []
    monkeypatch.setattr(task, "_requests", lambda: stop)
    monkeypatch.setattr(task.queue, "requeue", requeues.append)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURMD_NODENAME", "node7")

    def start(isolated, runs=True, cache=None):
        monkeypatch.setattr(task, "isolated", isolated)
        monkeypatch.setattr(task.queue, "runs_on", lambda job: runs)
        Task(spec, cache)()
        return requeues

    start.stop = stop
    start.progress = lambda: progress.read(progress.path_of(spec.work_dir, spec.identity.run_id))
    return start


def _stopped(spec, listener, *, stop):
    listener.begin(spec)
    ended = InterruptedRun(spec, "train", 3, 9)
    stop.set()
    listener.interrupt(ended)
    return ended


def _progress_to(iteration):
    def isolated(spec, listener, *, stop):
        interrupted.save(spec.folder, ResumableRun(iteration, blank(spec, datetime.now(timezone.utc))))
        return _stopped(spec, listener, stop=stop)

    return isolated


def test_a_run_that_was_told_to_stop_is_requeued(job):
    assert job(_stopped) == ["7_3"]
    found = job.progress()
    assert (found.owner, found.state, found.host, found.done) == ("7_3", "interrupted", "node7", 3)


def test_a_job_that_slurm_ends_is_not_requeued(job):
    """It is cancelled, or requeued by Slurm itself."""
    assert job(_stopped, runs=False) == []


def test_a_job_without_progress_is_given_up(job, spec):
    executed = 0

    def stopped(*args, **kwargs):
        nonlocal executed
        executed += 1
        return _stopped(*args, **kwargs)

    while not Store(spec.results).files():
        job(stopped)
    assert executed == STARTS
    ((stored,), _) = Store(spec.results).scan()
    assert (stored.record.status, stored.record.cause) == ("timed_out", "time_limit")
    assert f"started {executed} times without progress" in stored.record.error
    assert (job.progress().state, job.progress().status) == ("ended", "timed_out")


def test_a_job_with_progress_is_requeued_as_often_as_it_takes(job, spec):
    for iteration in range(1, 3 * STARTS):
        job(_progress_to(iteration))
    assert len(job(_stopped)) == 3 * STARTS
    assert Store(spec.results).scan() == ([], [])


def test_a_mistake_costs_this_run_alone(job, spec):
    def mistake(spec, listener, *, stop):
        raise UserError("the code was changed after the runs were planned: repeat the command")

    assert job(mistake) == []
    ((stored,), _) = Store(spec.results).scan()
    assert stored.record.error == "the code was changed after the runs were planned: repeat the command"
    assert job.progress().state == "ended"


def test_the_cache_of_the_node(job, monkeypatch, capsys):
    places = []

    def look(spec, listener, *, stop):
        places.append(task.os.environ.get("SEGBENCH_CACHE"))
        return lost(spec, "no")

    monkeypatch.setenv("SEGBENCH_CACHE", "/home/cache")
    monkeypatch.setenv("LOCAL", "/local")
    job(look, cache="$NO_SUCH_VARIABLE/x")
    assert "a variable is not set" in capsys.readouterr().err
    job(look, cache="$LOCAL/x")
    assert places == ["/home/cache", "/local/x"]


def test_the_folder_of_a_process_that_ends_is_waited_for(job, spec, monkeypatch):
    monkeypatch.setattr(task, "CLEARED_SECONDS", 30.0)
    monkeypatch.setattr(task.time, "sleep", lambda seconds: holder.close())
    holder = _Holder(spec.folder)
    assert job(_stopped) == ["7_3"]
    assert not holder.holds


class _Holder:
    """Holds the folder of a run, as a process on another node does."""

    def __init__(self, folder):
        from benchmark.files.lock import exclusive

        self._lock = exclusive(folder)
        self._lock.__enter__()
        self.holds = True

    def close(self):
        if self.holds:
            self._lock.__exit__(None, None, None)
        self.holds = False
