"""Whatever the code of a network does costs its own run, is recorded with its cause, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.execution import log
from benchmark.results.store import Store

ROOT = Path(__file__).parents[2]
NETWORKS = Path(__file__).with_name("faulty.py")

BAD = {
    "Raises": ("failed", "exception"),
    "Hangs": ("timed_out", "hung"),
    "TakesMemory": ("out_of_memory", "out_of_memory"),
    "Diverges": ("diverged", "diverged"),
    "Exits": ("failed", "exited"),
    "LeaksFiles": ("failed", "exception"),
    "RaisesNoException": ("failed", "exception"),
    "Terminates": ("failed", "killed"),
}
GOOD = ["Good", *(f"Good(width={width})" for width in range(5, 9))]


@dataclass
class Place:
    """Where commands run, and what finds their processes."""

    folder: Path

    def __post_init__(self):
        (self.folder / "notes").mkdir(parents=True)
        self.temporary = Path(tempfile.mkdtemp())  # short: it becomes part of the addresses of sockets
        shutil.copy(NETWORKS, self.folder / "net.py")

    def start(self, networks, *options, **variables):
        """Start `segbench run`; its processes have the folder in their environment, wherever they go."""
        command = [sys.executable, "-m", "segbench", "run", *(f"net.py:{each}" for each in networks), *options]
        environment = os.environ | variables
        environment |= {"SEGBENCH_TEST_NOTES": str(self.folder / "notes"), "TMPDIR": str(self.temporary)}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [*command, "--max-iters", "4", "--no-latency", "--device", "cpu"],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, networks, *options, **variables):
        """Return the exit code and the lines on stderr."""
        process = self.start(networks, *options, **variables)
        lines = process.communicate()[1].splitlines()
        return process.returncode, lines

    def wait_for(self, note):
        end = time.monotonic() + 120
        while not (self.folder / "notes" / note).exists():
            assert time.monotonic() < end
            time.sleep(0.02)

    def records(self):
        """Records by the name of the network."""
        stored, problems = Store(self.folder / "results").scan()
        assert problems == []
        return {each.record.architecture.removeprefix("net.py:"): each.record for each in stored}

    def remove(self):
        shutil.rmtree(self.temporary)

    def bits(self):
        """What the good runs have computed."""
        return {
            name: (record.run_id, record.evaluations, record.training.loss, record.training.val_miou, record.artifacts)
            for name, record in self.records().items()
            if record.status == "ok"
        }

    def processes(self):
        return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if self._is_ours(path)]

    def _is_ours(self, environ):
        try:
            return f"SEGBENCH_TEST_NOTES={self.folder}/notes".encode() in environ.read_bytes()
        except OSError:
            return False

    def left(self, seconds=10.0):
        """Processes and files that are left after some seconds at most; torch makes the folder of its cache."""
        end = time.monotonic() + seconds
        while True:
            files = [path for path in self.temporary.iterdir() if not path.name.startswith("torchinductor_")]
            files += [path for path in self.folder.rglob("*.tmp") if path.is_file()]
            found = [*self.processes(), *files, *Path("/dev/shm").glob(f"{self.folder.name}*")]
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.05)


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path / f"place{os.getpid()}")
    yield place
    place.remove()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The good runs, with no others."""
    place = Place(tmp_path_factory.mktemp("alone") / "place")
    code, lines = place.run([*GOOD, "Prints", "Slow"], "--jobs", "2", SEGBENCH_TEST_MEGABYTES="0")
    assert code == 0, lines
    place.remove()
    return place.bits()


