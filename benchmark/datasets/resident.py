"""Training batches made on the device on which the whole split lies.

What is drawn is what `TrainingBatches` draws; what is done with it is done for a batch at a time, and nothing waits for
the device. Labels are those of `augmentation.apply`, and so are pixels but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.confusion import VOID
from benchmark.datasets.augmentation import FILL, Draw, Policy, windows
from benchmark.datasets.batches import Batch, TrainingBatches
from benchmark.datasets.cache import Pixels


def resident_bytes(pixels: Pixels) -> int:
    """Bytes of device memory that a split takes, all of whose images are of the size of the first."""
    return len(pixels) * (pixels.image(0).nbytes + pixels.label(0).nbytes)


class ResidentBatches:
    """The batches of `TrainingBatches`, on a device: item i is the whole batch i.

    Args:
        batches: what is drawn, and from which split; its images have one size.
        device: where the split goes, and its batches come from.
    """

    def __init__(self, batches: TrainingBatches, device: torch.device | str) -> None:
        self.batches = batches
        self.device = torch.device(device)
        pixels = batches.pixels
        shape = (len(pixels), *pixels.image(0).shape)
        self._images = torch.empty(shape, dtype=torch.uint8, device=device)
        self._labels = torch.empty((shape[0], *shape[2:]), dtype=torch.uint8, device=device)
        for index in range(len(pixels)):
            self._images[index] = torch.from_numpy(pixels.image(index).copy())  # the original is read-only
            self._labels[index] = torch.from_numpy(pixels.label(index).copy())

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> Batch:
        indices, draws = self.batches.share(i)
        chosen = torch.from_numpy(indices).to(self.device, non_blocking=True)
        images, labels = augment(
            self._images.index_select(0, chosen),
            self._labels.index_select(0, chosen),
            draws.each(),
            self.batches.policy,
            len(self.batches.source.classes),
        )
        if self.batches.void != VOID:
            labels = labels.masked_fill(labels == VOID, self.batches.void)
        return {"inputs": images, "labels": labels}


def augment(
    images: Tensor, labels: Tensor, draws: Sequence[Draw], policy: Policy, classes: int
) -> tuple[Tensor, Tensor]:
    """Augment a batch: `augmentation.apply` for all its images at once.

    Args:
        images: uint8, shape (batch, 3, height, width).
        labels: uint8, shape (batch, height, width), VOID where there is no ground truth.
        draws: what was drawn for each image.
        policy: the policy it was drawn under.
        classes: number of classes.

    Returns:
        Images and labels of `policy.crop_size`, uint8.
    """
    tries = None if policy.cat_max_ratio < 1.0 else 1
    tried = [
        [
            (w.top, w.rows, w.height, w.left, w.columns, w.width)
            for w in islice(windows(labels.shape[1:], d, policy), tries)
        ]
        for d in draws
    ]
    crops = torch.tensor(tried).to(images.device, non_blocking=True)  # (batch, tries, 6)
    chosen = _first_unfilled(labels, crops, policy.cat_max_ratio, classes)
    top, rows, height, left, columns, width = crops[torch.arange(len(draws), device=images.device), chosen].T[..., None]
    flip = torch.tensor([d.flip for d in draws]).to(images.device, non_blocking=True)[:, None]

    y = torch.arange(policy.crop_size[0], device=images.device)[None]
    x = torch.arange(policy.crop_size[1], device=images.device)[None]
    outside = (y >= height)[:, :, None] | (x >= width)[:, None, :]
    x = torch.where(flip, width - 1 - x, x)
    pictures = _interpolate(images, _position(y, top, rows, height), _position(x, left, columns, width))
    pictures = _distort(pictures, draws)
    fill = torch.tensor(FILL, device=images.device)[:, None, None]
    pictures = torch.where(outside[:, None], fill, pictures).to(torch.uint8)
    nearest = _select(labels, _nearest(y, top, rows, height), _nearest(x, left, columns, width))
    return pictures, nearest.masked_fill(outside, VOID)


def _first_unfilled(labels: Tensor, crops: Tensor, ratio: float, classes: int) -> Tensor:
    """Which crop of each image is the first that no class fills, else the last; shape (batch,).

    A crop's label is a sum over rows and columns of the original, each taken as often as the resize repeats it. The
    sums are of integers small enough to be exact in the lowest precision of a device's matrix units.
    """
    if crops.shape[1] == 1:
        return crops.new_zeros(len(crops))
    top, rows, height, left, columns, width = crops.unbind(2)
    down = _repeats(labels.shape[1], top, rows, height)  # (batch, tries, rows of the original)
    across = _repeats(labels.shape[2], left, columns, width)
    is_class = (labels[:, None] == torch.arange(classes, device=labels.device)[:, None, None]).float()
    counts = torch.einsum("btkw,btw->btk", torch.einsum("bth,bkhw->btkw", down, is_class), across).double()
    filled = (counts.amax(2) >= ratio * counts.sum(2)) | ((counts > 0).sum(2) <= 1)
    filled[:, -1] = False
    return filled.int().argmin(1)


def _repeats(length: int, first: Tensor, pixels: Tensor, out: Tensor) -> Tensor:
    """How often `_nearest` takes each of the `length` pixels of a side, shape (*first.shape, length)."""
    first, pixels, out = first[..., None], pixels[..., None], out[..., None]
    ends = torch.minimum((torch.arange(length + 1, device=first.device) - first).clamp(min=0), pixels)
    until = -((pixels - 2 * out * ends) // (2 * pixels))  # pixels of the crop that are taken from before each end
    return until.diff(dim=-1).float()


def _nearest(places: Tensor, first: Tensor, pixels: Tensor, out: Tensor) -> Tensor:
    """The pixel of the original whose centre is nearest to that of each place in the crop, shape (batch, places)."""
    return first + torch.minimum(((2 * places + 1) * pixels // (2 * out)).clamp(min=0), pixels - 1)


def _position(places: Tensor, first: Tensor, pixels: Tensor, out: Tensor) -> Tensor:
    """Where the centre of each place in the crop lies in the original, in its pixels, shape (batch, places)."""
    return first + torch.minimum(((places + 0.5) * pixels / out - 0.5).clamp(min=0), pixels - 1)


def _select(labels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    kept = labels.gather(1, rows[:, :, None].expand(-1, -1, labels.shape[2]))
    return kept.gather(2, columns[:, None, :].expand(-1, kept.shape[1], -1))


def _interpolate(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images at all crossings of the rows and columns, linearly, as whole numbers in float32."""
    height, width = images.shape[2:]
    x = (2 * columns / max(width - 1, 1) - 1)[:, None, :].expand(-1, rows.shape[1], -1)
    y = (2 * rows / max(height - 1, 1) - 1)[:, :, None].expand(-1, -1, columns.shape[1])
    return F.grid_sample(images.float(), torch.stack([x, y], dim=3), padding_mode="border", align_corners=True).round()


def _distort(images: Tensor, draws: Sequence[Draw]) -> Tensor:
    """`augmentation.distort` of images with values 0 to 255 in float32, shape (batch, 3, height, width)."""
    drawn = [(d.brightness // 1, d.contrast, d.contrast_first, d.saturation, d.hue / 30) for d in draws]
    table = torch.tensor(drawn, dtype=images.dtype).to(images.device, non_blocking=True)
    brightness, contrast, contrast_first, saturation, sixths = table.T[..., None, None, None]
    images = (images + brightness).clamp(0, 255)
    images = (images * torch.where(contrast_first > 0, contrast, 1)).clamp(max=255).floor()

    largest, smallest = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    images = largest - (largest - images) * torch.minimum(saturation, largest / (largest - smallest).clamp(min=1))

    smallest = images.amin(1, keepdim=True)
    turn = sixths * (largest - smallest)
    falls = images.roll(-1, 1) >= images.roll(1, 1)
    slopes = 2 * images + largest + smallest - images.sum(1, keepdim=True)  # each channel, its stays left out
    images = torch.minimum(torch.maximum(slopes + torch.where(falls, -turn, turn), smallest), largest).round()
    return (images * torch.where(contrast_first > 0, 1, contrast)).clamp(max=255).floor()
