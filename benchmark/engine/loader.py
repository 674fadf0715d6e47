"""Training data loaders: batches from this process, from worker processes, or from GPU memory."""

from __future__ import annotations

import os
from typing import Any, Literal

from mmengine.device import get_device
from mmengine.dist import get_world_size
from torch.utils.data import DataLoader

from benchmark.errors import UserError
from benchmark.inputs.batches import Batch, IterationSampler, TrainingBatches, whole_batch
from benchmark.inputs.gpu_batches import ResidentBatches, fits

Resident = Literal["auto", "on", "off"]
"""Whether batches are computed on the GPU: if they fit in its memory, always, or never."""

WORKERS, AHEAD = 8, 4
"""Maximum worker processes if the split does not fit in GPU memory; and prefetched batches per worker."""


def training_loader(loader: DataLoader[Batch], resident: Resident, *, deterministic: bool) -> DataLoader[Batch]:
    """Build the fastest data loader of a training on its device.

    Args:
        loader: data loader config.
        resident: whether batches are computed on the GPU.
        deterministic: keep batches bitwise equal to the CPU's, unless `resident` is "on".

    Raises:
        UserError: `resident` is "on", but the GPU cannot compute the batches.
    """
    if get_device() != "cuda":
        return loader
    batches = loader.dataset
    if resident == "on" or (resident == "auto" and not deterministic):
        if isinstance(batches, TrainingBatches) and fits(batches.pixels, "cuda"):
            return _loader(ResidentBatches(batches, "cuda"))
        if resident == "on":
            raise UserError(
                "--resident on: the training split has images of several sizes, or takes more than half of the GPU's "
                "free memory; omit the option"
            )
    if loader.num_workers:  # the protocol sets its workers
        return loader
    return _loader(
        batches,
        num_workers=max(1, min(WORKERS, (os.cpu_count() or 1) // get_world_size())),
        prefetch_factor=AHEAD,
        pin_memory=True,
        multiprocessing_context="fork",
    )


def _loader(batches: Any, **settings: Any) -> DataLoader[Batch]:
    sampler = IterationSampler(batches)
    return DataLoader(batches, batch_size=None, sampler=sampler, collate_fn=whole_batch, **settings)
