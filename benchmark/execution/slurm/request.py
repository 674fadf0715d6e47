"""What is requested of Slurm for each run: options of the command line over those of a profile file.

A profile is a YAML file of the names below; docs/slurm.md describes it.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmark.errors import UserError, unknown_key
from benchmark.execution.slurm import queue

if TYPE_CHECKING:
    from benchmark.execution.spec import Spec

SBATCH = ("account", "qos", "constraint", "gres", "reservation", "nodelist", "exclude", "exclusive", "nice", "comment")
"""Names of a profile that are passed on to sbatch."""

MANAGED = ("array", "job-name", "output", "error", "signal", "requeue", "no-requeue", "open-mode", "parsable", "wrap")
"""Parameters of sbatch that are set here."""

GRACE_SECONDS = 120
"""Default seconds before the time limit at which a run stops and is requeued; Slurm may be a minute early."""

THREADS = 4
"""CPUs of a run on CPUs whose protocol lets it use all of them."""

LOADING = 2
"""Threads that prepare batches for a GPU, in addition to those that compute."""


WAIT_SECONDS = 60
"""Seconds after the end of the process on one node at which Slurm ends those on the others."""


@dataclass(frozen=True)
class JobRequest:
    """Resources of each run, and how its job is started.

    Attributes:
        partition: partition; None for the default of the cluster.
        time: minutes of the time limit; None for that of the partition.
        mem: memory of each node, as sbatch takes it; None for the default of the cluster.
        gpus: GPUs of a run on each node, for `Spec.gpus`; None if none are asked for.
        nodes: number of nodes, for `Spec.nodes`.
        cpus: CPUs of each node; None for the threads of the protocol, and some that prepare batches for GPUs.
        grace: seconds before the time limit at which a run stops and is requeued.
        setup: shell commands before the run.
        cache: folder of decoded data on the node, with variables of its environment; None for that of the user.
        python: the Python that runs it, as shell command; None for this one.
        sbatch: further parameters of sbatch.
    """

    partition: str | None = None
    time: int | None = None
    mem: str | None = None
    gpus: int | None = None
    nodes: int = 1
    cpus: int | None = None
    grace: int = GRACE_SECONDS
    setup: tuple[str, ...] = ()
    cache: str | None = None
    python: str | None = None
    sbatch: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self, spec: Spec, parallel: int) -> dict[str, Any]:
        """Return the parameters of submitit for runs like this one.

        Args:
            spec: a run.
            parallel: maximum number of concurrent tasks of an array.
        """
        more = {"requeue": True} | {name: value for name, value in self.sbatch.items() if value is not False}
        if spec.device != "cpu" and "gres" not in more:
            more["gpus-per-node"] = spec.gpus
        if self.mem:
            more["mem"] = self.mem
        cpus = self.cpus_of(spec)
        grace = self.grace if self.time is None else min(self.grace, self.time * 30)
        return {
            "partition": self.partition,
            "time": self.time,
            "nodes": spec.nodes,
            "ntasks_per_node": 1,
            "cpus_per_task": cpus,
            "signal_delay_s": grace,
            "array_parallelism": parallel,
            "setup": list(self.setup) or None,
            # srun does not inherit the CPUs since Slurm 22.05
            "srun_args": [f"--cpus-per-task={cpus}", f"--wait={WAIT_SECONDS}"],
            "additional_parameters": more,
            "wckey": None,
        }

    @property
    def requests_gpus(self) -> bool:
        """Whether GPUs are requested by number or by another parameter of sbatch."""
        return bool(self.gpus) or any("gpu" in str(value) for value in (self.sbatch.get("gres"), *self.sbatch))

    def cpus_of(self, spec: Spec) -> int:
        """Return the number of CPUs of each node."""
        if self.cpus:
            return self.cpus
        if spec.device == "cpu":
            return (spec.config.protocol.threads or THREADS) * spec.gpus
        return (1 + LOADING) * spec.gpus


def require() -> None:
    """Check that jobs can be submitted.

    Raises:
        UserError: submitit or a command of Slurm is missing.
    """
    if importlib.util.find_spec("submitit") is None:
        raise UserError('--executor slurm needs submitit: pip install "segbench[slurm]"')
    queue.require()


def read(path: Path | None, given: Mapping[str, Any]) -> JobRequest:
    """Return the request of a profile file and of the options, which win.

    Args:
        path: the profile file; None for none.
        given: attributes of `JobRequest` by name; None for one that is not given.

    Raises:
        UserError: the file or a value is not valid.
    """
    request = JobRequest() if path is None else _profile(path)
    return replace(request, **{name: value for name, value in given.items() if value is not None})


def _profile(path: Path) -> JobRequest:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    except OSError as error:
        raise UserError(f"--profile {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"--profile {path} is not text in UTF-8: save it as such") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"--profile {path} is not YAML: {_fault(error)}") from None
    content = content or {}  # of a file without a name
    if not isinstance(content, dict):
        raise UserError(f"--profile {path}: names and values are needed, for example `partition: gpu`")
    known = [*(each.name for each in fields(JobRequest)), *SBATCH]
    found: dict[str, Any] = {}
    passed: dict[str, Any] = {}
    for name, value in content.items():
        if name not in known:
            raise UserError(f"--profile {path}: {name}: {unknown_key(str(name), known)}")
        try:
            if name in SBATCH:
                passed[name] = _flag(value)
            elif name == "sbatch":
                passed |= _parameters(value)
            else:
                found[name] = READERS[name](value)
        except ValueError as error:
            raise UserError(f"--profile {path}: {name}: {error}") from None
    return JobRequest(**found, sbatch=passed)


def _fault(error: ValueError | yaml.YAMLError) -> str:
    """Return what YAML says of a file, in one line, and of which line of it."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).partition("\n")[0]


