"""A process below its supervisor: it starts from any script, and although its server is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.execution import child, processes

START = """
from benchmark.execution import processes
from benchmark.execution.child import Child

processes.PRELOAD[:] = {preload}
started = Child(processes.processes("cpu"), {function}, "the script is not imported again")
while started.ending is None:
    started.receive()
print(started.ending.exitcode, started.ending.output.decode())
started.close()
"""

LEAVING = """
import os, signal, subprocess, sys, time
from pathlib import Path

def leave(*_):
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    program = subprocess.Popen(["env", "-i", "sleep", "1000"], start_new_session=True, **nothing)
    if (fork := os.fork()) == 0:
        os.setsid()
        os.closerange(0, 1000)
        time.sleep(1000)
    Path("processes").write_text(f"{os.getpid()} {program.pid} {fork}")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)
"""

KILL = """
import os, signal, threading, time
from multiprocessing import forkserver

def kill():
    while not (server := forkserver._forkserver._forkserver_pid):
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(server, signal.SIGKILL)

threading.Thread(target=kill, daemon=True).start()
"""


def _printed(folder, *words, **options):
    """What a script prints; no temporary file of it is left."""
    (folder / "tmp").mkdir()
    root = Path(child.__file__).parents[2]
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": f"{folder}{os.pathsep}{root}"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, **options
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list((folder / "tmp").iterdir()) == []
    return done.stdout


@pytest.mark.parametrize("from_stdin", [False, True])
def test_a_script_needs_no_guard(tmp_path, from_stdin):
    code = START.format(preload=[], function="print")
    (tmp_path / "script.py").write_text(code)
    printed = _printed(tmp_path, "-", input=code) if from_stdin else _printed(tmp_path, "script.py")
    assert printed.startswith("0 the script is not imported again <multiprocessing")


def test_the_server_is_killed_while_it_starts(tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(1)")
    (tmp_path / "script.py").write_text(KILL + START.format(preload=["slow"], function="print"))
    assert _printed(tmp_path, "script.py").startswith("0 ")


def test_nothing_is_left_of_a_supervisor_that_is_killed(tmp_path):
    """Whatever it has left had neither its environment nor its output."""
    (tmp_path / "leaving.py").write_text(LEAVING)
    code = START.format(preload=["benchmark.execution.fork_server"], function="leave")
    (tmp_path / "script.py").write_text(f"from leaving import leave{code}")
    assert _printed(tmp_path, "script.py").startswith("None ")
    processes = [Path("/proc", each) for each in (tmp_path / "processes").read_text().split()]
    end = time.monotonic() + 5
    while any(map(Path.exists, processes)) and time.monotonic() < end:  # those that are killed may be waited for later
        time.sleep(0.05)
    assert [path.name for path in processes if path.exists()] == []


class Never:
    """A context in which no process can be started."""

    tried = 0

    def get_start_method(self):
        return "spawn"

    def Pipe(self):
        return processes.multiprocessing.Pipe()

    def Process(self, **_):
        return self

    def start(self):
        self.tried += 1
        raise EOFError("unexpected EOF")


def test_one_that_cannot_be_started_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "temporary", lambda: tmp_path)
    monkeypatch.setattr(processes, "RETRY_SECONDS", 0)
    never = Never()
    with pytest.raises(UserError, match="a worker process cannot be started: unexpected EOF"):
        child.Child(never, print, None)
    assert never.tried == processes.TRIES
    assert list(tmp_path.iterdir()) == []
