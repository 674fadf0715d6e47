"""One run in a worker process of its own, in a call that returns when the run has ended.

An executor calls this where a run is to take place: in a thread, in the job of a scheduler, on another machine.
"""

from __future__ import annotations

import threading

from benchmark.execution.executor import InterruptedRun, ProgressListener
from benchmark.execution.local import Local
from benchmark.execution.spec import Spec
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
