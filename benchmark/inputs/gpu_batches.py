"""Splits in GPU memory: training batches augmented on the device, and evaluation images.

The random decisions are those of `TrainingBatches`; they are applied to a whole batch at once, without synchronizing
with the device. Labels equal those of `augmentation.apply`; pixels do up to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from benchmark.confusion import VOID
from benchmark.inputs.augmentation import FILL, Draws, Policy
from benchmark.inputs.batches import Batch, EvaluationImages, TrainingBatches, sample
from benchmark.inputs.draw_table import FIELDS, tabulate
from benchmark.inputs.pixel_cache import Pixels

BATCHES_PER_LAUNCH = 8
"""Batches that the kernel augments per launch: launching takes the host about as long as computing one."""

UPLOAD = 64
"""Images per copy to the device."""

Augment = Callable[[Tensor, Tensor, Tensor, Policy, int, int], tuple[Tensor, Tensor]]
"""Signature of `augment` and its alternatives."""


class ResidentWarning(UserWarning):
    """Batches are augmented on the device without the fast kernel."""


def resident_bytes(pixels: Pixels) -> int:
    """Return the bytes of device memory for a split whose images all have the size of the first."""
    return len(pixels) * (pixels.image(0).nbytes + pixels.label(0).nbytes)


def fits(pixels: Pixels, device: torch.device | str) -> bool:
    """Return whether a split fits a device: its images have one size and fit in half of a GPU's free memory.

    PyTorch's cached memory is freed first.
    """
    if torch.device(device).type != "cuda":
        return False
    torch.cuda.empty_cache()
    if 2 * resident_bytes(pixels) > torch.cuda.mem_get_info(device)[0]:
        return False
    size = pixels.label(0).shape
    return all(pixels.label(index).shape == size for index in range(1, len(pixels)))


class ResidentBatches:
    """Batches of `TrainingBatches` on a device: item i is the whole batch i.

    Several batches are augmented per launch, and the latest ones are cached.

    Args:
        batches: the batches on the CPU; the images of their split have one size.
        device: device of the split and the batches.

    Raises:
        RuntimeError: the batches of the device differ from those of the CPU.
    """

    def __init__(self, batches: TrainingBatches, device: torch.device | str) -> None:
        self.batches = batches
        self.device = torch.device(device)
        self._images, self._labels = _uploaded(batches.pixels, self.device)
        self._made: dict[int, Batch] = {}
        self._augment = self._checked()
        self._per_launch = 1 if self._augment is augment else BATCHES_PER_LAUNCH  # `augment` needs much memory

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> Batch:
        if i not in self._made:
            first = i - i % self._per_launch
            self._made = self._make(range(first, min(first + self._per_launch, len(self))), self._augment)
        return self._made[i]

    def _make(self, places: range, augment: Augment) -> dict[int, Batch]:
        shares = [self.batches.share(i) for i in places]
        indices = np.concatenate([share for share, _ in shares])
        draws = Draws._make(map(np.concatenate, zip(*(drawn for _, drawn in shares), strict=True)))
        table = torch.from_numpy(tabulate(indices, draws, tuple(self._labels.shape[1:]), self.batches.policy))
        if self.device.type == "cuda":
            table = table.pin_memory()
        table = table.to(self.device, non_blocking=True)
        classes = len(self.batches.source.classes)
        inputs, labels = augment(self._images, self._labels, table, self.batches.policy, classes, self.batches.void)
        size = len(indices) // len(places)
        parts = zip(places, inputs.split(size), labels.split(size), strict=True)
        return {i: {"inputs": pictures, "labels": classes} for i, pictures, classes in parts}

    def _checked(self) -> Augment:
        """Return the fastest implementation whose first batch is correct on this device.

        `augment` is compared with the CPU, which distorts colours before it enlarges an image, so that pixels at hard
        edges differ; the kernel is compared with `augment`, from which it may differ by rounding only.
        """
        made = self._make(range(1), augment)[0]
        if problem := _difference(made, self.batches[0], tolerance=5.0):
            raise RuntimeError(f"batches augmented on {self.device} differ from those on the CPU: {problem}")
        try:
            fastest = _fastest(self.device)
            problem = _difference(self._make(range(1), fastest)[0], made, tolerance=0.5)
        except Exception as error:  # Triton or a compiler is missing or does not support this device
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
        if problem:
            warnings.warn(
                f"the augmentation kernel is not used on {self.device}: {problem}", ResidentWarning, stacklevel=3
            )
        return augment if problem else fastest


class ResidentImages(Dataset[dict[str, Any]]):
    """Items of `EvaluationImages` with pixels on a device.

    Args:
        images: the split; its images have one size.
        device: device of the pixels.
    """

    def __init__(self, images: EvaluationImages, device: torch.device | str) -> None:
        self.source, self.pixels, self.metainfo = images.source, images.pixels, images.metainfo
        self._images, self._labels = _uploaded(images.pixels, torch.device(device))

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": self._images[index], "data_samples": sample(self._labels[index], self.source.names[index])}


def _fastest(device: torch.device) -> Augment:
    if device.type != "cuda":
        return augment
    from benchmark.inputs import triton_kernel  # needs Triton

    return triton_kernel.augment


def _difference(found: Batch, expected: Batch, tolerance: float) -> str:
    """Describe the difference of two batches; empty if labels are equal and pixels differ little on average."""
    found_labels, labels = found["labels"].cpu(), expected["labels"].cpu()
    if not torch.equal(found_labels, labels):
        return f"{(found_labels != labels).float().mean().item():.2%} of the labels differ"
    difference = (found["inputs"].cpu().float() - expected["inputs"].cpu().float()).abs().mean().item()
    return "" if difference <= tolerance else f"pixels differ by {difference:.1f} of 255"


def _uploaded(pixels: Pixels, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copy all images and labels of a split to a device."""
    image, label = pixels.image(0), pixels.label(0)
    images = torch.empty((len(pixels), *image.shape), dtype=torch.uint8, device=device)
    labels = torch.empty((len(pixels), *label.shape), dtype=torch.uint8, device=device)
    for first in range(0, len(pixels), UPLOAD):
        part = range(first, min(first + UPLOAD, len(pixels)))
        images[part.start : part.stop] = torch.from_numpy(np.stack([pixels.image(index) for index in part]))
        labels[part.start : part.stop] = torch.from_numpy(np.stack([pixels.label(index) for index in part]))
    return images, labels