def test_a_sweep_with_every_fault(place, alone):
    """The one that prints is a good one: 15 runs, of which 6 end as they do alone."""
    networks = [*BAD, "Crashes", "Prints", *GOOD]
    options = ("--jobs", "2", "--hang-timeout", "20")
    code, lines = place.run(networks, *options, SEGBENCH_TEST_MEGABYTES="100")
    assert place.left() == []
    assert code == 1, lines
    assert not any("Traceback" in line for line in lines), lines
    records = place.records()
    assert {name: (record.status, record.cause) for name, record in records.items() if record.status != "ok"} == {
        **BAD,
        "Crashes": ("failed", "killed"),
    }
    assert place.bits() == {name: bits for name, bits in alone.items() if name != "Slow"}
    tails = {name: "\n".join(record.log_tail or []) for name, record in records.items()}
    assert tails["Raises"].endswith("ValueError: of the network's own")
    assert "in fault" in tails["Hangs"]
    assert "after 1 of 4 of train" in records["Hangs"].error
    assert "in fault" in tails["Crashes"]
    assert tails["Exits"] == "farewell"
    assert records["LeaksFiles"].error == "OSError: [Errno 24] Too many open files: '/dev/null'"
    assert records["Terminates"].error == "the process was killed by SIGTERM"
    assert records["RaisesNoException"].error == "Own: no Exception"
    assert not any("cause" in path.read_text() for path in place.folder.glob("results/*/net.py+Good*/*.json"))
    assert sum(line.startswith("[") for line in lines) == len(networks)
    assert not [path for path in place.folder.glob("work_dirs/**") if path.is_dir() and not any(path.iterdir())]


def test_what_a_run_leaves_ends_with_it(place, alone):
    """Its descendants, whatever session they are in; the runs themselves succeed."""
    networks = ["Forks", "Doubles", "Daemon", "Starts", "Threads", "SharesTensors", "ChildRaises", "ChildExits"]
    code, lines = place.run([*networks, "Shares", "KilledOnce"], "--jobs", "2", "--retry", "1")
    assert place.left() == []
    assert code == 1, lines
    found, expected = place.records(), alone["Good"]
    for name in (*networks, "KilledOnce"):
        assert found[name].status == "ok", lines
        assert [each.iou for each in found[name].evaluations] == [each.iou for each in expected[1]]
    assert (found["Shares"].cause, found["Shares"].error) == ("exited", "the process died with exit code 7")
    shown = [line for line in lines if ("KilledOnce" in line and "SIGKILL" in line) or "attempt" in line]
    assert any(line.startswith("net.py:KilledOnce seed 0: failed") and "tried again" in line for line in shown)
    assert any("] net.py:KilledOnce seed 0, attempt 2: mIoU" in line for line in shown)
    assert any("] net.py:Shares seed 0, attempt 2: failed" in line for line in shown)
    assert not any("resource_tracker" in line for line in lines)
    process = (place.folder / "notes" / "shares").read_text()
    assert not list(Path("/dev/shm").glob(f"torch_{process}_*"))


def test_a_killed_command_takes_its_processes_along(place):
    """Even those that hang, and those below them."""
    process = place.start(["Stuck"])
    place.wait_for("stuck")
    assert len(place.processes()) > 3
    process.kill()
    assert place.left(30.0) == []
    process.communicate()


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "segbench: interrupted"),
        (signal.SIGTERM, 143, "segbench: ended by SIGTERM"),
        (signal.SIGHUP, 129, "segbench: ended by SIGHUP"),
    ],
)
def test_a_signal_ends_the_command_in_one_line_and_the_run_resumes(place, alone, number, code, line):
    process = place.start(["Slow"], SEGBENCH_TEST_SLOW="1")
    place.wait_for("trains")
    process.send_signal(number)
    lines = process.communicate()[1].splitlines()
    assert (process.returncode, lines[-1]) == (code, line)
    assert not any("Traceback" in line for line in lines)
    assert place.left() == []
    assert place.records() == {}
    assert list(place.folder.rglob("resume.pth"))
    assert place.run(["Slow"])[0] == 0
    assert place.bits() == {"Slow": alone["Slow"]}


@pytest.mark.slow
def test_a_gigabyte_of_output_costs_neither_disk_nor_run(place):
    code, lines = place.run(["Prints"], "--keep-weights", SEGBENCH_TEST_MEGABYTES="1000")
    assert code == 0, lines
    (path,) = place.folder.rglob(log.FILE)
    assert path.stat().st_size < log.HEAD + 2 * log.TAIL + 1000
    assert place.left() == []
