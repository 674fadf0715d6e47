"""The manifest of a sweep, the progress of its runs, and what `segbench status` makes of them without Slurm."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from benchmark.cli import main, outputs
from benchmark.execution import progress, status, sweep
from benchmark.execution.plan import Job
from benchmark.execution.progress import Progress, Reporter
from benchmark.execution.slurm import queue
from benchmark.execution.slurm.queue import JobState
from benchmark.execution.spec import Spec
from benchmark.execution.sweep import Manifest, Process, manifests
from benchmark.results.store import Store


@pytest.fixture
def jobs(tmp_path):
    def make(number):
        fields = {"results": tmp_path / "results", "work_dir": tmp_path / "work_dirs", "latency": False}
        return [Job(Spec("enet", "shapes_64x64_smoke", seed, "cpu", **fields), None, 0.0) for seed in range(number)]

    return make


@pytest.fixture
def manifest(jobs):
    return Manifest.create(jobs(4), "local", 2, "segbench run enet")


def put(manifest, index, **fields):
    """Write the progress of a run."""
    run, now = manifest.sweep.runs[index], time.time()
    plain = {"owner": run.job or manifest.sweep.name, "host": "here", "started": now - 20, "updated": now}
    progress.write(progress.path_of(manifest.work_dir, run.run_id), Progress(**plain | fields))


def states(manifest):
    return [run.state for run in status.look(manifest, time.time()).runs]


@pytest.fixture
def gone():
    """A process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    found = replace(Process.here(), number=process.pid, start="before")
    process.wait()
    return found


def test_runs_of_a_process_that_is_alive(manifest):
    assert states(manifest) == ["pending"] * 4
    put(manifest, 0, state="ended", status="ok", phase="test", done=8, total=8)
    put(manifest, 1, state="ended", status="failed", error="RuntimeError: no", cause="exception")
    put(manifest, 2, phase="train", done=30, total=40, rate=2.0)
    found = status.look(manifest, time.time())
    assert [run.state for run in found.runs] == ["done", "failed", "running", "pending"]
    assert (found.runs[1].error, found.runs[1].cause) == ("RuntimeError: no", "exception")
    assert found.exit_code == 3
    assert found.active
    assert (
        5 <= found.seconds_left <= 45
    )  # the rest of one, and one as long as the one that is done, one after the other


def test_a_process_that_is_gone_leaves_runs_interrupted(manifest, gone):
    put(manifest, 0, state="ended", status="ok")
    put(manifest, 1, phase="train", done=3, total=9)
    manifest.write(process=gone)
    found = status.look(Manifest.read(manifest.path), time.time())
    assert [run.state for run in found.runs] == ["done", "interrupted", "interrupted", "interrupted"]
    assert not found.active
    assert found.exit_code == 3
    assert main(["status", "--work-dir", str(manifest.work_dir)]) == 3


