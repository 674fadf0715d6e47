"""All that a GPU can be measured at, in one call of less than 8 minutes.

Runs the scripts whose figures depend on the GPU one after another, each with a limit of its own, and prints what they
print.

    python benchmarks/gpu.py FOLDER    # the folder that holds CamVid/
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

SCRIPTS = {"resident.py": 60, "step.py": 180, "evaluation.py": 40, "roofline.py": 190}
"""Scripts, and how many seconds each may take."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("SEGBENCH_DATA", "data"))
    folder = parser.parse_args().folder
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    failed = False
    for script, seconds in SCRIPTS.items():
        print(f"\n## {script}\n", flush=True)
        budget = ["--seconds", str(seconds - 40)] if script == "roofline.py" else []  # what is begun gets its time
        places = [] if script == "evaluation.py" else [folder]
        try:
            command = [sys.executable, str(HERE / script), *places, *budget]
            failed |= subprocess.run(command, env=environment, timeout=seconds).returncode != 0
        except subprocess.TimeoutExpired:
            print(f"\n(stopped after {seconds} s)")
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