def minutes(text: str) -> int:
    """Return the minutes of a time limit as sbatch takes it (90, 2:00:00, 1-12), or such as 2h30m; rounded up.

    Raises:
        ValueError: it is none.
    """
    seconds = 0
    if found := re.fullmatch(r"(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", text, re.ASCII):
        seconds = _seconds(0, *found.groups())
    elif found := re.fullmatch(r"(\d{1,4})-(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}))?)?", text, re.ASCII):
        seconds = _seconds(*found.groups())
    elif found := re.fullmatch(r"(\d{1,4}):(\d{1,2}):(\d{1,2})", text, re.ASCII):
        seconds = _seconds(0, *found.groups())
    elif found := re.fullmatch(r"(\d{1,6})(?::(\d{1,2}))?", text, re.ASCII):
        seconds = _seconds(0, 0, *found.groups())
    if seconds <= 0:
        raise ValueError(f"{text!r} is not a time such as 2:00:00, 90 (minutes), 1-12 (days-hours) or 2h30m")
    return -(-seconds // 60)


def _seconds(*parts: str | int | None) -> int:
    """Convert days, hours, minutes and seconds."""
    return sum(int(part or 0) * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=False))


def memory(text: str) -> str:
    """Return an amount of memory as sbatch takes it.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,11}([KMGT]B?)?|0", text, re.IGNORECASE | re.ASCII):
        raise ValueError(f"{text!r} is not an amount of memory such as 32G or 500M")
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\n" in value:
        raise ValueError("one value in one line is needed")
    return value


def _flag(value: Any) -> str | bool:
    """Return a value of sbatch; true and false switch a parameter without a value."""
    text = _text(value)
    return {"true": True, "false": False}.get(text.lower(), text)


def _count(value: Any) -> int:
    text = _text(value)
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text, re.ASCII):
        raise ValueError(f"{text!r} is not a whole number from 1 to 999999")
    return int(text)


def _commands(value: Any) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("a list of shell commands is needed")
    return tuple(lines)


def _parameters(value: Any) -> dict[str, str | bool]:
    if not isinstance(value, dict):
        raise ValueError("parameters of sbatch by their long names are needed, for example {mail-type: END}")
    found = {}
    for name, each in value.items():
        plain = name.lstrip("-").replace("_", "-")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", plain):
            raise ValueError(f"{name!r} is not a long name of a parameter of sbatch")
        if plain in MANAGED:
            raise ValueError(f"{plain} is set by segbench")
        if plain in READERS:
            raise ValueError(f"{plain} is a name of the profile itself: move it one level up")
        found[plain] = _flag(each)
    return found


READERS: dict[str, Any] = {
    "partition": _text,
    "time": lambda value: minutes(_text(value)),
    "mem": lambda value: memory(_text(value)),
    "gpus": _count,
    "nodes": _count,
    "cpus": _count,
    "grace": _count,
    "setup": _commands,
    "cache": _text,
    "python": _text,
}
"""Reads the value of each name of a profile; raises ValueError."""
