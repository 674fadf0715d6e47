"""Folders of temporary files: those of killed processes are removed at the next start, and no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.execution import scratch

KILLED = """
import os, signal, sys
from pathlib import Path
from benchmark.execution import scratch

folder, _ = scratch.create(Path(sys.argv[1]))
(folder / "file").touch()
print(folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_is_removed_when_all_of_its_processes_have_gone(tmp_path):
    environ = os.environ | {"PYTHONPATH": str(Path(scratch.__file__).parents[2])}
    command = [sys.executable, "-c", KILLED, tmp_path]
    left = Path(subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True).stdout.strip())
    used, lock = scratch.create(tmp_path)
    other = scratch.hold(used)  # of a supervisor
    others = [tmp_path / name for name in ("segbench-results", "segbench-baseline.run", "segbench-12345678")]
    for folder in others:
        folder.mkdir()
    scratch.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([used, *others])
    assert not left.exists()
    scratch.release(lock)
    scratch.sweep(tmp_path)
    assert used.exists()
    scratch.release(other)
    scratch.sweep(tmp_path)
    assert not used.exists()


def test_a_folder_that_is_swept_before_it_is_locked_is_created_again(tmp_path, monkeypatch):
    real, swept = scratch.hold, []

    def hold(folder):
        if not swept:
            scratch.sweep(tmp_path)
            swept.append(folder)
        return real(folder)

    monkeypatch.setattr(scratch, "hold", hold)
    folder, _ = scratch.create(tmp_path)
    assert folder.is_dir()
    assert folder != swept[0]


@pytest.mark.skipif(os.getuid() == 0, reason="root may remove everything")
def test_read_only_folders_are_removed(tmp_path):
    folder, _ = scratch.create(tmp_path)
    (folder / "cache" / "sealed").mkdir(parents=True)
    (folder / "cache" / "sealed").chmod(0)
    (folder / "cache").chmod(0o500)
    scratch.remove(folder)
    assert not folder.exists()
