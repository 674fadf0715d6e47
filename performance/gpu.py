"""Run all measurements that need a GPU, in one call of 4 minutes.

Runs the scripts whose results depend on the GPU one after another, and prints their output. Each has a share of the
time and stops within it with its measurements up to then; unused time is given to the others. The first begins with a
training step of mmsegmentation and ours, so that this ratio is measured even if the rest fails.

    python performance/gpu.py FOLDER    # the folder that contains CamVid/
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from process import run

HERE = Path(__file__).parent

SHARES = {"step.py": 0.45, "resident.py": 0.1, "evaluation.py": 0.1, "roofline.py": 0.35}
"""Scripts in order, with their share of the time."""

WITHOUT_DATA = {"evaluation.py"}

TO_END = 5.0
"""Maximum seconds for a script to stop before it is killed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("SEGBENCH_DATA", "data"))
    parser.add_argument("--seconds", type=float, default=240, help="time limit in seconds (default: %(default)s)")
    arguments = parser.parse_args()
    return measure(SHARES, HERE, arguments.folder, arguments.seconds)


def measure(shares: Mapping[str, float], scripts: Path, folder: str, seconds: float) -> int:
    """Run the scripts within a time limit; return 1 if one of them failed or was killed."""
    deadline = time.monotonic() + seconds
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    failed, waiting = False, dict(shares)
    for script, share in shares.items():
        mine = (deadline - time.monotonic()) * share / sum(waiting.values())
        del waiting[script]
        print(f"\n## {script}\n", flush=True)
        budget = ["--seconds", f"{mine - min(TO_END, 0.2 * mine):.1f}"]
        command = [sys.executable, str(scripts / script), *([] if script in WITHOUT_DATA else [folder]), *budget]
        status = run(command, mine, environment)
        if status is None:
            print(f"\n(killed after {mine:.0f} s)", flush=True)
        elif status:
            print(f"\n(failed with exit code {status})", flush=True)
        failed |= status != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
