"""Training batches of CamVid on a device: created there from a resident split, and by one worker of mmsegmentation.

Both create batches of 360 x 480 pixels with the full augmentation. The device is timed from the first launch of a round
to the end of its work; the host time of launching is listed separately.

    python performance/resident.py FOLDER    # the folder that contains CamVid/
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import torch
from input import SIZE, theirs
from timing import Deadline, TimeLimitError, hardware, waited

from benchmark.backend import activate

GPU = torch.cuda.is_available()
ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("SEGBENCH_DATA", "data"))
    parser.add_argument("--batches", type=int, default=200 if GPU else 2, help="per timing (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seconds", type=float, help="time limit in seconds; print the measurements up to then")
    arguments = parser.parse_args()
    deadline = Deadline(arguments.seconds)
    cv2.setNumThreads(1)
    print(f"{hardware()}; batches of {arguments.batch_size}\n")
    print("| pipeline | images/s | times mmsegmentation's worker | rounds |\n|---|---:|---:|---:|", flush=True)
    host: list[float] = []
    try:
        with deadline.interrupting():
            functions = pipelines(arguments.folder, arguments.batches, arguments.batch_size, host)
            seconds = waited(functions, ROUNDS)
    except TimeLimitError:
        print("| not measured: time limit reached | | | |", flush=True)
        return
    images = dict(zip(seconds, (8, arguments.batches * arguments.batch_size), strict=True))
    rates = {name: images[name] / taken for name, taken in seconds.items()}
    first = next(iter(rates.values()))
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate / first:.1f} | {seconds.rounds} |")
    print(f"\nhost time: {1e6 * median(host) / arguments.batches:.0f} us a batch")


def pipelines(folder: str, batches: int, batch_size: int, host: list[float]) -> dict[str, Callable[[], object]]:
    """Return functions that create batches with either pipeline, by name; `host` collects the seconds of launching."""
    activate()
    import benchmark.registration  # noqa: F401  (registers the source)
    from benchmark.inputs.batches import TrainingBatches
    from benchmark.inputs.gpu_batches import ResidentBatches

    source = {"type": "CamVid", "root": folder, "split": "train"}
    split = TrainingBatches(source, batch_size, {"crop_size": SIZE}, "input", seed=0, length=1_000_000)
    device = "cuda" if GPU else "cpu"
    resident = ResidentBatches(split, device)

    def ours() -> None:
        start = time.perf_counter()
        for i in range(batches):
            resident[i]
        host.append(time.perf_counter() - start)

    return {"one worker of mmsegmentation": theirs(folder), f"segbench on {device}": ours}


if __name__ == "__main__":
    main()
