"""`segbench plan`: list what `segbench run` with the same arguments would do, with an estimate of the time."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.catalog import catalog
from benchmark.cli import devices, printing
from benchmark.cli import run as main_job
from benchmark.cli.columns import LAST, layout, shortened, terminal_width, wrapped
from benchmark.cli.progress import of_other_code, restarted, shown
from benchmark.cli.quantities import duration_text
from benchmark.cli.run import chosen, composed, specs
from benchmark.reporting.short_name import abbreviated

if TYPE_CHECKING:
    from benchmark.execution.plan import Job
    from benchmark.execution.spec import Spec


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, those of `run`."""
    main_job.configure(parser)
    printing.json_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print the runs in their order of execution."""
    names = chosen(args)

    with shown(len(names)) as listener:
        on = devices.selected_device(args)  # before mmengine is imported

        from benchmark.execution.plan import estimate_speed, plan
        from benchmark.results.store import Store

        devices.check_speed(args, on)
        speed = estimate_speed((each.record for each in Store(args.results).scan()[0]), on)
        wanted, left_out = composed(specs(names, on, args), listener, isolate=args.executor != "debug")
        jobs = plan(wanted, speed, any_code=args.any_code, on_progress=partial(listener.step, "planning"))
    is_incomplete = not args.architectures and catalog.faults()  # what was meant by "all" is not known
    code = 2 if left_out or is_incomplete else 0
    if args.json:
        printing.print_json(_plain(jobs, left_out, speed.results))
        return code
    longest = max(len(job.spec.architecture) for job in jobs)
    _, width = layout([longest, max(len(f"seed {job.spec.seed}") for job in jobs), LAST], terminal_width(), ())
    for job in jobs:
        what = f"stored in {job.stored}" if job.stored else duration_text(job.seconds)
        of = f" (made by other code: {job.other_code})" if job.other_code and job.stored else ""
        name = abbreviated(job.spec.architecture, width)
        print(shortened(f"{name:{width}}  seed {job.spec.seed}  {what}{of}"))
    waiting = [job for job in jobs if not job.stored]
    basis = (
        f"estimated from {speed.results} results on this processor"
        if speed.results
        else "a guess: no results of this device"
    )
    print(f"\n{len(waiting)} to run, {len(jobs) - len(waiting)} stored")
    print(wrapped(f"sequential time: {duration_text(sum(job.seconds for job in waiting))} ({basis})"))
    for line in (*of_other_code([job.other_code for job in waiting]), *restarted([job.spec for job in waiting])):
        print(wrapped(line))
    return code


def _plain(jobs: Sequence[Job], left_out: Mapping[Spec, object], results: int) -> dict[str, Any]:
    """Return the plan as plain data."""
    runs = [
        {
            "architecture": job.spec.architecture,
            "protocol": job.spec.protocol_name,
            "seed": job.spec.seed,
            "stored": job.stored and str(job.stored),
            "other_code": job.other_code,
            "seconds": job.seconds,
        }
        for job in jobs
    ]
    skipped = [
        {"architecture": spec.architecture, "seed": spec.seed, "reason": str(why)} for spec, why in left_out.items()
    ]
    seconds = sum(job.seconds for job in jobs if not job.stored)
    return {"runs": runs, "skipped": skipped, "seconds": seconds, "estimated_from": results}
