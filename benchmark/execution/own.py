"""Executors of the user's, by the names that `--executor` takes.

- `FILE.py:NAME` or `package.module:NAME`: a class, or a function that makes an executor;
- `NAME`: an entry point of the group `segbench.executors` of an installed package.

It is called with the listener. `(threads=4)` after the name gives it further arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from traceback import extract_tb
from typing import Any

from benchmark.catalog import own
from benchmark.errors import FOREIGN, UserError, one_line
from benchmark.execution.executor import Executor, InterruptedRun, ProgressListener
from benchmark.execution.spec import Spec
from benchmark.results.reading import Stored

GROUP = "segbench.executors"
"""Group of entry points."""

MEMBERS = ("free_slots", "active", "submit", "poll", "cancel")
"""The members of an executor."""


def load(name: str, most: int | None = None) -> Callable[[ProgressListener], Executor]:
    """Import what makes an executor; it is called with the listener.

    Args:
        name: see the head of this module.
        most: maximum number of concurrent runs; None for as many as the executor takes.

    Raises:
        UserError: there is no such file, module, class or entry point, or its code raises an exception.
    """
    base, arguments = own.split(name)
    points = {point.name: point.value for point in entry_points(group=GROUP)}
    if not own.is_own(base) and base not in points:
        known = ", ".join(("local", "debug", "slurm", *sorted(points)))
        raise UserError(f"unknown executor {name!r}: use {known}, FILE.py:CLASS or package.module:CLASS")
    found = own.factory(points.get(base, base))
    make: Any = found.module.load()
    for part in found.name.split("."):
        make = getattr(make, part, None)
    if not callable(make):
        raise UserError(f"{base}: {found.module.path} has no class or function {found.name}")
    return lambda listener: Checked(base, found.module.path, partial(make, listener, **arguments), most)


class Checked:
    """An executor of the user's whose mistakes are errors of one line.

    Args:
        name: of the executor.
        path: its file, of which errors name the line.
        make: makes it.
        most: maximum number of concurrent runs; None for as many as it takes.

    Raises:
        UserError: it cannot be made, or lacks a member.
    """

    def __init__(self, name: str, path: Path, make: Callable[[], Executor], most: int | None = None) -> None:
        self._name, self._path, self._most = name, path, most
        with self._of_user("cannot be made"):
            self._executor = make()
        if missing := [each for each in MEMBERS if not hasattr(self._executor, each)]:
            raise UserError(f"{name} is not an executor: it has no {_either(missing)}; see docs/executors.md")

    @property
    def free_slots(self) -> int:
        """The number of further runs that may be submitted now."""
        with self._of_user("free_slots"):
            free = int(self._executor.free_slots)
        return max(0, free if self._most is None else min(free, self._most - self.active))

    @property
    def active(self) -> int:
        """The number of submitted runs that have not ended."""
        with self._of_user("active"):
            return int(self._executor.active)

    def submit(self, spec: Spec) -> None:
        """Submit a run."""
        with self._of_user("submit"):
            self._executor.submit(spec)

    def poll(self) -> Sequence[Stored | InterruptedRun]:
        """Wait for an event; return the runs that have ended."""
        with self._of_user("poll"):
            found = list(self._executor.poll())
        for each in found:
            if not isinstance(each, Stored | InterruptedRun):
                raise UserError(f"{self._name}: poll returned {type(each).__name__}, not Stored or InterruptedRun")
        return found

    def cancel(self) -> None:
        """Cancel all active runs."""
        with self._of_user("cancel"):
            self._executor.cancel()

    @contextmanager
    def _of_user(self, what: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except FOREIGN as error:
            lines = [each.lineno for each in extract_tb(error.__traceback__) if each.filename == str(self._path)]
            where = f" (line {lines[-1]})" if lines else ""
            raise UserError(f"{self._name}: {what}: {type(error).__name__}: {one_line(error)}{where}") from error


def _either(names: Sequence[str]) -> str:
    """Write names as `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
