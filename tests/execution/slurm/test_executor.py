"""What the executor of Slurm says in the terminal, without a cluster."""

import json
import time
from dataclasses import asdict

import pytest

from benchmark.execution import progress
from benchmark.execution.plan import Job
from benchmark.execution.progress import Progress
from benchmark.execution.slurm import executor
from benchmark.execution.slurm.executor import Slurm
from benchmark.execution.slurm.queue import JobState
from benchmark.execution.slurm.request import JobRequest
from benchmark.execution.spec import Spec
from benchmark.execution.sweep import Manifest


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
