"""Check the environment and the time of a run: well-formed versions, consistent device fields, possible times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from benchmark.results.record import Environment

BEGINNING = datetime(2023, 12, 14, tzinfo=timezone.utc)
"""Release date of mmsegmentation 1.2.2, the oldest one that results can use."""

VERSION = re.compile(r"\d[\w.+!-]*")
"""The form of a version."""


def check_environment(environment: Environment) -> Iterator[str]:
    """Check code, packages and device for validity and consistency."""
    code, packages = environment.code, environment.packages
    if code.commit is not None and not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", code.commit):
        yield f"{code.commit!r} is not a git commit"
    if code.commit is None and code.dirty is not None:
        yield "the code has no commit, but is marked clean or dirty"
    named = {"segbench": code.version, "python": environment.python, **packages}
    for name, version in named.items():
        if not VERSION.fullmatch(version):
            yield f"{version!r} is not a version of {name}"
    if re.match(r"[0-2]\.|3\.[0-8]\.", environment.python):
        yield f"torch 2 does not support Python {environment.python}"
    if "torch" not in packages:
        yield "the packages lack torch"
    if len(set(environment.adaptations)) < len(environment.adaptations):
        yield "an adaptation is named twice"
    for name in ("cores", "memory", "threads"):
        if getattr(environment, name) < 1:
            yield f"environment.{name} is {getattr(environment, name)}"
    yield from _device(environment)


def _device(environment: Environment) -> Iterator[str]:
    device, torch = environment.device, environment.packages.get("torch", "")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        yield f"{device!r} is not a device such as cpu, cuda or cuda:1"
    if device == "cpu":
        for name in ("gpu", "cuda", "cudnn", "driver"):
            if getattr(environment, name) is not None:
                yield f"the device is cpu, but {name} is set: {getattr(environment, name)}"
        return
    if environment.gpu is not None and environment.cuda is None:
        yield f"the device is {environment.gpu}, but the version of CUDA is missing"
    if "+cpu" in torch:
        yield f"the device is {device}, but torch {torch} is built without CUDA"
    built = re.search(r"\+cu(\d+)", torch)
    if built and environment.cuda and environment.cuda.replace(".", "") != built[1]:
        yield f"cuda is {environment.cuda}, but torch is {torch}"


def check_time(started: str, seconds: float, now: datetime | None = None) -> Iterator[str]:
    """Check that a run started after the release of its software and ended before now.

    Args:
        started: ISO 8601, UTC.
        seconds: duration of the run.
        now: the current time; by default that of the clock.
    """
    start = datetime.fromisoformat(started)
    if start.tzinfo is None or start.utcoffset():
        yield f"started is {started}, which is not in UTC"
        return
    now = now or datetime.now(timezone.utc)
    if start < BEGINNING:
        yield f"started is {started}, before the release of mmsegmentation 1.2.2"
    elif (start - now).total_seconds() + seconds > timedelta(days=1).total_seconds():
        yield f"started is {started}, and the run took {seconds:.0f} seconds: it ends in the future"
