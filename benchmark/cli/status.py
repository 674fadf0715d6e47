"""`segbench status`: print how the runs of a sweep stand, of this machine or of Slurm, in progress or not."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.cli import completion, options, printing
from benchmark.cli.columns import GAP, LAST, can_redraw, layout, shortened, terminal_width, wrapped
from benchmark.cli.progress import PHASES
from benchmark.cli.quantities import duration_text
from benchmark.errors import UserError
from benchmark.reporting.short_name import abbreviated

if TYPE_CHECKING:
    from benchmark.execution.status import RunStatus, SweepStatus
    from benchmark.execution.sweep import Manifest

WATCH_SECONDS = 5.0
"""Seconds between two prints of --watch."""

LINES = 10
"""Lines of the log of a failed run."""

PIPE_WIDTH = 200
"""Characters of such a line in a file or a pipe; --json has all that a record keeps."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    sweep = parser.add_argument(
        "sweep", nargs="?", metavar="SWEEP", help="name of a sweep (default: those in progress, else the last one)"
    )
    completion.printed(sweep, "sweeps", f"ls {options.WORK_DIR}/sweeps | sed s/.json//")
    parser.add_argument("--all", action="store_true", help="all sweeps of the work folder whose manifests are kept")
    options.work_dir(parser)
    parser.add_argument("--watch", action="store_true", help="print again every few seconds until all runs have ended")
    parser.add_argument("--cancel", action="store_true", help="cancel the jobs of the sweep that have not ended")
    printing.json_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print how the runs stand.

    Returns:
        0 if all runs are done, 1 if all have ended and some failed, 3 if some have not ended.
    """
    if args.cancel:
        _cancel(args)
    while True:
        found = _looks(args)
        if args.watch and can_redraw(sys.stdout):
            print("\x1b[H\x1b[2J", end="")
        if args.json:
            print(json.dumps({"sweeps": [_plain(each) for each in found]}, indent=2, allow_nan=False))
        else:
            print("\n\n".join(_text(each) for each in found))
        if not (args.watch and any(each.active for each in found)):
            return max(each.exit_code for each in found)
        sys.stdout.flush()
        time.sleep(WATCH_SECONDS)


def _looks(args: argparse.Namespace) -> list[SweepStatus]:
    """Return how the chosen sweeps stand."""
    from benchmark.execution.status import look

    chosen = _chosen(args)
    found = [look(manifest, time.time()) for manifest in chosen]
    if args.all or args.sweep:
        return found
    return [each for each in found if each.active] or found[-1:]


def _chosen(args: argparse.Namespace) -> list[Manifest]:
    """Return the sweeps that are named, or may be in progress.

    Raises:
        UserError: there are none.
    """
    from benchmark.execution.sweep import manifests

    known = manifests(args.work_dir.absolute())
    if not known:
        raise UserError(f"no sweep in {args.work_dir}: --work-dir names the work folder of `segbench run`")
    if args.sweep:
        if not (found := [each for each in known if each.sweep.name == args.sweep]):
            raise UserError(f"no sweep {args.sweep} in {args.work_dir}: the last one is {known[-1].sweep.name}")
        return found
    if args.all:
        return known
    return [each for each in known[:-1] if each.sweep.ended is None] + known[-1:]


def _cancel(args: argparse.Namespace) -> None:
    """Cancel the jobs of the chosen sweeps.

    Raises:
        UserError: a sweep is one of this machine, or Slurm does not answer.
    """
    from benchmark.execution.slurm import queue
    from benchmark.execution.slurm.submission import name_of

    for manifest in [each.manifest for each in _looks(args) if each.active]:
        sweep = manifest.sweep
        if sweep.executor != "slurm":
            raise UserError(
                f"{sweep.name} is no sweep of Slurm: press Ctrl-C in its terminal, or end process "
                f"{sweep.process.number} on {sweep.process.host}"
            )
        queue.cancel([run.job for run in sweep.runs if run.job])
        if sweep.submitting:  # whose jobs are not known yet
            queue.cancel_named(name_of(sweep))
        manifest.write(cancelled=True)


def _text(found: SweepStatus) -> str:
    sweep = found.manifest.sweep
    counts = ", ".join(f"{number} {state}" for state, number in found.counts.items())
    left = f"; about {duration_text(found.seconds_left)} left" if found.active and found.seconds_left else ""
    longest = max(len(_name(each)) for each in found.runs)
    _, width = layout([longest, 12, LAST + GAP], terminal_width(), ())
    lines = [wrapped(f"{sweep.name} ({sweep.executor}): {sweep.command}"), wrapped(f"{counts}{left}")]
    for each in found.runs:
        name = abbreviated(_name(each), width)
        lines.append(shortened(f"  {name:{width}}  {each.state:12}  {_detail(each)}".rstrip()))
        if each.state == "failed":
            from benchmark.execution import log
            from benchmark.execution.status import log_tail

            lines += [_log_line(line) for line in log_tail(each, found.manifest, LINES)]
            if (path := Path(each.run.folder, log.FILE)).exists():
                lines.append(f"      log: {_from_here(path)}")
    return "\n".join(lines)


def _log_line(line: str) -> str:
    """Return a line of a log, without its middle if it is long: what a program says last may be at the end of dots."""
    rest = (terminal_width() or PIPE_WIDTH) - 6
    if len(line) > rest:
        half = max(1, rest // 2)
        line = f"{line[: rest - half - 1]}…{line[-half:]}"
    return f"      {line}"


def _from_here(path: Path) -> str:
    """Return a path from the working directory, if it is below it."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _name(status: RunStatus) -> str:
    return f"{status.run.architecture} seed {status.run.seed}"


