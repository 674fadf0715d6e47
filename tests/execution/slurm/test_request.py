"""What is requested of Slurm: options over a profile, and mistakes of either in one line."""

import pytest

from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.execution.slurm import queue, request
from benchmark.execution.slurm.request import JobRequest
from benchmark.execution.spec import Spec

PROFILE = """\
partition: long
time: 2:00:00
mem: 32G
gpus: 2
cpus: 12
account: vision
exclusive: true
gres: gpu:a100:2
cache: /local/$USER/segbench
setup:
  - module load cuda
sbatch:
  mail-type: END
"""


@pytest.fixture
def profile(tmp_path):
    def write(text):
        path = tmp_path / "profile.yaml"
        path.write_text(text)
        return path

    return write


def test_a_profile_and_options_that_win(profile):
    found = request.read(profile(PROFILE), {"partition": "short", "time": 30, "mem": None})
    assert (found.partition, found.time, found.mem, found.gpus, found.cpus) == ("short", 30, "32G", 2, 12)
    assert found.setup == ("module load cuda",)
    assert found.cache == "/local/$USER/segbench"
    passed = {"account": "vision", "exclusive": True, "gres": "gpu:a100:2", "mail-type": "END"}
    assert found.sbatch == passed
    assert request.read(None, {}) == JobRequest()
    assert request.read(profile(PROFILE), {}).time == 120


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partitoin: x", "did you mean partition?"),
        ("- a", "names and values"),
        ("a: [", "is not YAML: line 1: expected the node content"),
        ("time: 1\n\tmem: 2", "is not YAML: line 2: found character '\\t'"),
        ("a: \0", "is not YAML: unacceptable character #x0000"),
        ("time: soon", "'soon' is not a time"),
        ("mem: lots", "'lots' is not an amount"),
        ("gpus: 0", "whole number"),
        ("gpus: many", "whole number"),
        ("cpus: [1]", "one value"),
        ("account:", "one value"),
        ("setup: {a: b}", "list of shell commands"),
        ("sbatch: x", "parameters of sbatch"),
        ("sbatch: {array: 1-3}", "array is set by segbench"),
        ("sbatch: {mem: 1G}", "one level up"),
        ("sbatch: {'Bad Name': 1}", "not a long name"),
    ],
)
def test_a_bad_profile_is_one_line(profile, text, said):
    with pytest.raises(UserError, match=r"^--profile \S+") as caught:
        request.read(profile(text), {})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_profile_of_other_bytes(tmp_path):
    path = tmp_path / "profile.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"^--profile \S+ is not text in UTF-8: save it as such$"):
        request.read(path, {})


def test_a_profile_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        request.read(tmp_path / "none.yaml", {})


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("2:00:00", 120),
        ("0:30", 1),
        ("1:30", 2),
        ("1-12", 2160),
        ("1-0:30", 1470),
        ("2h30m", 150),
        ("90s", 2),
    ],
)
def test_times(text, minutes):
    assert request.minutes(text) == minutes


@pytest.mark.parametrize("text", ["", "0", "-5", "1:2:3:4", "1d", "٣", "1-"])
def test_no_times(text):
    with pytest.raises(ValueError, match="is not a time"):
        request.minutes(text)


def _spec(device, protocol="shapes_64x64_smoke", gpus=1):
    return Spec("enet", protocol, 0, device, gpus=gpus)


def test_parameters():
    """A run on CPUs requests no GPU, and as many CPUs as it has threads."""
    asked = JobRequest(time=1, mem="3G", sbatch={"qos": "low", "exclusive": False})
    found = asked.parameters(_spec("cpu", gpus=2), 5)
    assert found["additional_parameters"] == {"requeue": True, "qos": "low", "mem": "3G"}
    assert (found["cpus_per_task"], found["array_parallelism"], found["signal_delay_s"]) == (2, 5, 30)
    assert found["srun_args"] == ["--cpus-per-task=2", "--wait=60"]  # no node is kept when the first one has ended
    found = asked.parameters(_spec("cuda", gpus=2), 5)
    assert found["additional_parameters"]["gpus-per-node"] == 2
    assert found["cpus_per_task"] == 6
    assert JobRequest().parameters(_spec("cuda"), 5)["additional_parameters"]["gpus-per-node"] == 1
    with_gres = JobRequest(sbatch={"gres": "gpu:1"}).parameters(_spec("cuda"), 5)["additional_parameters"]
    assert "gpus-per-node" not in with_gres
    assert JobRequest().cpus_of(_spec("cpu", "camvid_360x480_scratch")) == request.THREADS


def _mistake(capsys, *words):
    code = main(["run", "enet", *words])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    return line


