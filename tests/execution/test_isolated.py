"""One run in a call, from any thread, that stops on request."""

import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmark.errors import UserError
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.isolated import isolated, main
from benchmark.execution.spec import Spec


class Listener:
    """Sets an event at the third iteration."""

    def __init__(self, stop):
        self.stop, self.ended = stop, []

    def begin(self, spec): ...

    def progress(self, spec, phase, done, total, loss):
        if self.stop and phase == "train" and done >= 3:
            self.stop.set()

    def end(self, spec, record):
        self.ended.append(record.status)

    def interrupt(self, run):
        self.ended.append("interrupted")


def _spec(folder, iterations):
    overrides = {"max_iters": iterations, "val_interval": iterations}
    folders = {"results": folder / "results", "work_dir": folder / "work"}
    return Spec("enet", "shapes_64x64_smoke", 0, "cpu", latency=False, overrides=overrides, **folders)


def test_runs_in_threads_stop_on_request_and_resume_bit_exactly(tmp_path):
    """One is stopped, the other one is not; then the stopped one goes on."""
    stop = threading.Event()
    listeners, folders = [Listener(stop), Listener(None)], [tmp_path / "cut", tmp_path / "whole"]
    with ThreadPoolExecutor(2) as threads:
        made = [
            threads.submit(isolated, _spec(folder, 60), listener, stop=listener.stop)
            for listener, folder in zip(listeners, folders, strict=True)
        ]
    cut, whole = (each.result() for each in made)
    assert isinstance(cut, InterruptedRun)
    assert cut.phase == "train"
    assert 3 <= cut.done < 60
    resumed = isolated(_spec(folders[0], 60), listeners[0])
    assert [each.ended for each in listeners] == [["interrupted", "ok"], ["ok"]]
    assert resumed.record.evaluations == whole.record.evaluations
    assert resumed.record.artifacts == whole.record.artifacts
    assert resumed.record.training.loss == whole.record.training.loss


def test_a_run_that_was_stopped_before_it_started_is_interrupted(tmp_path):
    spec = _spec(tmp_path, 2).with_deadline(1.0)
    assert isinstance(isolated(spec, Listener(None)), InterruptedRun)
    assert not (tmp_path / "results").exists()


def test_as_a_command(tmp_path):
    """What it writes is what the call returns, in a process that may know nothing else."""
    run, ended = tmp_path / "run.pkl", tmp_path / "ended.pkl"
    run.write_bytes(pickle.dumps(_spec(tmp_path, 1)))
    assert main([str(run), str(ended)]) == 0
    found = pickle.loads(ended.read_bytes())
    assert (found.record.status, found.path.is_file()) == ("ok", True)
    run.write_bytes(b"torn")
    for words in ([str(run), str(ended)], [str(run)], ["absent.pkl", str(ended)]):
        with pytest.raises(UserError, match=r"usage: python -m benchmark.execution.isolated RUN.pkl ENDED.pkl: "):
            main(words)


def test_the_command_stops_at_sigterm(tmp_path, monkeypatch):
    run, ended = tmp_path / "run.pkl", tmp_path / "ended.pkl"
    run.write_bytes(pickle.dumps(_spec(tmp_path, 1)))

    def stopped(spec, listener, *, stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
        return InterruptedRun(spec, "train", 0, 1)

    monkeypatch.setattr("benchmark.execution.isolated.isolated", stopped)
    before = signal.getsignal(signal.SIGTERM)
    assert main([str(run), str(ended)]) == 3
    assert signal.getsignal(signal.SIGTERM) is before
    assert isinstance(pickle.loads(ended.read_bytes()), InterruptedRun)
