"""How worker processes of this machine are started: forked from a server on a CPU, spawned on a GPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, util
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.execution import process_tree, scratch

PRELOAD = ["benchmark.engine.session", "benchmark.execution.worker", "torchvision", "benchmark.execution.fork_server"]
"""Modules that the fork server imports once, which takes seconds."""

AFTER_SOCKETS = -200
"""Place in the exit of this process: multiprocessing removes its folder of sockets at -100."""

LONGEST_FOLDER = 50
"""Characters of a folder of temporary files in which sockets of workers have paths that are accepted: 107 on Linux."""

TRIES, RETRY_SECONDS = 4, 0.2
"""The number of attempts to start a process, and seconds between the first two; further ones take longer."""

_starting, _has_server = threading.RLock(), False

_supervisors = set[int]()
"""Process ids of what `start` has started and `forget` was not given yet."""


def context(device: str) -> Any:
    """Return the context that starts supervisors, which start workers in the same way.

    On a CPU a server imports torch and mmsegmentation once (seconds) and forks workers (milliseconds). It
    computes nothing itself, so that no thread pool is forked. On a GPU workers are spawned: a process that is forked
    from one in which any library has asked the CUDA driver for its devices, as mmengine does at import, cannot use
    CUDA. Their imports take seconds, but overlap with the training of another run.

    Args:
        device: "cpu" or "cuda".
    """
    if device != "cpu":
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOAD)
    return found


def processes(device: str) -> Any:
    """Return the context that starts supervisors, with its server running.

    Args:
        device: "cpu" or "cuda".
    """
    found = context(device)
    if found.get_start_method() == "forkserver":
        _start_server()
    return found


def start(processes: Any, target: Callable[..., None], args: tuple[Any, ...]) -> Any:
    """Start a process, again if the server is killed before it has forked it.

    It does not import the script that this process executes, of which it needs nothing: multiprocessing would run it
    again, and so every run that it starts unless it has an `if __name__ == "__main__":`.

    Args:
        processes: from `processes`.
        target: function of an importable module.
        args: its arguments.

    Raises:
        UserError: it cannot be started.
    """
    failure: Exception | None = None
    for attempt in range(TRIES):
        time.sleep(attempt * RETRY_SECONDS)  # a server that is killed refuses connections before it has ended
        process = processes.Process(target=target, args=args)
        with _starting, without_interrupts(), _main_not_imported():  # what they change is that of all threads
            try:
                if failure and processes.get_start_method() == "forkserver":
                    with _same_path():
                        forkserver.ensure_running()
                process.start()
            except (EOFError, OSError) as error:
                failure = error
                continue
            _supervisors.add(process.pid)
        return process
    raise UserError(f"a worker process cannot be started: {failure}") from failure


def forget(process: Any) -> None:
    """Forget a process of `start` that has ended."""
    _supervisors.discard(process.pid)


def end_orphans() -> None:
    """Kill what supervisors have left that were killed: the server has adopted it, whatever it has closed."""
    server: int | None = getattr(forkserver._forkserver, "_forkserver_pid", None)
    end = time.monotonic() + process_tree.CLEAN_SECONDS
    while server is not None and time.monotonic() < end:
        with _starting:  # otherwise a new supervisor would not be known yet
            left = process_tree.adopted(server, _supervisors)
            for each in left:
                process_tree.send(each, signal.SIGKILL)
        if not left:
            return
        time.sleep(0.05)


def temporary() -> Path:
    """Return the folder of temporary files, or that of the system if paths of sockets below it would be too long."""
    found = Path(tempfile.gettempdir())
    return found if len(str(found)) <= LONGEST_FOLDER else Path("/tmp")


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started here until they ignore it: it is sent to all of the terminal's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_server() -> None:
    """Start the fork server once: its environment is that of all threads."""
    global _has_server
    with _starting:
        if not _has_server:
            with _same_path(), without_interrupts(), _short_sockets():
                forkserver.ensure_running()
            _has_server = True


@contextmanager
def _same_path() -> Iterator[None]:
    """Let Python processes that are started here find the modules that this process finds.

    Python looks for the modules of `python -c`, as which the fork server is started, in the working directory first,
    and so would import any `benchmark.py` or `torch.py` there. Later releases of Python set the path in the server.
    """
    folder, path = Path.cwd(), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    os.chdir(os.sep)
    try:
        yield
    finally:
        os.chdir(folder)
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path


@contextmanager
def _short_sockets() -> Iterator[None]:
    """Let multiprocessing put its sockets where their paths are as short as the system demands."""
    folder, _ = scratch.create(temporary())
    util.Finalize(None, scratch.remove, args=(folder,), exitpriority=AFTER_SOCKETS)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        util.get_temp_dir()
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def _main_not_imported() -> Iterator[None]:
    """Keep processes that are started here from importing the script that starts them."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {
        name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
    }
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)