def test_a_killed_sweep_is_seen_at_once(tmp_path):
    """SIGKILL leaves no time to write anything."""
    command = [sys.executable, "-m", "benchmark", "run", "enet", "--max-iters", "1000", "--no-latency", "--jobs", "1"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--seeds", "0,1"], cwd=tmp_path, **pipes) as process:
        end, found = time.monotonic() + 120, []
        while time.monotonic() < end and found != ["running", "pending"]:
            found = [state for each in manifests(tmp_path / "work_dirs") for state in states(each)]
            time.sleep(0.2)
        assert found == ["running", "pending"]
        os.kill(process.pid, signal.SIGKILL)
    (left,) = manifests(tmp_path / "work_dirs")
    assert states(left) == ["interrupted", "interrupted"]


def test_a_result_counts_before_its_progress_says_so(manifest, jobs, make_record):
    """A process may be killed in between; and the result of an earlier call does not count."""
    store, (first, second, *_) = Store(jobs(1)[0].spec.results), [run.run_id for run in manifest.sweep.runs]
    names = {"protocol": "shapes_64x64_smoke"}
    record, arrays = make_record("enet", 0, **names)
    store.add(record.model_copy(update={"run_id": first}), arrays)
    assert states(manifest)[:2] == ["done", "pending"]
    record, arrays = make_record("enet", 1, status="diverged", **names)
    store.add(record.model_copy(update={"run_id": second}), arrays)
    found = status.look(manifest, time.time()).runs[1]
    assert (found.state, found.error) == ("failed", record.error)
    again = Manifest.create(jobs(2), "local", 1, "segbench run --force")
    assert states(again) == ["pending", "pending"]


def test_another_machine_is_judged_by_signs_of_life(manifest):
    manifest.write(process=replace(Process.here(), host="another"))
    put(manifest, 0, phase="train", done=3, total=9)
    put(manifest, 1, phase="train", done=3, total=9, updated=time.time() - 100)
    put(manifest, 2, state="interrupted", phase="train", done=3, total=9)
    assert states(manifest) == ["running", "unresponsive", "interrupted", "pending"]


def test_progress_of_another_sweep_is_not_this_ones(manifest, jobs):
    put(manifest, 0, state="ended", status="ok")
    assert states(Manifest.create(jobs(1), "local", 1, "again")) == ["pending"]


@pytest.fixture
def slurm(manifest, monkeypatch):
    """A sweep of Slurm; `slurm(state, state, ...)` lets its jobs be in these states and looks."""
    manifest.write(executor="slurm")
    manifest.assign({run.run_id: f"7_{index}" for index, run in enumerate(manifest.sweep.runs)})

    def look(*found):
        jobs = {f"7_{index}": JobState(f"7_{index}", *state.split()) for index, state in enumerate(found)}
        monkeypatch.setattr(queue, "ask", lambda wanted: {job: jobs[job] for job in wanted} if jobs else None)
        return status.look(manifest, time.time())

    look.manifest = manifest
    return look


def test_jobs_decide_what_their_runs_do(slurm):
    put(slurm.manifest, 1, phase="train", done=3, total=9)
    put(slurm.manifest, 2, phase="train", done=3, total=9, updated=time.time() - 60)
    put(slurm.manifest, 3, phase="train", done=3, total=9)
    found = slurm("PENDING Resources", "RUNNING None n1", "RUNNING None n2", "PENDING BeginTime").runs
    assert [run.state for run in found] == ["pending", "running", "unresponsive", "requeued"]
    assert (found[0].reason, found[1].node, found[3].reason) == ("Resources", "n1", "BeginTime")
    assert found[2].silent >= 59


def test_a_suspended_job_is_not_called_unresponsive(slurm, capsys):
    put(slurm.manifest, 0, phase="train", done=3, total=9, rate=2.0, updated=time.time() - 60)
    found = slurm("SUSPENDED None n1", "SUSPENDED None n1", "RUNNING None n2", "PENDING Priority").runs
    assert [(run.state, run.reason) for run in found[:2]] == [("running", "SUSPENDED")] * 2
    assert found[0].silent >= 59
    assert main(["status", "--work-dir", str(slurm.manifest.work_dir)]) == 3
    assert "training 3/9, on n1, SUSPENDED, job 7_0" in capsys.readouterr().out


def test_a_job_that_is_started_again_is_not_where_it_was(slurm, monkeypatch):
    put(slurm.manifest, 0, state="interrupted", phase="train", done=3, total=9)
    put(slurm.manifest, 1, phase="train", done=3, total=9, started=time.time() - 100)
    jobs = {f"7_{i}": JobState(f"7_{i}", "RUNNING", "", "n1", time.time() - 5) for i in range(4)}
    monkeypatch.setattr(queue, "ask", lambda wanted: {job: jobs[job] for job in wanted})
    found = status.look(slurm.manifest, time.time()).runs
    assert [(run.state, run.starting) for run in found] == [("running", True)] * 4


@pytest.mark.parametrize(
    ("state", "cause", "words"),
    [
        ("CANCELLED", "cancelled", "was cancelled"),
        ("OUT_OF_MEMORY", "out_of_memory", "--mem"),
        ("TIMEOUT", "time_limit", "--time"),
        ("NODE_FAIL", "node_failed", "node failed"),
        ("FAILED", "lost", "state FAILED"),
        ("GONE", "lost", "does not know it any more"),
    ],
)
def test_a_job_that_ends_without_a_result(slurm, gone, state, cause, words):
    slurm.manifest.write(process=gone)  # its terminal, so that nobody else notes it
    put(slurm.manifest, 1, state="ended", status="ok")
    found = slurm(*[state] * 4)
    assert [run.state for run in found.runs] == ["failed", "done", "failed", "failed"]
    assert found.runs[0].cause == cause
    assert words in found.runs[0].error
    assert found.exit_code == 1
    later = slurm(*["GONE"] * 4)  # Slurm forgets, the manifest does not
    assert [run.state for run in later.runs] == ["failed", "done", "failed", "failed"]
    assert later.runs[0].cause == cause


def test_tasks_that_were_cancelled_before_they_started(slurm, monkeypatch):
    """By scancel they have failed, by segbench they are cancelled; one that had started is lost."""
    jobs = {f"7_{i}": JobState(f"7_{i}", "CANCELLED", is_inferred=True) for i in range(4)}
    monkeypatch.setattr(queue, "ask", lambda wanted: {job: jobs[job] for job in wanted})
    slurm.manifest.folder.mkdir()
    (slurm.manifest.folder / "7_0_0_log.err").write_text("")
    found = status.look(slurm.manifest, time.time()).runs
    assert [(run.state, run.cause) for run in found] == [("failed", "lost")] + [("failed", "cancelled")] * 3
    slurm.manifest.write(cancelled=True)
    assert states(slurm.manifest)[1:] == ["cancelled"] * 3
    assert [run.state for run in slurm(*["GONE"] * 4).runs] == ["cancelled"] * 4  # Slurm forgets
    assert [run.state for run in slurm(*["COMPLETING"] * 4).runs] == ["cancelled"] * 4  # they take seconds to end


def test_slurm_that_does_not_answer(slurm):
    put(slurm.manifest, 0, phase="train", done=3, total=9)
    put(slurm.manifest, 1, state="ended", status="ok")
    found = slurm()
    assert [run.state for run in found.runs] == ["unknown", "done", "unknown", "unknown"]
    assert found.exit_code == 3


def test_the_reporter_passes_on_and_writes(jobs, make_record):
    heard, (job,) = [], jobs(1)

    class Listener:
        def __getattr__(self, name):
            return lambda *arguments: heard.append(name)

    reporter, path = Reporter("me", Listener()), progress.path_of(job.spec.work_dir, job.spec.identity.run_id)
    with reporter.beating():
        reporter.begin(job.spec)
        assert (progress.read(path).phase, progress.read(path).owner) == ("starting", "me")
        reporter.progress(job.spec, "train", 1, 9, None)
        reporter.progress(job.spec, "train", 2, 9, 0.5)  # at once: not written
        assert progress.read(path).done == 1
        reporter.progress(job.spec, "val", 1, 4, None)
        assert progress.read(path).phase == "val"
        reporter.end(job.spec, make_record("enet", 0)[0])
    assert (progress.read(path).state, progress.read(path).status) == ("ended", "ok")
    assert heard == ["begin", "progress", "progress", "progress", "end"]


def test_signs_of_life_while_there_is_no_progress(jobs, monkeypatch):
    monkeypatch.setattr(progress, "BEAT_SECONDS", 0.05)
    (job,) = jobs(1)
    reporter, path = Reporter("me"), progress.path_of(job.spec.work_dir, job.spec.identity.run_id)
    with reporter.beating():
        reporter.begin(job.spec)
        first = progress.read(path).updated
        time.sleep(0.3)
        assert progress.read(path).updated > first


def test_ended_sweeps_are_small_and_few(jobs, monkeypatch):
    monkeypatch.setattr(sweep, "KEPT", 3)
    for _ in range(6):
        made = Manifest.create(jobs(2), "local", 1, "segbench run")
        with made.executed():
            put(made, 0, state="ended", status="ok")
    assert len(manifests(made.work_dir)) == 4  # those that were kept when the last one was made, and itself
    assert not (made.work_dir / "progress").exists()  # an empty folder is not kept
    assert states(Manifest.read(made.path)) == ["done", "interrupted"]


def test_json_and_text(manifest, capsys):
    put(manifest, 0, state="ended", status="failed", error="RuntimeError: no", cause="exception")
    put(manifest, 1, phase="train", done=30, total=40, rate=2.0, value=0.5)
    log = Path(manifest.sweep.runs[0].folder, "run.log")
    log.parent.mkdir(parents=True)
    log.write_text("what it said\n")
    assert main(["status", "--work-dir", str(manifest.work_dir)]) == 3
    out = capsys.readouterr().out
    assert "1 failed, 1 running, 2 pending" in out
    assert "exception: RuntimeError: no\n      what it said" in out
    assert "training 30/40, 2/s, 5 s left" in out
    assert main(["status", "--json", manifest.sweep.name, "--work-dir", str(manifest.work_dir)]) == 3
    everything = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(outputs.schema("status")).validate(everything)
    (found,) = everything["sweeps"]
    assert found["counts"] == {"failed": 1, "running": 1, "pending": 2}
    assert found["runs"][0]["log_tail"] == ["what it said"]
    assert found["runs"][1]["rate"] == 2.0


def test_the_text_has_the_innermost_calls_of_a_crash(manifest, capsys):
    put(manifest, 0, state="ended", status="failed", error="the process was killed by SIGSEGV", cause="killed")
    log = Path(manifest.sweep.runs[0].folder, "run.log")
    log.parent.mkdir(parents=True)
    calls = [f'  File "x.py", line {number} in call_{number}' for number in range(30)]
    log.write_text("\n".join(["Current thread 0x00007f (most recent call first):", *calls]))
    assert main(["status", "--work-dir", str(manifest.work_dir)]) == 3
    out = capsys.readouterr().out
    assert "in call_0\n" in out
    assert "in call_20" not in out


def test_a_long_line_of_a_log_has_its_end(manifest, capsys):
    """In a file or a pipe, too."""
    put(manifest, 0, state="ended", status="failed", error="the process died with exit code 3", cause="exited")
    log = Path(manifest.sweep.runs[0].folder, "run.log")
    log.parent.mkdir(parents=True)
    log.write_text("begins" + "." * 9000 + " FATAL no licence")
    assert main(["status", "--work-dir", str(manifest.work_dir)]) == 3
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "FATAL" in line]
    assert line.endswith(" FATAL no licence")
    assert len(line) == 200


