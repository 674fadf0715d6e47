"""Worker processes: whatever becomes of one, its run is recorded and the others go on."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from benchmark.engine import stop
from benchmark.engine.hooks import Interrupted
from benchmark.errors import UserError
from benchmark.execution import batch, local, outcome, processes, worker
from benchmark.execution.executor import InterruptedRun
from benchmark.execution.run import NotRecordedError, blank
from benchmark.execution.spec import Spec
from benchmark.files.lock import exclusive
from benchmark.results.environment import capture
from benchmark.results.store import Store
from benchmark.warning import warn

FORK = multiprocessing.get_context("fork")


class Watcher:
    def __init__(self):
        self.seen = []

    def begin(self, spec):
        self.seen.append("begin")

    def progress(self, spec, phase, done, total, loss):
        self.seen.append((phase, done, total, loss))

    def end(self, spec, record):
        self.seen.append(record.status)

    def interrupt(self, run):
        self.seen.append(f"cut at {run.phase} {run.done}/{run.total}")


def _spec(tmp_path, architecture="enet", **changes):
    fields = {
        "architecture": architecture,
        "protocol": "shapes_64x64_smoke",
        "seed": 0,
        "device": "cpu",
        "deterministic": True,
        "latency": False,
        "overrides": {"max_iters": 2},
        "root": None,
        "results": tmp_path / "results",
        "work_dir": tmp_path / "work",
        "keep_weights": None,
    }
    return Spec(**(fields | changes))


def made_by_workers(specs, listener, device="cpu", most=1):
    """How runs end that workers make."""
    return batch.completed(specs, local.Local(listener, device, most))


@pytest.fixture
def in_worker(monkeypatch):
    """Carry out something else in the place of the run, in workers that are forked from this process."""
    monkeypatch.setattr(processes, "context", lambda device: FORK)
    monkeypatch.setattr(
        "benchmark.execution.run.environment.capture", lambda *_, **__: capture("cpu", True)
    )  # GPUs or not

    def carry_out(run_one, specs, watcher=None, device="cpu", most=1):
        monkeypatch.setattr(worker, "run_one", run_one)
        return [stored.record for stored in made_by_workers(specs, watcher or Watcher(), device, most)]

    return carry_out


def _record(spec, *_):
    """What a run leaves that was not carried out."""
    return Store(spec.results).add(blank(spec, datetime.now(timezone.utc), "failed", "not tried"), {})


def test_a_killed_worker_leaves_a_record(tmp_path, in_worker):
    (record,) = in_worker(lambda spec, *_: os.kill(os.getpid(), signal.SIGKILL), [_spec(tmp_path)])
    assert record.status == "failed"
    assert record.error.startswith("the process was killed by SIGKILL")
    (stored,), problems = Store(tmp_path / "results").scan()
    assert stored.record == record
    assert problems == []


def test_a_worker_that_exits_leaves_a_record(tmp_path, in_worker):
    (record,) = in_worker(lambda spec, *_: os._exit(3), [_spec(tmp_path)])
    assert record.status == "failed"
    assert "exit code 3" in record.error


def test_a_result_that_cannot_be_stored_stops_everything(tmp_path, in_worker):
    (tmp_path / "results").touch()
    with pytest.raises(UserError, match=r"cannot write .*results"):
        in_worker(_record, [_spec(tmp_path), _spec(tmp_path, seed=1)])
    assert (tmp_path / "results").is_file()


def test_a_worker_that_cannot_store_its_result_costs_its_run(tmp_path, in_worker):
    """Because of its own limits, for example: the store is writable."""

    def run_one(spec, tell, turn, on_error):
        if spec.seed == 0:
            raise UserError("cannot write results: Too many open files")
        if spec.seed == 1:
            raise NotRecordedError("cannot write results", outcome.failure(ValueError("of the network")))
        return _record(spec)

    records = in_worker(run_one, [_spec(tmp_path, seed=seed) for seed in range(3)])
    assert [(record.cause, record.error) for record in records] == [
        ("exception", "cannot write results: Too many open files"),
        ("exception", "ValueError: of the network"),
        (None, "not tried"),
    ]


def test_a_run_that_another_process_executes_is_left_to_it(tmp_path, monkeypatch, in_worker):
    def run_one(spec, tell, turn, on_error):
        with exclusive(spec.folder):
            return _record(spec)

    monkeypatch.setattr(worker, "run_one", run_one)
    specs = [_spec(tmp_path), _spec(tmp_path, seed=1)]
    with exclusive(specs[0].folder):
        left, stored = made_by_workers(specs, Watcher())
    assert left.elsewhere.endswith(f"this run is already in progress (process {os.getpid()}): wait for it, or end it")
    assert stored.record.seed == 1
    assert len(Store(tmp_path / "results").scan()[0]) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, type("Own", (BaseException,), {})])
def test_whatever_a_run_raises_is_its_failure(tmp_path, in_worker, error):
    def run_one(spec, *_):
        raise error("of the network")

    (record,) = in_worker(run_one, [_spec(tmp_path)])
    assert (record.cause, record.error) == ("exception", f"{error.__name__}: of the network")
    assert record.log_tail[-1].endswith(f"{error.__name__}: of the network")


def test_a_run_may_close_its_output(tmp_path, in_worker, capsys):
    def run_one(spec, *_):
        sys.stdout, sys.stderr = None, object()
        return _record(spec)

    (record,) = in_worker(run_one, [_spec(tmp_path)])
    assert record.error == "not tried"


def test_a_run_that_stops_leaves_no_result_and_is_no_failure(tmp_path, monkeypatch, in_worker):
    def run_one(spec, tell, turn, on_error):
        if spec.seed == 0:
            raise Interrupted("train", 3, 8, 3)
        return _record(spec)

    monkeypatch.setattr(worker, "run_one", run_one)
    watcher, specs = Watcher(), [_spec(tmp_path), _spec(tmp_path, seed=1)]
    cut, stored = made_by_workers(specs, watcher)
    assert cut == InterruptedRun(specs[0], "train", 3, 8)
    assert stored.record.seed == 1
    assert watcher.seen == ["begin", "cut at train 3/8", "begin", "failed"]
    assert len(Store(tmp_path / "results").scan()[0]) == 1


def test_a_run_that_sigterm_stops_was_killed_unless_its_executor_asked(tmp_path, monkeypatch, in_worker):
    """It would be started again without end if its own code had sent the signal."""

    def run_one(spec, tell, turn, on_error):
        tell("train", 3, 8, None)
        if spec.seed == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        while not stop.is_requested():
            time.sleep(0.01)
        raise Interrupted("train", 3, 8, 3)

    class Asks(Watcher):
        def progress(self, spec, *_):
            if spec.seed == 1:
                executor.stop()

    monkeypatch.setattr(worker, "run_one", run_one)
    executor, specs = local.Local(Asks()), [_spec(tmp_path), _spec(tmp_path, seed=1)]
    killed, cut = batch.completed(specs, executor)
    assert (killed.record.status, killed.record.cause) == ("failed", "killed")
    assert killed.record.error == "the process was killed by SIGTERM"
    assert cut == InterruptedRun(specs[1], "train", 3, 8)


def test_what_escapes_a_run_is_kept(tmp_path, in_worker):
    def run_one(spec, *_):
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess.\nAnd more")

    (record,) = in_worker(run_one, [_spec(tmp_path)])
    assert record.status == "failed"
    assert record.error == "RuntimeError: Cannot re-initialize CUDA in forked subprocess."


def test_a_run_that_hangs_is_given_up(tmp_path, in_worker):
    def run_one(spec, tell, turn, on_error):
        if spec.seed == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        return _record(spec)

    records = in_worker(run_one, [_spec(tmp_path, timeout=0.2), _spec(tmp_path, seed=1, timeout=60.0)])
    assert [(record.status, record.error) for record in records] == [
        ("timed_out", "no result within 0.2 s"),
        ("failed", "not tried"),
    ]


@pytest.fixture
def clock(monkeypatch):
    """A clock of the parent that stands still, and is put forward by hand."""
    now = [0.0]
    monkeypatch.setattr(local, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))
    return now


def test_a_run_that_does_not_stop_at_its_deadline_is_interrupted(tmp_path, monkeypatch, in_worker, clock):
    def run_one(spec, tell, turn, on_error):
        tell("train", 7, 7, None)
        time.sleep(1000)

    class Late(Watcher):
        def progress(self, *event):
            super().progress(*event)
            clock[0] = 9.0 + local.GRACE_SECONDS

    monkeypatch.setattr(worker, "run_one", run_one)
    spec = _spec(tmp_path, deadline=8.0)
    assert list(made_by_workers([spec], Late())) == [InterruptedRun(spec, "train", 7, 7)]
    assert not (tmp_path / "results").exists()


def test_a_run_that_waits_for_its_turn_does_not_hang(tmp_path, in_worker):
    """The second run reports nothing while the first one trains for longer than a run may be silent."""

    def run_one(spec, tell, turn, on_error):
        turn.wait()
        for done in range(8 if spec.seed == 0 else 1):
            time.sleep(0.25)
            tell("train", done, 9, None)
        return _record(spec)

    specs = [_spec(tmp_path, seed=seed, device="cuda", hang_timeout=1.0) for seed in range(2)]
    assert [record.cause for record in in_worker(run_one, specs, device="cuda")] == [None, None]


def test_a_run_without_progress_hangs_and_says_where(tmp_path, in_worker):
    def stand_still():
        time.sleep(1000)

    def run_one(spec, tell, turn, on_error):
        tell("val", 7, 7, None)
        stand_still()

    (record,) = in_worker(run_one, [_spec(tmp_path, hang_timeout=0.3)])
    assert (record.status, record.cause) == ("timed_out", "hung")
    assert record.error == "no progress for 0.3 s, after 7 of 7 of val"
    assert "in stand_still" in record.log_tail[1]


def test_time_for_which_all_processes_were_suspended_is_no_silence(tmp_path, monkeypatch, in_worker, clock):
    def run_one(spec, tell, turn, on_error):
        time.sleep(0.2)
        return _record(spec)

    class Suspended(local.Suspension):
        def wait(self, objects, seconds):
            if clock[0]:
                return super().wait(objects, 1.0)
            clock[0] = 1000.0
            return [], 1000.0

    monkeypatch.setattr(local, "Suspension", Suspended)
    (record,) = in_worker(run_one, [_spec(tmp_path, hang_timeout=10.0, timeout=20.0)])
    assert record.error == "not tried"


def test_a_warning_of_a_run_is_shown_and_what_it_prints_is_not(tmp_path, in_worker, capsys):
    def run_one(spec, tell, turn, on_error):
        print("for the log")
        warn("a warning")
        os._exit(3)

    (record,) = in_worker(run_one, [_spec(tmp_path)])
    assert record.log_tail == ["for the log"]
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "a warning\n")


def test_a_run_is_recorded_if_its_supervisor_is_killed(tmp_path, in_worker):
    def run_one(spec, tell, turn, on_error):
        program = subprocess.Popen(["sleep", "1000"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=-3)
        if (fork := os.fork()) == 0:
            os.setsid()
            time.sleep(1000)
        (tmp_path / "processes").write_text(f"{os.getpid()} {program.pid} {fork}")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)

    (record,) = in_worker(run_one, [_spec(tmp_path)])
    assert (record.status, record.cause) == ("failed", "killed")
    processes = [Path("/proc", each) for each in (tmp_path / "processes").read_text().split()]
    end = time.monotonic() + 10
    while any(map(Path.exists, processes)) and time.monotonic() < end:
        time.sleep(0.05)
    assert [path.name for path in processes if path.exists()] == []


class Pipeline:
    """Runs on a device that is one run's alone; what each has done, in order."""

    def __init__(self, folder):
        self.log = folder / "log"

    def note(self, spec, what):
        with self.log.open("a") as file:
            file.write(f"{spec.seed} {what}\n")

    def lines(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def wait_for(self, line):
        while line not in self.lines():
            time.sleep(0.01)


def test_the_next_run_makes_itself_ready_while_one_has_the_device(tmp_path, in_worker):
    """It compiles when the other trains and not while that is timed, and begins when that has ended."""
    pipeline = Pipeline(tmp_path)

    def run_one(spec, tell, turn, on_error):
        pipeline.note(spec, "is ready")
        compiles = turn.may_compile()
        if compiles:
            assert f"{spec.seed - 1} trains" in pipeline.lines()
            pipeline.note(spec, "compiles")
        turn.wait()
        pipeline.note(spec, "begins")
        tell("profile", 0, 1, None)
        if spec.seed < 2:
            pipeline.wait_for(f"{spec.seed + 1} is ready")
        tell("profile", 1, 1, None)
        pipeline.note(spec, "trains")
        tell("train", 1, 1, None)
        if spec.seed < 2:
            pipeline.wait_for(f"{spec.seed + 1} compiles")
        pipeline.note(spec, "ends")
        return _record(spec)

    records = in_worker(run_one, [_spec(tmp_path, seed=seed, device="cuda") for seed in range(3)], device="cuda")
    assert len(records) == 3
    assert [line for line in pipeline.lines() if not line.endswith("is ready")] == [
        "0 begins", "0 trains", "1 compiles", "0 ends",
        "1 begins", "1 trains", "2 compiles", "1 ends",
        "2 begins", "2 trains", "2 ends",
    ]  # fmt: skip


def test_a_run_that_compiles_hears_of_its_turn():
    ours, theirs = multiprocessing.Pipe()
    turn = worker.DeviceTurn(theirs)
    ours.send("compile")
    assert turn.may_compile()
    assert not turn.has_device()
    ours.send("start")
    assert turn.has_device()
    assert turn.has_device()
    turn.wait()
    ours.close()
    with pytest.raises(worker.GivenUp):
        worker.DeviceTurn(theirs).has_device()


def test_a_run_that_dies_before_its_turn_leaves_the_device_to_the_others(tmp_path, in_worker):
    def run_one(spec, tell, turn, on_error):
        if spec.seed == 1:
            os._exit(3)
        turn.wait()
        time.sleep(0.2)
        return _record(spec)

    records = in_worker(run_one, [_spec(tmp_path, seed=seed, device="cuda") for seed in range(3)], device="cuda")
    assert sorted(record.error for record in records) == ["not tried", "not tried", "the process died with exit code 3"]


def test_a_run_whose_time_is_up_before_its_turn_does_not_begin(tmp_path, in_worker, clock):
    class Late(Watcher):
        def begin(self, spec):
            super().begin(spec)
            clock[0] = 9.0

    def run_one(spec, tell, turn, on_error):
        turn.wait()
        return _record(spec)

    watcher, specs = Late(), [_spec(tmp_path, seed=seed, device="cuda", deadline=8.0) for seed in range(2)]
    assert [record.seed for record in in_worker(run_one, specs, watcher, device="cuda")] == [0]
    assert watcher.seen == ["begin", "failed"]


def test_processes_that_use_cuda_are_spawned():
    assert processes.context("cuda").get_start_method() == "spawn"
    assert processes.context("cpu").get_start_method() == "forkserver"


SERVED = """
import os
from benchmark.execution import processes

def tell(connection):
    import benchmark
    connection.send([benchmark.__file__, os.getcwd()])

if __name__ == "__main__":
    processes.PRELOAD[:] = ["benchmark.errors"]
    started = processes.processes("cpu")
    ours, theirs = started.Pipe()
    started.Process(target=tell, args=(theirs,)).start()
    theirs.close()
    print(*ours.recv(), os.getcwd(), os.environ["PYTHONPATH"], sep="|")
"""


def test_workers_import_what_their_parent_does(tmp_path):
    """And nothing of the same name from the working directory."""
    folder, script = tmp_path / "folder", tmp_path / "script.py"
    script.write_text(SERVED)
    folder.mkdir()
    (folder / "benchmark.py").write_text("raise SystemExit('foreign')")
    root = str(Path(local.__file__).parents[2])
    command, environment = [sys.executable, "-W", "ignore", script], os.environ | {"PYTHONPATH": root}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    found, *places, path = done.stdout.strip().split("|") if done.returncode == 0 else pytest.fail(done.stderr)
    assert found == str(Path(root, "benchmark", "__init__.py"))
    assert places == [str(folder), str(folder)]
    assert path == root


def test_an_interrupt_ends_the_workers(tmp_path, in_worker):
    def run_one(spec, tell, turn, on_error):
        (tmp_path / f"pid-{spec.seed}").write_text(str(os.getpid()))
        tell("train", 1, 1, None)
        signal.pause()

    class Interrupted(Watcher):
        def progress(self, *args):
            if len(list(tmp_path.glob("pid-*"))) == 2:
                raise KeyboardInterrupt
            time.sleep(0.1)
            self.progress(*args)

    with pytest.raises(KeyboardInterrupt):
        in_worker(run_one, [_spec(tmp_path), _spec(tmp_path, seed=1)], Interrupted(), most=2)
    for pid in tmp_path.glob("pid-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_worker_whose_parent_has_gone_gives_up_and_stores_nothing(tmp_path, monkeypatch, device):
    """When it reports, or when it waits for its turn."""

    def run_one(spec, tell, turn, on_error):
        try:
            if turn:
                turn.wait()
            tell("train", 1, 1, None)
        except Exception:
            return _record(spec)

    monkeypatch.setattr(worker, "run_one", run_one)
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=worker.work, args=(_spec(tmp_path, device=device), theirs))
    ours.close()
    process.start()
    theirs.close()
    process.join()
    assert process.exitcode == 1
    assert not (tmp_path / "results").exists()


def test_progress_is_told_but_not_too_often(tmp_path, in_worker):
    def run_one(spec, tell, turn, on_error):
        for i in range(1000):
            tell("train", i + 1, 1000, 0.5)
        return _record(spec)

    watcher = Watcher()
    in_worker(run_one, [_spec(tmp_path)], watcher)
    assert watcher.seen[-2:] == [("train", 1000, 1000, 0.5), "failed"]
    assert len(watcher.seen) < 100


def test_runs_go_side_by_side(tmp_path, in_worker):
    """Each of the two waits for the other to have begun."""

    def run_one(spec, tell, turn, on_error):
        (tmp_path / f"begun-{spec.seed}").touch()
        for _ in range(100):
            if len(list(tmp_path.glob("begun-*"))) == 2:
                return _record(spec)
            time.sleep(0.1)
        os._exit(1)

    records = in_worker(run_one, [_spec(tmp_path), _spec(tmp_path, seed=1)], most=2)
    assert [record.error for record in records] == ["not tried", "not tried"]


def test_a_failure_is_recorded_and_the_rest_go_on(tmp_path):
    """Two real runs in real workers; the first asks for a backbone of mmpretrain, which is not installed."""
    broken = _spec(tmp_path, "mmseg:convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512")
    watcher = Watcher()
    records = [stored.record for stored in made_by_workers([broken, _spec(tmp_path)], watcher)]
    assert [r.architecture for r in records] == [broken.architecture, "enet"]
    assert records[0].status == "failed"
    assert records[0].error
    assert "\n" not in records[0].error
    assert (
        (tmp_path / "work" / "shapes_64x64_smoke")
        .joinpath("mmseg+convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512", records[0].run_id, "error.log")
        .exists()
    )
    assert records[1].status == "ok"
    assert [entry for entry in watcher.seen if isinstance(entry, str)] == ["begin", "failed", "begin", "ok"]
    stored, problems = Store(tmp_path / "results").scan()
    assert len(stored) == 2
    assert problems == []
