"""`segbench doctor`: print versions, devices and backend adaptations, and how to install what is missing.

With `--gpu`, test in a worker process what a run does on a GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING

from benchmark import __version__
from benchmark.backend.installed import Extra, missing_extras
from benchmark.cli import printing
from benchmark.cli.columns import GAP, aligned, terminal_width, wrapped
from benchmark.errors import UserError
from benchmark.results import code

if TYPE_CHECKING:
    from benchmark.selftest.worker import CheckOutcome

SHOWN = (
    "torch",
    "torchvision",
    "mmengine",
    "mmcv-lite",
    "mmsegmentation",
    "numpy",
    "opencv-python",
    "pandas",
    "fvcore",
)

# Distributions that provide the same module.
SUBSTITUTES = {
    "mmcv-lite": ("mmcv", "mmcv-full"),
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
}


@dataclass
class Device:
    """A device that torch can use; memory in bytes."""

    name: str
    model: str
    memory: int | None = None
    cores: int | None = None
    threads: int | None = None


GPU = Extra("PyTorch with CUDA", "the GPU here", "python -m pip install --force-reinstall torch torchvision")


@dataclass
class Diagnosis:
    """What was found."""

    versions: dict[str, str | None]
    adaptations: list[dict[str, str | bool]] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    missing: list[Extra] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    printing.json_output(parser)
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="test in a minute what a run does on a GPU: batches, training (eager, graphed, compiled), evaluation, "
        "latency; exit code 1 if a check fails",
    )
    parser.add_argument("--device", metavar="D", help="device of --gpu: cuda (default), cuda:N or cpu")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 if a requirement is missing or broken, or a check fails."""
    if args.device and not args.gpu:
        raise UserError("--device is the device of --gpu: add --gpu, or omit --device")
    if args.gpu:
        return _self_test(args.device or "cuda", as_json=args.json)
    report = examine()
    print(json.dumps(asdict(report), indent=2) if args.json else "\n".join(_lines(report)))
    return 1 if report.problems else 0


def _self_test(device: str, *, as_json: bool) -> int:
    """Run the checks and print the outcome of each."""
    from benchmark.engine.device import select
    from benchmark.selftest import gpu, worker

    problem = next(chain(_unmet(), _broken()), None) or (gpu.absent() if device == "cuda" else None)
    if problem:
        print(json.dumps({"problem": problem, "checks": []}, indent=2) if as_json else f"no check was run: {problem}")
        return 1

    ended = []
    for outcome in worker.run(select(device)):
        ended.append(outcome)
        if not as_json:
            print(_line(outcome), flush=True)
    if as_json:
        print(json.dumps({"problem": None, "checks": [asdict(outcome) for outcome in ended]}, indent=2))
    return 1 if any(outcome.status == "fail" for outcome in ended) else 0


def _line(outcome: CheckOutcome) -> str:
    return f"{outcome.name:21} {outcome.status:7} {outcome.seconds:6.1f} s  {outcome.detail}"


def examine() -> Diagnosis:
    """Inspect the installation; every defect becomes a line of `problems`, never an exception."""
    versions = {name: _version(name) for name in SHOWN}
    report = Diagnosis(
        {"segbench": __version__, "code": code.digest()[:12], "python": platform.python_version(), **versions}
    )
    report.problems = [*_unmet(), *_broken()]
    if not report.problems:  # else later steps would fail for the same reason with a less clear message
        try:
            _activate(report)
        except UserError as error:
            report.problems.append(str(error))
    report.missing += missing_extras()
    return report


def _version(distribution: str) -> str | None:
    """Return the installed version of a distribution, or of a substitute for it."""
    for name in (distribution, *SUBSTITUTES.get(distribution, ())):
        try:
            return metadata.version(name) if name == distribution else f"{metadata.version(name)} ({name})"
        except metadata.PackageNotFoundError:
            continue
    return None


