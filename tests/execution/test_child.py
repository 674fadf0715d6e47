"""A process below its supervisor: it starts from any script, and although its server is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.execution import child, processes

START = """
from benchmark.execution import processes
from benchmark.execution.child import Child

processes.PRELOAD[:] = {preload}
started = Child(processes.processes("cpu"), print, "the script is not imported again")
while started.ending is None:
    started.receive()
print(started.ending.exitcode, started.ending.output.decode())
started.close()
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
    code = START.format(preload=[])
    (tmp_path / "script.py").write_text(code)
    printed = _printed(tmp_path, "-", input=code) if from_stdin else _printed(tmp_path, "script.py")
    assert printed.startswith("0 the script is not imported again <multiprocessing")


def test_the_server_is_killed_while_it_starts(tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(1)")
    (tmp_path / "script.py").write_text(KILL + START.format(preload=["slow"]))
    assert _printed(tmp_path, "script.py").startswith("0 ")


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
    never = Never()
    with pytest.raises(UserError, match="a worker process cannot be started: unexpected EOF"):
        child.Child(never, print, None)
    assert never.tried == 2
    assert list(tmp_path.iterdir()) == []
