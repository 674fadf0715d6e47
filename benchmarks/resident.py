"""Training batches of CamVid on a device: made there from a resident split, against one worker of mmsegmentation's.

Both give batches of 360 x 480 pixels with the full augmentation. The device is timed from the first launch of a round
to the end of its work; launching takes the host's time, which is shown by itself.

    python benchmarks/resident.py FOLDER    # the folder that holds CamVid/
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import torch
from input import SIZE, theirs
from timing import hardware, waited

from benchmark.backend import activate

ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("SEGBENCH_DATA", "data"))
    parser.add_argument("--batches", type=int, default=200, help="of one timing")
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    cv2.setNumThreads(1)
    activate()
    import benchmark.registration  # noqa: F401  (the source is built by name)
    from benchmark.datasets.batches import TrainingBatches
    from benchmark.datasets.resident import ResidentBatches

    source = {"type": "CamVid", "root": arguments.folder, "split": "train"}
    split = TrainingBatches(source, arguments.batch_size, {"crop_size": SIZE}, "input", seed=0, length=1_000_000)
    batches, host = ResidentBatches(split, device), []

    def ours() -> None:
        start = time.perf_counter()
        for i in range(arguments.batches):
            batches[i]
        host.append(time.perf_counter() - start)

    peer = theirs(arguments.folder)
    seconds = waited({"one worker of mmsegmentation": peer, f"segbench on {device}": ours}, ROUNDS)
    images = dict(zip(seconds, (8, arguments.batches * arguments.batch_size), strict=True))
    rates = {name: images[name] / taken for name, taken in seconds.items()}
    first = next(iter(rates.values()))
    print(f"{hardware()}; batches of {arguments.batch_size}\n")
    print("| pipeline | images/s | times mmsegmentation's worker |\n|---|---:|---:|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate / first:.1f} |")
    print(f"\nof the host: {1e6 * sorted(host)[len(host) // 2] / arguments.batches:.0f} us a batch")


if __name__ == "__main__":
    main()
