"""Start-up time of the command line, compared with that of Python.

`python performance/startup.py`
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from timing import hardware, interleaved

ROUNDS = 21

SEGBENCH = ("-m", "segbench")

COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "segbench --help": (*SEGBENCH, "--help"),
    "segbench list": (*SEGBENCH, "list"),
    "segbench list references": (*SEGBENCH, "list", "references"),
    "python -c 'import pandas'": ("-c", "import pandas"),
    "python -c 'import torch'": ("-c", "import torch"),
}


def start(*words: str) -> None:
    """Run a Python process."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Print a table."""
    seconds = interleaved({name: partial(start, *words) for name, words in COMMANDS.items()}, ROUNDS)
    print(hardware(), end="\n\n")
    print("| whole process | CPU ms | times `python -c pass` |\n| --- | ---: | ---: |")
    for name, taken in seconds.items():
        print(f"| `{name}` | {1000 * taken:.0f} | {taken / seconds['python -c pass']:.1f} |")


if __name__ == "__main__":
    main()
