"""Time and memory of comparing thousands of results, for whole processes.

A store of 10,000 results of 100 architectures under 10 protocols, 5 seeds each of two versions, with confusion
matrices: the two versions, the store with itself (10,000 results with 10,000), the verdicts, and the same without a
snapshot. `python performance/compare.py`
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from synthetic import ROOT, fill
from timing import hardware

ROUNDS = 3


def cost(*command: str | Path, cache: Path, cold: bool) -> tuple[float, float, float]:
    """Measure wall time and CPU time of a `segbench` process in seconds, and its peak memory in MiB."""
    if cold:
        shutil.rmtree(cache, ignore_errors=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SEGBENCH_CACHE": str(cache)}
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "segbench", *command], env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as place:
        store, cache = Path(place, "results"), Path(place, "cache")
        fill(store, 10, 100, range(5), "0.1.0")
        fill(store, 10, 100, range(5), "0.2.0")
        versions = ("compare", "0.1.0", "0.2.0", "--results", store)
        cases = {
            "compare two versions, without a snapshot": (versions, True),
            "compare two versions": (versions, False),
            "compare the store with itself": (("compare", store, store), False),
            "verify": (("verify", "--results", store), False),
            "leaderboard": (("leaderboard", "--results", store), False),
        }
        print(hardware(), end="\n\n")
        print("| 10,000 results | s | CPU s | peak MiB |\n| --- | ---: | ---: | ---: |")
        for name, (command, cold) in cases.items():
            taken = [cost(*command, cache=cache, cold=cold) for _ in range(ROUNDS)]
            seconds, cpu, memory = (median(each) for each in zip(*taken, strict=True))
            print(f"| {name} | {seconds:.2f} | {cpu:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
