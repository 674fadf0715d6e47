"""Sequential runs in the current process, for debuggers that do not follow worker processes."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence

from benchmark.engine import device
from benchmark.engine.hooks import Interrupted
from benchmark.execution.executor import InterruptedRun, ProgressListener
from benchmark.execution.run import run_one
from benchmark.execution.spec import Spec
from benchmark.files.lock import InProgressError
from benchmark.files.working_directory import kept
from benchmark.results.reading import Stored, read_or_raise


class InProcess:
    """Executes runs in the calling process; a crash of a run ends the process.

    Args:
        listener: receives the progress of runs.
    """

    def __init__(self, listener: ProgressListener) -> None:
        self._listener = listener
        self._waiting: deque[Spec] = deque()

    @property
    def free_slots(self) -> int:
        """The number of further runs that may be submitted now: 1, or 0 while one waits."""
        return 1 - len(self._waiting)

    @property
    def active(self) -> int:
        """The number of submitted runs that have not ended."""
        return len(self._waiting)

    def submit(self, spec: Spec) -> None:
        """Submit a run, which `poll` executes."""
        self._waiting.append(spec)

    def poll(self) -> Sequence[Stored | InterruptedRun]:
        """Execute the waiting run.

        Raises:
            UserError: its result cannot be stored.
        """
        spec = self._waiting.popleft()
        self._listener.begin(spec)
        device.limit_threads(spec.config.protocol.threads)
        made: Spec = pickle.loads(pickle.dumps(spec))  # as a worker receives it: its paths are absolute
        try:
            with kept():
                path = run_one(made, lambda *progress: self._listener.progress(spec, *progress))
        except Interrupted as stop:
            return [self._interrupted(InterruptedRun(spec, stop.phase, stop.done, stop.total))]
        except InProgressError as error:
            return [self._interrupted(InterruptedRun.in_progress(spec, str(error)))]
        stored = read_or_raise(path)
        self._listener.end(spec, stored.record)
        return [stored]

    def _interrupted(self, run: InterruptedRun) -> InterruptedRun:
        self._listener.interrupt(run)
        return run

    def cancel(self) -> None:
        """Discard the waiting run."""
        self._waiting.clear()