def _unmet() -> Iterator[str]:
    """Return the declared dependencies that are missing or have an unsupported version."""
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        yield "packaging is not installed: run `python -m pip install packaging`"
        return
    try:
        declared = [Requirement(line) for line in metadata.requires("segbench") or []]
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed: nothing is declared
        return
    for requirement in declared:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version, wanted = _version(requirement.name), f"{requirement.name}{requirement.specifier}"
        if version is None:
            yield f"{requirement.name} is not installed: run `python -m pip install '{wanted}'`"
        elif not requirement.specifier.contains(version.split()[0], prereleases=True):
            yield f"{requirement.name} {version} is installed: run `python -m pip install '{wanted}'`"


def _broken() -> Iterator[str]:
    """Return the installed packages that cannot be imported."""
    from benchmark.backend.installed import load_opencv

    if find_spec("cv2") is not None:
        try:
            load_opencv()
        except UserError as error:
            yield str(error)
    for module in ("numpy", "pandas", "torch"):
        if find_spec(module) is None:
            continue
        try:
            import_module(module)
        except Exception as error:  # a broken binary fails in its own way
            yield f"{module} does not load ({_first(error)}): run `python -m pip install --force-reinstall {module}`"


def _activate(report: Diagnosis) -> None:
    """Activate the backend, import the packages that it adapts, and query the devices."""
    from benchmark import backend

    report.adaptations = [asdict(adaptation) for adaptation in backend.adaptations()]
    for module in ("torchvision", "mmcv.ops", "mmseg.models", "fvcore.nn"):
        try:
            import_module(module)
        except Exception as error:
            package = module.split(".")[0]
            report.problems.append(f"{package} does not import ({type(error).__name__}: {_first(error)})")
    report.devices = list(_devices())
    if platform.system() == "Linux" and _driver_without_cuda():
        report.missing.append(GPU)


def _devices() -> Iterator[Device]:
    import torch

    from benchmark.results.environment import capture

    host = capture("cpu", deterministic=False)
    yield Device("cpu", host.cpu, host.memory, host.cores, host.threads)
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        yield Device(f"cuda:{index}", gpu.name, gpu.total_memory)
    if torch.backends.mps.is_available():
        yield Device("mps", host.cpu)


def _driver_without_cuda() -> bool:
    """Whether NVIDIA's driver is installed but torch was built without CUDA."""
    import torch

    from benchmark.results.environment import DRIVER

    return torch.version.cuda is None and DRIVER.exists()


def _first(error: Exception) -> str:
    """First line of an error."""
    return str(error).partition("\n")[0]


def _lines(report: Diagnosis) -> Iterator[str]:
    yield "versions"
    yield from _table([[name, version or "not installed"] for name, version in report.versions.items()])
    if report.adaptations:
        yield "backend"
        yield from _table(
            [[str(a["name"]), "adapted" if a["done"] else "as it is", str(a["why"])] for a in report.adaptations]
        )
    if report.devices:
        yield "devices"
        yield from _table([[device.name, _describe(device)] for device in report.devices])
    if report.missing:
        yield "not installed (optional)"
        yield from _table([[extra.name, f"for {extra.purpose}: {extra.command}"] for extra in report.missing])
    yield "problems" if report.problems else "no problems"
    yield from (wrapped(f"  {problem}") for problem in report.problems)


def _describe(device: Device) -> str:
    parts = [device.model]
    if device.cores is not None:
        parts.append(f"{device.cores} cores, {device.threads} threads")
    if device.memory is not None:
        parts.append(f"{device.memory / 2**30:.1f} GiB")
    return ", ".join(parts)


def _table(rows: list[list[str]]) -> Iterator[str]:
    """Rows in columns, indented; on a terminal the text of the last column wraps below itself."""
    width = terminal_width()
    indent = " " * sum(max(map(len, column)) + GAP for column in [[""], *list(zip(*rows, strict=True))[:-1]])
    for line in aligned(rows):
        yield f"  {line}" if width is None else textwrap.fill(f"  {line}", width, subsequent_indent=indent)
