"""Training batches of CamVid: ours from a filled cache, and mmsegmentation's own pipeline on the same files.

Both create batches of 8 images of 360 x 480 pixels with the full augmentation, in one process and one thread.

    python performance/input.py FOLDER    # the folder that contains CamVid/
"""

import argparse
import os
from itertools import count, cycle

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from timing import hardware, interleaved

from benchmark.backend import activate

BATCH = 8
SIZE = (360, 480)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("SEGBENCH_DATA", "data"))
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    activate()

    functions = {"mmsegmentation": theirs(arguments.folder), "segbench": ours(arguments.folder)}
    seconds = interleaved(functions, arguments.rounds)
    print(f"{hardware()}\n")
    print("| pipeline | CPU ms per image | images per CPU second | times mmsegmentation |\n|---|---:|---:|---:|")
    for name, taken in seconds.items():
        ratio = seconds["mmsegmentation"] / taken
        print(f"| {name} | {1000 * taken / BATCH:.2f} | {BATCH / taken:.0f} | {ratio:.1f} |")


def ours(folder):
    import benchmark.registration  # noqa: F401  (registers the source)
    from benchmark.inputs.batches import TrainingBatches

    source = {"type": "CamVid", "root": folder, "split": "train"}
    batches = TrainingBatches(source, BATCH, {"crop_size": SIZE}, "input", seed=0, length=1_000_000)
    iterations = count()
    return lambda: batches[next(iterations)]


def theirs(folder):
    from mmengine.dataset import Compose
    from mmengine.registry import DefaultScope
    from mmseg.datasets import transforms  # noqa: F401  (registers them)

    from benchmark.datasets.camvid import CamVid

    with DefaultScope.overwrite_default_scope("mmseg"):
        pipeline = Compose(
            [
                {"type": "LoadImageFromFile"},
                {"type": "LoadAnnotations"},
                {"type": "RandomResize", "scale": SIZE[::-1], "ratio_range": (0.5, 2.0), "keep_ratio": True},
                {"type": "RandomCrop", "crop_size": SIZE, "cat_max_ratio": 0.75},
                {"type": "RandomFlip", "prob": 0.5},
                {"type": "PhotoMetricDistortion"},
                {"type": "PackSegInputs"},
            ]
        )
    files = CamVid(folder, "train").files()
    pairs = list(zip(files[::2], files[1::2], strict=True))
    order = cycle(np.random.default_rng(0).permutation(len(pairs)).tolist())

    def batch():
        places = [pairs[next(order)] for _ in range(BATCH)]
        return [
            pipeline({"img_path": str(i), "seg_map_path": str(a), "reduce_zero_label": False, "seg_fields": []})
            for i, a in places
        ]

    return batch


if __name__ == "__main__":
    main()
