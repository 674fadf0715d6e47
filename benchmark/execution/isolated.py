"""One run in a worker process of its own, in a call that returns when the run has ended.

An executor calls this where a run is to take place: in a thread, in the job of a scheduler, on another machine. As a
command, it makes the run of a file and writes how it ended:

    python -m benchmark.execution.isolated RUN.pkl ENDED.pkl
"""

from __future__ import annotations

import pickle
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UserError
from benchmark.execution.executor import InterruptedRun, ProgressListener, Silent
from benchmark.execution.local import Local
from benchmark.execution.spec import Spec
from benchmark.files.atomic import replacing
from benchmark.results.reading import Stored

LOOK_SECONDS = 0.2
"""Seconds between looks at the request to stop."""


def isolated(spec: Spec, listener: ProgressListener, *, stop: threading.Event | None = None) -> Stored | InterruptedRun:
    """Execute one run in a worker process of this machine and wait for its end.

    Whatever becomes of the worker, the run has a stored result, or can be resumed. Any thread may call this.

    Args:
        spec: the run.
        listener: receives its progress, in this thread.
        stop: once it is set, the run stops at the next safe point and can be resumed, as at a deadline; one that does
            not stop within `local.GRACE_SECONDS` is killed, and resumes from its last validation.

    Returns:
        The stored result, whose status is "ok" or the kind of failure; or the run, if it was interrupted.

    Raises:
        UserError: the result cannot be stored, or the run cannot start.
    """
    executor = Local(listener, spec.device)
    try:
        executor.submit(spec)
        while True:
            if stop is not None and stop.is_set():
                executor.stop()
            for ended in executor.poll(None if stop is None else LOOK_SECONDS):
                return ended
            if not executor.active:  # its deadline had passed before it started
                return InterruptedRun(spec, "train", 0, spec.config.train_cfg.max_iters)
    finally:
        executor.cancel()


def main(words: Sequence[str]) -> int:
    """Execute the run of a file; write what `isolated` returns.

    SIGTERM, which schedulers send before they kill, lets the run stop at the next safe point.

    Args:
        words: path of a file with a pickled `Spec`, and of the file to write, pickled too.

    Returns:
        The exit code: 0 if the run has ended with a result, whatever its status, 3 if it was interrupted.

    Raises:
        UserError: the result cannot be stored, or a file cannot be read or written.
    """
    try:
        run, ended_file = map(Path, words)
        spec = pickle.loads(run.read_bytes())
    except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"usage: python -m benchmark.execution.isolated RUN.pkl ENDED.pkl: {error}") from error
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        ended = isolated(spec, Silent(), stop=stop)
    finally:
        signal.signal(signal.SIGTERM, before)
    with replacing(ended_file) as file:
        file.write_bytes(pickle.dumps(ended))
    return 3 if isinstance(ended, InterruptedRun) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"segbench: error: {error}", file=sys.stderr)
        sys.exit(2)
