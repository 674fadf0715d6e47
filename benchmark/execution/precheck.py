"""The check of networks of the user's before their runs, in a process of its own: whatever their code does to it.

Composing a config, building a network and counting its operations execute code of the user's. The process that starts
runs executes none: it receives the configs, why the runs cannot work, and the counts for estimates of time.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from typing import Any

from benchmark import backend, warning
from benchmark.errors import UserError, one_line
from benchmark.execution import feasibility, outcome, plan, ranks
from benchmark.execution.child import Child
from benchmark.execution.processes import processes
from benchmark.execution.spec import Spec
from benchmark.execution.suspension import Suspension
from benchmark.files.working_directory import kept

LIMIT_SECONDS = 300.0
"""Seconds that the check of an architecture may take, with the imports of its code; some are usual."""


@dataclass(frozen=True)
class Findings:
    """What is known of runs before they start.

    Attributes:
        obstacle: why they cannot work; None if nothing says so.
        failure: why the check has no outcome, if its process died or took too long; None if it has one.
        counted: what `plan.macs` returns of them; None if it is not known.
    """

    obstacle: UserError | None = None
    failure: str | None = None
    counted: Sequence[int] | None = None


def check(specs: Sequence[Spec]) -> Findings:
    """Check runs of one architecture in this process.

    Args:
        specs: the runs, which differ in their seeds.
    """
    spec = specs[0]
    try:
        if (reason := ranks.obstacle(spec)) is not None:
            raise UserError(f"{spec.name}: {reason}")
        with kept():
            feasibility.check(spec.config, spec.name)
        return Findings(counted=plan.macs(spec.config))
    except UserError as error:
        return Findings(error)


def check_isolated(specs: Sequence[Spec], on_wait: Callable[[], None] = lambda: None) -> Findings:
    """Check runs of one architecture in a process of its own, and set their configs.

    A process that dies after it has composed the configs is no obstacle: the runs are to be recorded with that cause.

    Args:
        specs: the runs, which differ in their seeds.
        on_wait: is called every second.
    """
    name, messages, ending = specs[0].name, *_messages(specs, on_wait)
    for spec, config in zip(specs, messages.get("progress", ()), strict=False):
        spec.__dict__["config"] = config
    if "checked" in messages:
        reason, counted = messages["checked"]
        return Findings(None if reason is None else UserError(reason), counted=counted)
    if "progress" in messages:
        return Findings(failure=ending)
    return Findings(UserError(f"{name}: its config cannot be composed: {ending}"))


def _messages(specs: Sequence[Spec], on_wait: Callable[[], None]) -> tuple[dict[str, Any], str]:
    """Return the messages of the process of a check, by kind, and how it ended."""
    spec, found = specs[0], dict[str, Any]()
    seconds = min(LIMIT_SECONDS, spec.hang_timeout or math.inf, spec.timeout or math.inf)
    plain = [{each.name: getattr(spec, each.name) for each in fields(spec)} for spec in specs]
    child, is_late = Child(processes(spec.device), _work, (plain, dict(os.environ))), False
    end, suspension = time.monotonic() + seconds, Suspension()
    try:
        while child.ending is None and "checked" not in found and not is_late:
            heard, suspended = suspension.wait([child.connection], end - time.monotonic())
            on_wait()
            end += suspended
            is_late = not heard and time.monotonic() >= end
            kind, content = child.receive() if heard else ("", None)
            if kind == "warning":
                print(content, file=sys.stderr)
            elif kind:
                found[kind] = content
    finally:
        if "checked" not in found:
            child.send("kill")
        child.close()
    assert child.ending is not None
    if is_late:
        return found, f"it took longer than {seconds:g} s"
    return found, str(outcome.death(child.ending.exitcode, child.ending.out_of_memory)["error"])


def _work(request: tuple[list[dict[str, Any]], dict[str, str]], parent: Connection) -> None:
    """Compose the configs of runs and check the first of them.

    Sends the configs as "progress", `("warning", text)`, and at last why they cannot work, or None, and the
    multiply-accumulates of the stages as "checked". Whatever the code of the network has started does not go on.
    """
    (plain, environment), process = request, os.getpid()
    os.environ |= environment | {"TMPDIR": os.environ["TMPDIR"]}
    backend.silence()
    warning.redirect(lambda text: parent.send(("warning", text)))
    specs = [Spec(**each) for each in plain]
    reason, counted = None, None
    try:
        parent.send(("progress", [spec.config for spec in specs]))
        found = check(specs)
        reason, counted = None if found.obstacle is None else str(found.obstacle), found.counted
    except UserError as error:
        reason = str(error)
    except BaseException as error:  # Ctrl-C does not reach this process: it is the network's, whatever it is
        reason = f"{specs[0].name}: {type(error).__name__}: {one_line(error)}"
    if os.getpid() == process:  # the network has not forked this one
        parent.send(("checked", (reason, counted)))
    os._exit(0)
