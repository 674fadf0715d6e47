"""The process of one run: executes it and reports to its supervisor."""

from __future__ import annotations

import ctypes
import getpass
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmark import backend, warning
from benchmark.engine import device, stop
from benchmark.errors import UserError
from benchmark.execution import log, outcome
from benchmark.execution.run import NotRecordedError, run_one
from benchmark.execution.spec import Spec
from benchmark.files.lock import InProgressError

PROGRESS_SECONDS = 0.1
"""Seconds between progress reports."""


def work(spec: Spec, parent: Connection) -> None:
    """Execute one run and report to the parent, unless it has gone.

    Sends `("progress", arguments)`, `("waiting", None)` before it waits for the device, `("warning", text)`, and at
    last the path of the result as "stored", where it was interrupted as "interrupted", or as "terminated" by SIGTERM,
    that another process executes the run as "elsewhere", or the status of a failure that is not stored yet as "failed".
    """
    try:
        _report(spec, parent)
    except GivenUp:
        sys.exit("the run was given up: segbench has gone")


class GivenUp(BaseException):
    """Raised in a worker whose parent has gone; no Exception, so that the run does not record it as a failure."""


class DeviceTurn:
    """The worker's side of its turn on the device.

    Args:
        parent: the connection to the parent.
    """

    def __init__(self, parent: Connection) -> None:
        self._parent, self._word = parent, ""

    def may_compile(self) -> bool:
        """Wait until the run may compile on the device or has it; return whether it may only compile."""
        self._hear()
        return self._word == "compile"

    def has_device(self) -> bool:
        """Return whether the run has the device."""
        while self._word != "start" and self._parent.poll():
            self._hear()
        return self._word == "start"

    def wait(self) -> None:
        """Wait until the run has the device."""
        while self._word != "start":
            self._hear()

    def _hear(self) -> None:
        try:
            if not self._parent.poll():
                self._parent.send(("waiting", None))
            self._word = self._parent.recv()
        except (EOFError, ConnectionError):
            raise GivenUp from None
        if self._word == "stop":  # before it has begun
            raise GivenUp


def _report(spec: Spec, parent: Connection) -> None:
    log.open_streams()
    if spec.device != "cpu" or spec.compile:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", _inductor_cache())
    backend.silence()
    from benchmark.engine.hooks import Interrupted

    send, process, reported = _sender(parent), os.getpid(), 0.0

    def on_progress(phase: str, done: int, total: int, loss: float | None) -> None:
        nonlocal reported
        if os.getpid() != process:  # the network has forked, and the child trains, too
            os._exit(1)
        now = time.monotonic()
        if done == total or now - reported > PROGRESS_SECONDS:
            reported = now
            send("progress", (phase, done, total, loss))

    end: tuple[str, Any]
    warning.redirect(lambda text: send("warning", text))
    try:
        device.limit_threads(spec.config.protocol.threads)
        turn = None if spec.device == "cpu" else DeviceTurn(parent)
        end = "stored", str(run_one(spec, on_progress, turn, _print))
    except Interrupted as error:
        end = "terminated" if stop.is_requested() else "interrupted", (error.phase, error.done, error.total)
    except InProgressError as error:
        end = "elsewhere", str(error)
    except NotRecordedError as error:
        end = "failed", error.failure
    except GivenUp:
        raise
    except BaseException as error:  # Ctrl-C does not reach this process: it is the network's, whatever it is
        if not isinstance(error, UserError):
            traceback.print_exc()
        end = "failed", outcome.failure(error)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to be saved
    _flush()
    send(*end)


def _sender(parent: Connection) -> Callable[[str, Any], None]:
    def send(kind: str, content: Any) -> None:
        try:
            parent.send((kind, content))
        except ConnectionError:
            raise GivenUp from None

    return send


def _print(text: str) -> None:
    with suppress(Exception):  # the network may have closed or replaced it
        print(text, end="", file=sys.stderr)


def _inductor_cache() -> str:
    """Return the default folder of compiled kernels: they are kept, unlike temporary files of the run.

    The temporary folder of the run is in that of the user, see `local`.
    """
    try:
        user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
    except (KeyError, OSError):  # the user has no name
        user = str(os.getuid())
    return str(Path(tempfile.gettempdir()).parent / f"torchinductor_{user}")


def _flush() -> None:
    """Write what Python and the C library have buffered: the process may be ended after its last message."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the network may have closed or replaced it
            stream.flush()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
