"""The process between an executor and a worker: it writes the worker's log and ends every process that a run leaves.

It runs no code of networks, so that it outlives whatever they do. It adopts the descendants of its worker, also those
that left the process group, and ends them when the worker has ended or the executor has gone.

This module imports nothing heavy: a worker that uses a GPU is not to be started by a process that has touched CUDA.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fcntl import fcntl
from functools import partial
from multiprocessing import resource_tracker, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.engine import stop
from benchmark.execution import process_tree, scratch
from benchmark.execution.log import Log
from benchmark.execution.memory_events import oom_kills
from benchmark.execution.suspension import Suspension

PROGRESS = ("progress", "waiting", "warning")
"""Kinds of messages after which a worker continues; any other is its last."""

SAVE_SECONDS = 5.0
"""Seconds that a worker has to save the state of its run when it is to end."""

EXIT_SECONDS = 2.0
"""Seconds that a worker has to exit after its last message, and that processes it left have after SIGTERM."""

STACKS_SECONDS, TURN_SECONDS = 1.0, 0.2
"""Seconds that the processes of a run that hangs have to print their stacks, and between one and the next.

What they print at once would be mixed.
"""

RANK = "segbench-rank"
"""Names of the processes that share a run with the worker begin with it: those that load data print no stacks."""

KILL_SECONDS = 10.0
"""Seconds after SIGKILL at which a process that the kernel does not end is given up."""

IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that terminals and schedulers send to all processes of a job: the executor handles them."""

OF_WORKER = (signal.SIGTERM, signal.SIGQUIT)
"""Signals that wait until the worker handles them."""

CHUNK, CHUNKS = 1 << 18, 8
"""Bytes of output that are read at once, and the largest number of such reads between messages."""

PIPE, F_SETPIPE_SZ = 1 << 20, 1031
"""Bytes that the output may be ahead of the log, and the command of fcntl(2) that sets this (Linux)."""


class Ending(NamedTuple):
    """How a worker ended.

    Attributes:
        exitcode: exit code of the process; negative for the signal that killed it; None if it is not known.
        out_of_memory: whether the kernel has killed a process of the control group because its memory ran out.
        output: the last bytes of its output.
    """

    exitcode: int | None
    out_of_memory: bool
    output: bytes


def supervise(parent: Connection, method: str, payload: bytes, log: Path, temporary: Path) -> None:
    """Start a worker, relay its messages, and return when neither it nor a descendant of it is left.

    Sends to the parent: `("started", (process id, pipe of its output as /proc names it))`, the messages of the worker,
    `("ended", Ending)`. Receives: "start" and "compile" for the worker, "stop" to let it stop at the next safe point,
    "end" to stop it within `SAVE_SECONDS`, "kill", and "stacks" to kill it after it has printed its stacks.

    Args:
        parent: connection to the executor; when that has gone, the worker is ended.
        method: how the worker is started, "fork" or "spawn".
        payload: pickled function of the worker and its first argument; the second is its connection to this process.
        log: the file of its output.
        temporary: its folder of temporary files, which is removed at the end.
    """
    os.setsid()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, OF_WORKER)
    process_tree.adopt_orphans()
    scratch.hold(temporary)  # until this process ends, which may be after its parent
    before = oom_kills()
    supervisor = _Supervisor(parent, Log(log))
    supervisor.start(method, payload, temporary)
    supervisor.run()
    scratch.remove(temporary)
    killed = supervisor.exitcode == -signal.SIGKILL and before is not None and (oom_kills() or 0) > before
    supervisor.report("ended", Ending(supervisor.exitcode, killed, supervisor.log.last))


