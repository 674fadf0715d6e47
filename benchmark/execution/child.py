"""A process of this machine and the one that supervises it, seen from the process that starts them."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.execution import process_tree, scratch
from benchmark.execution.processes import end_orphans, forget, start, temporary
from benchmark.execution.supervisor import Ending, supervise

END_SECONDS = 30.0
"""Seconds that a supervisor may take to end its process, before it is killed itself."""

LOG = "output.log"
"""Name of a log that is removed with the temporary files."""


class Child:
    """A process that executes a function, below the process that supervises it.

    Args:
        processes: how they are started, from `processes.processes`.
        function: of an importable module; its second argument is the connection to its supervisor.
        argument: its first argument.
        log: file of its output; None to remove it at the end.

    Attributes:
        connection: receives messages, see `supervisor.supervise`.
        ending: how its processes have ended; None before.

    Raises:
        UserError: it cannot be started.
    """

    def __init__(
        self, processes: Any, function: Callable[[Any, Any], None], argument: Any, log: Path | None = None
    ) -> None:
        self.ending: Ending | None = None
        self._process_id: int | None = None
        self._output: str | None = None
        method = "spawn" if processes.get_start_method() == "spawn" else "fork"
        payload = pickle.dumps((function, argument))
        self._temporary, self._lock = scratch.create(temporary())
        self.connection, theirs = processes.Pipe()
        arguments = (theirs, method, payload, log or self._temporary / LOG, self._temporary)
        try:
            self._supervisor = start(processes, supervise, arguments)
        except BaseException:
            self.connection.close()
            self._remove_temporary()
            raise
        finally:
            theirs.close()

    def receive(self) -> tuple[str, Any]:
        """Return the next message; an empty kind if it says how the processes are or have ended."""
        content: Any
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):  # the supervisor was killed
            self.abandon()
            return "", None
        if kind == "started":
            self._process_id, self._output = content
            return "", None
        if kind == "ended":
            self.ending = content
            return "", None
        return kind, content

    def send(self, word: str) -> None:
        """Send a word, see `supervisor.supervise`."""
        with suppress(OSError):  # it has ended, as the next message says
            self.connection.send(word)

    def abandon(self) -> None:
        """End what can be found without the supervisor, which was killed or does not answer."""
        self._supervisor.kill()
        if self._process_id is not None:
            process_tree.send_group(self._process_id, signal.SIGKILL)
        process_tree.end_run(self._temporary, self._output)
        self._supervisor.join(END_SECONDS)
        end_orphans()
        self.ending = Ending(None, False, b"")

    def close(self) -> None:
        """Wait until its processes have ended."""
        while self.ending is None:
            if self.connection.poll(END_SECONDS):
                self.receive()
            else:
                self.abandon()
        self.connection.close()
        self._supervisor.join(END_SECONDS)
        self._supervisor.kill()
        self._supervisor.join()
        forget(self._supervisor)
        self._remove_temporary()

    def _remove_temporary(self) -> None:
        scratch.remove(self._temporary)
        scratch.release(self._lock)
