"""Timings of training modes, stored in the user's cache for later runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmark.files.atomic import replacing


class TrainingMode(NamedTuple):
    """Options of the computation of training steps."""

    layout: str
    """name of the memory layout, see `layout.LAYOUTS`"""
    graph: bool
    """whether forward and backward pass are replayed from a CUDA graph"""
    compiled: bool
    """whether the network is compiled"""


EAGER = TrainingMode("contiguous", graph=False, compiled=False)


@dataclass(frozen=True)
class Timings:
    """Timings of a network from trials.

    Attributes:
        seconds: seconds of forward and backward pass, by mode.
        compile_seconds: seconds of its first compilation; None if it was not compiled.
    """

    seconds: Mapping[TrainingMode, float] = field(default_factory=dict)
    compile_seconds: float | None = None


def key(*facts: Any) -> str:
    """Return a file name: a hash of plain JSON data that timings depend on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def read(file: Path) -> Timings:
    """Read the timings in a file; empty if it is missing or of another version."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        seconds = {TrainingMode(*entry["mode"]): float(entry["seconds"]) for entry in content["modes"]}
        return Timings(seconds, content["compile_seconds"])
    except (OSError, ValueError, LookupError, TypeError):
        return Timings()


def write(file: Path, timings: Timings) -> None:
    """Write timings to a file, creating its folder."""
    modes = [{"mode": list(mode), "seconds": seconds} for mode, seconds in timings.seconds.items()]
    with replacing(file) as temporary:
        temporary.write_text(json.dumps({"modes": modes, "compile_seconds": timings.compile_seconds}), encoding="utf-8")


def typical_compile_seconds(folder: Path) -> float | None:
    """Return the median time of first compilations in seconds; None without any."""
    taken = [seconds for file in folder.glob("*.json") if (seconds := read(file).compile_seconds)]
    return median(taken) if taken else None