def augment(
    images: Tensor, labels: Tensor, table: Tensor, policy: Policy, classes: int, void: int = VOID
) -> tuple[Tensor, Tensor]:
    """Augment a batch: `augmentation.apply` for all its images at once.

    Args:
        images: all images of the split, uint8, shape (images, 3, height, width).
        labels: their labels, uint8, shape (images, height, width), VOID for void.
        table: augmentation parameters from `draw_table.tabulate`.
        policy: policy of the parameters.
        classes: number of classes.
        void: output value of VOID.

    Returns:
        Images and labels of `policy.crop_size`, uint8.
    """
    index, flip, *colours = table[:, :FIELDS].T
    images, labels = images.index_select(0, index.int()), labels.index_select(0, index.int())
    crops = table[:, FIELDS:].long().view(len(table), -1, 6)
    chosen = _first_unfilled(labels, crops, policy, classes)
    crop = _Crop(crops[torch.arange(len(crops), device=crops.device), chosen], flip, policy.crop_size)
    pictures = _distort(_interpolated(images, crop), *(colour[:, None, None, None] for colour in colours))
    fill = torch.tensor(FILL, device=images.device)[:, None, None]
    pictures = torch.where(crop.outside[:, None], fill, pictures).to(torch.uint8)
    taken = _nearest(labels, crop)
    return pictures, taken.masked_fill(taken == VOID, void)


