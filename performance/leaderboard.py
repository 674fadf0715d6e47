"""Time of `segbench leaderboard` for thousands of results, for whole processes.

Compared with pandas on the same JSON files: every file through `json_normalize`, a simple first version, and only the
columns of the table, an optimized one. `python performance/leaderboard.py [--large]`
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from synthetic import ROOT, fill
from timing import hardware, interleaved

GROUPS = (5, 50)
"""Protocols and architectures; the other results are seeds of these."""

ROUNDS = {10_000: 3, 100_000: 1}

LOAD = """
import json, sys
from pathlib import Path
import pandas as pd
files = sorted(Path(sys.argv[1]).rglob("*.json"))
"""

NORMALISE = """
runs = pd.json_normalize([json.loads(file.read_bytes()) for file in files])
runs["protocol"], runs["miou"] = runs["protocol.name"], [each[0]["miou"] for each in runs["evaluations"]]
runs["macs"], runs["latency"] = runs["complexity.macs"], [each[0]["median_ms"] for each in runs["latency"]]
"""

PICK = """
rows = []
for file in files:
    record = json.loads(file.read_bytes())
    figures = (record["evaluations"][0]["miou"], record["complexity"]["macs"], record["latency"][0]["median_ms"])
    rows.append((record["protocol"]["name"], record["architecture"], record["seed"], *figures))
runs = pd.DataFrame(rows, columns=["protocol", "architecture", "seed", "miou", "macs", "latency"])
"""

TABLE = """
table = runs.groupby(["protocol", "architecture"]).agg(
    miou=("miou", "mean"), sd=("miou", "std"), seeds=("seed", "count"), macs=("macs", "last"), ms=("latency", "median")
)
print(table.sort_values("miou", ascending=False).to_csv())
"""


def output(*command: str | Path, cache: Path) -> str:
    """Return the output of a Python process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SEGBENCH_CACHE": str(cache)}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def check_equal(ours: str, theirs: str) -> None:
    """Check that both tables have the same rows."""
    scores = [
        {(row["protocol"], row["architecture"]): float(row[name]) for row in csv.DictReader(io.StringIO(text))}
        for text, name in ((ours, "miou_percent"), (theirs, "miou"))
    ]
    assert scores[0].keys() == scores[1].keys()
    assert all(math.isclose(score, scores[1][key], rel_tol=1e-12) for key, score in scores[0].items())


def compare(results: int) -> dict[str, float]:
    """Measure the CPU seconds of each way to create the table."""
    with tempfile.TemporaryDirectory() as place:
        store, cache = Path(place, "results"), Path(place, "cache")
        fill(store, *GROUPS, range(results // math.prod(GROUPS)))

        def ours() -> str:
            return output("-m", "segbench", "leaderboard", "--results", store, "--format", "csv", cache=cache)

        def cold() -> str:
            shutil.rmtree(cache, ignore_errors=True)
            return ours()

        def pandas(runs: str) -> str:
            return output("-c", LOAD + runs + TABLE, store, cache=cache)

        check_equal(cold(), pandas(PICK))
        return interleaved(
            {
                "segbench, without a snapshot": cold,
                "segbench": ours,
                "pandas, json_normalize": lambda: pandas(NORMALISE),
                "pandas, only the columns of the table": lambda: pandas(PICK),
            },
            ROUNDS[results],
        )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="100,000 results as well: minutes, and 5 GiB of memory")
    sizes = list(ROUNDS)[: 1 + parser.parse_args().large]
    print(hardware(), end="\n\n")
    print("| results | whole process | CPU s | times segbench |\n| ---: | --- | ---: | ---: |")
    for results in sizes:
        seconds = compare(results)
        for name, taken in seconds.items():
            print(f"| {results:,} | {name} | {taken:.2f} | {taken / seconds['segbench']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