def test_what_is_missing_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(request.importlib.util, "find_spec", lambda name: None)
    assert 'pip install "segbench[slurm]"' in _mistake(capsys, "--executor", "slurm")
    monkeypatch.undo()
    monkeypatch.setattr(request.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sbatch, srun, squeue, scancel: call segbench on" in _mistake(capsys, "--executor", "slurm")


def test_options_of_slurm_are_for_slurm(capsys):
    assert "--partition is for --executor slurm" in _mistake(capsys, "--partition", "x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--time", "soon"], "--time: 'soon' is not a time"),
        (["--mem", "much"], "--mem: 'much' is not an amount"),
        (["--profile", "nosuch.yaml"], "--profile nosuch.yaml: No such file"),
        (["--device", "cuda:1"], "--device cuda:1: Slurm selects the GPUs"),
        (["--time-budget", "5m"], "use --time"),
    ],
)
def test_mistakes_are_found_before_anything_is_submitted(capsys, monkeypatch, words, said):
    monkeypatch.setattr(request, "require", lambda: None)
    assert said in _mistake(capsys, "--executor", "slurm", *words)


QUEUE = """\
7|0|1700000000|RUNNING|None|node1
7|1|N/A|PENDING|Resources|
8|N/A|1700000000|COMPLETED|None|node2
"""


@pytest.fixture
def answers(monkeypatch):
    """What squeue and sacct answer: exit code, output and errors of each; a change of it is what they answer next."""
    made = {"sacct": (1, "", "Slurm accounting storage is disabled")}

    def call(*command):
        code, out, err = made[command[0]]
        return queue.subprocess.CompletedProcess(command, code, out, err)

    monkeypatch.setattr(queue, "_call", call)
    monkeypatch.setattr(queue.shutil, "which", lambda name: name)
    return made


def test_the_queue_is_read(answers):
    answers |= {"squeue": (0, QUEUE, ""), "sacct": (0, "9_2|CANCELLED by 0|None|node1\n", "")}
    found = queue.ask(["7_0", "7_1", "8", "9_2", "10"])
    assert [found[job].state for job in ("7_0", "7_1", "8", "9_2", "10")] == [
        "RUNNING",
        "PENDING",
        "COMPLETED",
        "CANCELLED",
        "GONE",
    ]
    assert (found["7_0"].node, found["7_0"].started, found["7_1"].reason) == ("node1", 1.7e9, "Resources")
    answers |= {"squeue": (1, "", "slurm_load_jobs error: Invalid job id specified"), "sacct": (1, "", "disabled")}
    assert queue.ask(["7_0"])["7_0"].state == "GONE"
    answers["squeue"] = (1, "", "slurm_load_jobs error: Unable to contact slurm controller")
    assert queue.ask(["7_0"]) is None


def test_a_job_that_slurm_ends_as_one_node_has_ended_was_not_cancelled():
    log = b"srun: First task exited 60s ago\nslurmstepd: error: *** STEP 7.0 ON node1 CANCELLED AT 2026-01-01 ***\n"
    _, cause, error = queue.JobState("7", "FAILED").end(log)
    assert cause == "lost"
    assert "one node of the job" in error


TOGETHER = """\
7|N/A|1700000000|CANCELLED|JobArrayTaskLimit|
7|0|1700000000|CANCELLED|None|node1
"""
"""All tasks of an array were cancelled while the first one ran."""

SINGLY = """\
7|3|N/A|PENDING|JobArrayTaskLimit|
7|0|1700000000|RUNNING|None|node1
"""
"""Tasks 1 and 2 were cancelled while the first one ran."""


@pytest.mark.parametrize("listed", [TOGETHER, SINGLY])
def test_tasks_that_were_cancelled_before_they_started(answers, listed):
    """They have no line of their own, and neither have those that ended some time ago."""
    answers["squeue"] = (0, listed, "")
    found = queue.ask(["7_0", "7_1", "7_2", "8_0"])
    assert [found[job].ended for job in ("7_1", "7_2")] == [True, True]
    for job in ("7_1", "7_2"):
        before, after = (found[job].checked(has_started=started).end() for started in (False, True))
        assert before == ("failed", "cancelled", f"the job was cancelled (job {job})")
        assert after[1] == "lost"
        assert f"(job {job})" in after[2]
    assert found["7_0"].checked(has_started=True) == found["7_0"]
    assert found["8_0"].state == "GONE"


def test_the_accounting_lists_tasks_that_have_not_started_in_one_line(answers):
    answers["squeue"] = (1, "", "slurm_load_jobs error: Invalid job id specified")
    answers["sacct"] = (0, "7_[1-2,5,8-12:4%1]|CANCELLED by 0|None|\n7_0|FAILED|NonZeroExitCode|node1\n", "")
    found = queue.ask([f"7_{task}" for task in range(13)])
    listed = [task for task in range(13) if not found[f"7_{task}"].is_inferred]
    assert listed == [0, 1, 2, 5, 8, 12]
    assert [found[f"7_{task}"].state for task in listed] == ["FAILED"] + ["CANCELLED"] * 5
