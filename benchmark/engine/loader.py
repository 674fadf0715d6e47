"""Where the batches of a training come from: this process, workers beside it, or the GPU itself."""

from __future__ import annotations

import os
from typing import Any, Literal

from mmengine.device import get_device
from torch.utils.data import DataLoader

from benchmark.errors import UserError
from benchmark.inputs.batches import Batch, IterationSampler, TrainingBatches, whole_batch
from benchmark.inputs.gpu_batches import ResidentBatches, fits

Resident = Literal["auto", "on", "off"]
"""Whether batches are made on the GPU: where its memory allows, always, or never."""

WORKERS, AHEAD = 8, 4
"""Processes that make batches for a GPU on which the split does not lie, at most; and batches that each has ready."""


def training_loader(loader: DataLoader[Batch], resident: Resident, *, deterministic: bool) -> DataLoader[Batch]:
    """The loader of a training, as fast as its device asks for.

    Args:
        loader: as the config has it.
        resident: whether batches are made on the GPU.
        deterministic: batches are the CPU's own to the last bit, unless the user asks for them to be made elsewhere.

    Raises:
        UserError: they are to be made on the GPU, and cannot be.
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
                "free memory; leave it out"
            )
    if loader.num_workers:  # a protocol that has its own idea of it
        return loader
    return _loader(
        batches,
        num_workers=min(WORKERS, os.cpu_count() or 1),
        prefetch_factor=AHEAD,
        pin_memory=True,
        multiprocessing_context="fork",
    )


def _loader(batches: Any, **settings: Any) -> DataLoader[Batch]:
    sampler = IterationSampler(batches)
    return DataLoader(batches, batch_size=None, sampler=sampler, collate_fn=whole_batch, **settings)