class _Crop:
    """Coordinates of a crop of each image: places outside of the image, and the pixels to interpolate for the others.

    Args:
        windows: attributes of `Window`, shape (batch, 6).
        flip: nonzero if the image is flipped horizontally, shape (batch,).
        size: (height, width) of the output.
    """

    def __init__(self, windows: Tensor, flip: Tensor, size: tuple[int, int]) -> None:
        self.top, self.left, self.rows, self.columns, self.height, self.width = windows.T[..., None]
        self.y, x = (torch.arange(length, device=windows.device)[None] for length in size)
        self.outside = (self.y >= self.height)[:, :, None] | (x >= self.width)[:, None, :]
        self.x = torch.where(flip[:, None] != 0, self.width - 1 - x, x)


def _first_unfilled(labels: Tensor, crops: Tensor, policy: Policy, classes: int) -> Tensor:
    """Return the index of the first crop of each image that no class fills, else the last; shape (batch,)."""
    filled = torch.zeros(crops.shape[:2], dtype=torch.int, device=crops.device)
    for attempt in range(crops.shape[1] - 1):
        taken = _nearest(labels, _Crop(crops[:, attempt], torch.zeros_like(crops[:, 0, 0]), policy.crop_size))
        taken = taken.flatten(1).long()
        counts = torch.zeros_like(taken[:, :1]).repeat(1, VOID + 1).scatter_add_(1, taken, torch.ones_like(taken))
        counts = counts[:, :classes].double()
        filled[:, attempt] = counts.amax(1) >= policy.cat_max_ratio * counts.sum(1)
    return filled.argmin(1)


def _nearest(labels: Tensor, crop: _Crop) -> Tensor:
    """Return the labels of the original pixels nearest to the places in the crop, VOID outside."""
    rows = ((2 * crop.y + 1) * crop.rows // (2 * crop.height)).clamp(max=crop.rows - 1)
    columns = ((2 * crop.x + 1) * crop.columns // (2 * crop.width)).clamp(min=0).clamp(max=crop.columns - 1)
    kept = labels.gather(1, (crop.top + rows)[:, :, None].expand(-1, -1, labels.shape[2]))
    kept = kept.gather(2, (crop.left + columns)[:, None, :].expand(-1, kept.shape[1], -1))
    return kept.masked_fill(crop.outside, VOID)


def _interpolated(images: Tensor, crop: _Crop) -> Tensor:
    """Interpolate the images linearly at the places in the crop; returns integer values in float32."""
    height, width = images.shape[2:]
    y = crop.top + ((crop.y + 0.5) * crop.rows / crop.height - 0.5).clamp(min=0).clamp(max=crop.rows - 1)
    x = crop.left + ((crop.x + 0.5) * crop.columns / crop.width - 0.5).clamp(min=0).clamp(max=crop.columns - 1)
    y, x = torch.broadcast_tensors(y[:, :, None] / max(height - 1, 1), x[:, None, :] / max(width - 1, 1))
    grid = 2 * torch.stack([x, y], dim=3) - 1
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=True).round()


def _distort(
    images: Tensor, brightness: Tensor, before: Tensor, saturation: Tensor, sixths: Tensor, after: Tensor
) -> Tensor:
    """Apply `augmentation.distort` to images with values 0 to 255 in float32, shape (batch, 3, height, width)."""
    images = ((images + brightness).clamp(0, 255) * before).clamp(max=255).floor()

    largest, smallest = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    images = largest - (largest - images) * torch.minimum(saturation, largest / (largest - smallest).clamp(min=1))

    smallest = images.amin(1, keepdim=True)
    turn = sixths * (largest - smallest)
    falls = images.roll(-1, 1) >= images.roll(1, 1)
    slopes = 2 * images + largest + smallest - images.sum(1, keepdim=True)  # each channel without its constant ranges
    images = torch.minimum(torch.maximum(slopes + torch.where(falls, -turn, turn), smallest), largest).round()
    return (images * after).clamp(max=255).floor()