def _detail(status: RunStatus) -> str:
    """Describe a run in addition to its state."""
    progress, job = status.progress, f"job {status.run.job}" if status.run.job else ""
    if status.state == "done":
        return _from_here(Path(status.run.result))
    if status.state == "failed":
        return f"{status.cause}: {status.error}" if status.cause else f"{status.error}"
    parts = []
    if status.starting or (progress and progress.phase == "starting"):
        parts.append("starting")
    elif progress and progress.phase in PHASES:
        parts.append(f"{PHASES[progress.phase]} {progress.done}/{progress.total}")
        if status.state == "running" and progress.rate:
            parts.append(f"{progress.rate:.3g}/s, {duration_text(progress.seconds_left or 0.0)} left")
    if status.state == "unresponsive" and status.silent is not None:
        parts.append(f"no sign of life for {duration_text(status.silent)}")
    if status.state in ("running", "unresponsive") and status.node:
        parts.append(f"on {status.node}")
    parts += [each for each in (status.reason, job) if each]
    return ", ".join(parts)


def _plain(found: SweepStatus) -> dict[str, Any]:
    sweep = found.manifest.sweep
    return {
        "sweep": sweep.name,
        "command": sweep.command,
        "executor": sweep.executor,
        "created": _time(sweep.created),
        "active": found.active,
        "counts": dict(found.counts),
        "seconds_left": found.seconds_left if found.active else 0.0,
        "runs": [_plain_run(each, found.manifest) for each in found.runs],
    }


def _plain_run(status: RunStatus, manifest: Manifest) -> dict[str, Any]:
    progress = status.progress
    ended = status.state in ("done", "failed")
    plain = {
        "run_id": status.run.run_id,
        "architecture": status.run.architecture,
        "protocol": status.run.protocol,
        "seed": status.run.seed,
        "state": status.state,
        "starting": status.starting,
        "job": status.run.job,
        "node": status.node,
        "reason": status.reason,
        "phase": progress.phase if progress else None,
        "done": progress.done if progress else None,
        "total": progress.total if progress else None,
        "loss": progress.value if progress and progress.phase in ("first_stage", "train") else None,
        "rate": progress.rate if progress and status.state == "running" else None,
        "phase_seconds_left": progress.seconds_left if progress and status.state == "running" else None,
        "silent_seconds": status.silent,
        "result": status.run.result if ended and Path(status.run.result).exists() else None,
        "cause": status.cause,
        "error": status.error,
    }
    if status.state == "failed":
        from benchmark.execution.status import log_tail

        plain["log_tail"] = log_tail(status, manifest)
    return plain


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