class _Supervisor:
    """Reads messages and output of a worker until all of its processes have ended.

    Attributes:
        exitcode: that of the worker; None while it runs.
    """

    def __init__(self, parent: Connection, log: Log) -> None:
        self.exitcode: int | None = None
        self.log = log
        self._parent: Connection | None = parent
        self._steps: list[tuple[float, Callable[[], None]]] = []
        self._signal: signal.Signals | None = None
        self._cleans = False
        self._signalled: dict[int, signal.Signals] = {}
        self._gives_up = False
        self._suspension = Suspension()

    def start(self, method: str, payload: bytes, temporary: Path) -> None:
        """Start the worker; its standard output and error are the log from its first instruction on."""
        context: Any = multiprocessing.get_context(method)
        os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
        self._wake, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        worker, theirs = context.Pipe()
        self._worker: Connection | None = worker
        read, output = os.pipe()
        os.set_blocking(read, False)
        self._output: int | None = read
        with suppress(OSError):  # not Linux, or beyond the limit of the user
            fcntl(output, F_SETPIPE_SZ, PIPE)
        ours = [(os.dup(number), number) for number in (1, 2)]
        for _, number in ours:
            os.dup2(output, number)
        inherited = (self._parent, worker) if method == "fork" else ()
        process = context.Process(target=_start, args=(os.getpid(), payload, theirs, inherited))
        process.start()
        for copy, number in ours:
            os.dup2(copy, number)
            os.close(copy)
        os.close(output)
        theirs.close()
        self._process: int = process.pid
        self.report("started", (self._process, f"pipe:[{os.fstat(read).st_ino}]"))

    def run(self) -> None:
        """Relay messages and write the log until no process is left."""
        while self._has_children() and not self._gives_up:
            self._take_steps()
            ready = self._wait()
            self._read_output(CHUNKS)
            if self._worker in ready:
                self._relay()
            if self._parent in ready:
                self._obey()
        with suppress(OSError):
            while self._worker and self._worker.poll():
                self._relay()
        self._read_output(PIPE // CHUNK + 1)
        self.log.close()

    def report(self, kind: str, content: Any) -> None:
        """Send a message to the parent, unless it has gone."""
        if self._parent:
            try:
                self._parent.send((kind, content))
            except OSError:
                self._lose_parent()

    def _has_children(self) -> bool:
        """Wait for processes that have ended; return whether any is left."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._signalled.pop(ended[0], None)
                if ended[0] == self._process:
                    self.exitcode = os.waitstatus_to_exitcode(ended[1])
                    self._plan((0, self._terminate), (EXIT_SECONDS, self._kill), (KILL_SECONDS, self._give_up))
        except ChildProcessError:
            return False
        return True

    def _wait(self) -> Sequence[Any]:
        """Wait for a message, output, the end of a process or the next step; return what is ready."""
        seconds = [self._steps[0][0] - time.monotonic()] if self._steps else []
        if self._signal:
            seconds.append(0.05)  # processes that are adopted do not announce themselves
        sources = [each for each in (self._wake, self._output, self._worker, self._parent) if each is not None]
        ready, suspended = self._suspension.wait(sources, min(seconds, default=math.inf))
        self._steps = [(at + suspended, step) for at, step in self._steps]
        if self._wake in ready:
            os.read(self._wake, 1 << 10)
        return ready

    def _read_output(self, chunks: int) -> None:
        """Write to the log what the processes have printed."""
        for _ in range(chunks):
            try:
                data = os.read(self._output, CHUNK) if self._output is not None else b""
            except BlockingIOError:
                return
            if not data:  # no process has it open
                self._output = None
                return
            self.log.write(data)

    def _relay(self) -> None:
        """Pass a message of the worker to the parent; after the last one the worker is to exit."""
        assert self._worker
        try:
            kind, content = self._worker.recv()
        except Exception:  # it has ended, or its code wrote there
            self._worker = None
            return
        self.report(kind, content)
        if kind not in PROGRESS and self.exitcode is None:
            self._plan((EXIT_SECONDS, self._terminate), (EXIT_SECONDS, self._kill), (KILL_SECONDS, self._give_up))

    def _obey(self) -> None:
        """Follow a word of the parent."""
        assert self._parent
        try:
            word = self._parent.recv()
        except (EOFError, OSError):
            self._lose_parent()
            return
        if self.exitcode is not None:  # the processes that it left are ended already
            return
        if word == "stop":
            self._stop()
        elif word == "end":
            self._plan((0, self._stop), (SAVE_SECONDS, self._kill_worker), (KILL_SECONDS, self._give_up))
        elif word == "kill":
            self._plan((0, self._kill_worker), (KILL_SECONDS, self._give_up))
        elif word == "stacks":
            turns = [(TURN_SECONDS, partial(process_tree.send, each, signal.SIGQUIT)) for each in self._sharing()]
            self._plan(*turns, (STACKS_SECONDS, self._kill_worker), (KILL_SECONDS, self._give_up))
        else:
            self._tell(word)

    def _lose_parent(self) -> None:
        """End the worker, as nobody waits for it; remove the socket of the server that started this process."""
        self._parent = None
        sockets = Path(util.get_temp_dir())
        scratch.remove(sockets.parent if scratch.is_scratch(sockets.parent) else sockets)
        if self.exitcode is None:
            self._plan((0, self._stop), (SAVE_SECONDS, self._kill_worker), (KILL_SECONDS, self._give_up))

    def _plan(self, *steps: tuple[float, Callable[[], None]]) -> None:
        """Replace the next steps, each given with the seconds since the one before."""
        at, self._steps = time.monotonic(), []
        for seconds, step in steps:
            at += seconds
            self._steps.append((at, step))

    def _take_steps(self) -> None:
        """Take the steps whose time has come; send the current signal to every process that the worker left.

        Those that remove shared memory come last: they do so when the others have ended, and then end themselves.
        """
        while self._steps and self._steps[0][0] <= time.monotonic():
            self._steps.pop(0)[1]()
        if not self._signal:
            return
        left = process_tree.children()
        if others := [child for child in left if not process_tree.cleans_up(child)]:
            left = others
        elif not self._cleans and self.exitcode is not None:
            self._cleans, self._signal = True, None
            self._plan((process_tree.CLEAN_SECONDS, self._kill), (KILL_SECONDS, self._give_up))
            return
        for child in left:
            if self._signalled.get(child) is not self._signal:
                process_tree.send(child, self._signal)
                self._signalled[child] = self._signal

    def _stop(self) -> None:
        process_tree.send(self._process, signal.SIGTERM)
        self._tell("stop")

    def _sharing(self) -> list[int]:
        """Return the processes that share the run: the worker, and its children that are ranks."""
        below = process_tree.children(self._process)
        return [self._process, *sorted(each for each in below if process_tree.name(each).startswith(RANK))]

    def _kill_worker(self) -> None:
        process_tree.send(self._process, signal.SIGKILL)

    def _terminate(self) -> None:
        self._signal = signal.SIGTERM

    def _kill(self) -> None:
        self._signal = signal.SIGKILL

    def _give_up(self) -> None:
        self._gives_up = True

    def _tell(self, word: str) -> None:
        if self._worker:
            with suppress(OSError):  # it has ended
                self._worker.send(word)


def _start(supervisor: int, payload: bytes, connection: Connection, inherited: Sequence[Connection]) -> None:
    """Execute the function of the worker, in a session of its own that ends with the supervisor."""
    os.setsid()
    process_tree.die_with_parent(supervisor)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stop.on_signal(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for each in inherited:
        each.close()
    _own_resource_tracker()
    function, argument = pickle.loads(payload)
    function(argument, connection)


def _own_resource_tracker() -> None:
    """Let shared memory that this process leaks be removed when it has ended, not when the whole command has."""
    with suppress(AttributeError):  # another implementation of Python
        resource_tracker._resource_tracker.__init__()  # type: ignore[misc]