def test_damaged_files_are_passed_over(manifest):
    put(manifest, 0, phase="train", done=1, total=2)
    for path in (manifest.path.with_name("x.json"), progress.path_of(manifest.work_dir, manifest.sweep.runs[0].run_id)):
        path.write_text('{"name": 3')
    assert [each.sweep.name for each in manifests(manifest.work_dir)] == [manifest.sweep.name]
    assert states(manifest)[0] == "pending"


@pytest.mark.parametrize(
    ("words", "said"), [([], "no sweep in"), (["nosuch"], "no sweep nosuch in"), (["--cancel"], "press Ctrl-C")]
)
def test_mistakes_get_one_line(manifest, tmp_path, capsys, words, said):
    place = manifest.work_dir if words else tmp_path / "elsewhere"
    assert main(["status", *words, "--work-dir", str(place)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_sweep_whose_process_has_gone_is_marked_as_ended(manifest):
    """Its progress is part of it then, and no file beside it is left."""
    put(manifest, 0, state="running", phase="train", done=3, total=8)
    file = progress.path_of(manifest.work_dir, manifest.sweep.runs[0].run_id)
    sweep.tidy(manifest.work_dir)
    assert file.exists()
    gone = replace(manifest.sweep.process, start="another one")
    manifest.write(process=gone)
    sweep.tidy(manifest.work_dir)
    (found,) = manifests(manifest.work_dir)
    assert found.sweep.ended is not None
    assert not file.exists()
    assert states(found)[0] == "interrupted"


def test_an_interruption_leaves_the_latest_progress(jobs):
    """Files are written at intervals, and the last one may be older than what was reached."""
    (job,) = jobs(1)
    reporter = Reporter("sweep")
    with reporter.beating():
        reporter.begin(job.spec)
        reporter.progress(job.spec, "train", 1, 8, None)
        reporter.progress(job.spec, "train", 7, 8, None)
    assert progress.read(progress.path_of(job.spec.work_dir, job.spec.identity.run_id)).done == 7


def test_the_tail_is_that_of_the_record(manifest, jobs, make_record):
    """The log may be of an earlier attempt, or could not be written."""
    first = manifest.sweep.runs[0]
    record, arrays = make_record("enet", 0, status="failed", protocol="shapes_64x64_smoke")
    update = {"run_id": first.run_id, "cause": "exception", "log_tail": ["the second attempt", "has failed"]}
    Store(jobs(1)[0].spec.results).add(record.model_copy(update=update), arrays)
    log = Path(first.folder, "run.log")
    log.parent.mkdir(parents=True)
    log.write_text("the first attempt\n")
    found = status.look(manifest, time.time()).runs[0]
    assert status.log_tail(found, manifest) == ["the second attempt", "has failed"]
    assert status.log_tail(found, manifest, 1) == ["has failed"]
    again = Manifest.create(jobs(1), "local", 1, "segbench run --force")
    put(again, 0, state="ended", status="failed", cause="exception")
    assert status.log_tail(status.look(again, time.time()).runs[0], again) == ["the first attempt"]
