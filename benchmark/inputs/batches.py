"""Stateless batches: each depends only on (data, protocol, seed, i).

Batch i contains the samples i x B to i x B + B - 1 of an endless sequence of epochs, each a permutation drawn from
(data digest, protocol, seed, epoch); its augmentation is drawn from (data digest, protocol, seed, i). So every
architecture of a leaderboard gets the same batches, a resumed run equals an uninterrupted one, and the processes of a
distributed job split the same global batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sized
from functools import lru_cache
from typing import Any, TypedDict

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.registry import FUNCTIONS, DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import DATA_SAMPLERS, DATASETS
from mmseg.structures import SegDataSample
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from benchmark.confusion import VOID
from benchmark.datasets.digest import split_digest
from benchmark.datasets.source import DatasetSplit, require_labels
from benchmark.inputs.augmentation import Draws, Policy, apply, draw
from benchmark.inputs.pixel_cache import cached


class Batch(TypedDict):
    """A training batch in the data types of the files: conversion is cheaper on the device."""

    inputs: Tensor
    """RGB, uint8, shape (batch, 3, height, width)"""
    labels: Tensor
    """uint8, shape (batch, height, width)"""


class Order:
    """Order of the images, and random generators of the other decisions of a run.

    A counter-based generator (Philox, Salmon et al., SC 2011) is seeked to the position of each decision, so that it
    does not depend on the number of earlier decisions.

    Args:
        key: identifies the run's batches, for example digest, protocol and seed.
        images: number of images in the dataset.
        batch_size: images per batch.
    """

    def __init__(self, key: str, images: int, batch_size: int) -> None:
        self.images, self.batch_size = images, batch_size
        self._key = np.frombuffer(hashlib.sha256(key.encode()).digest()[:16], dtype="<u8")
        self._permutation = lru_cache(maxsize=2)(self._draw_permutation)

    def indices(self, i: int) -> NDArray[np.int64]:
        """Return the dataset indices of the images of batch i, shape (batch_size,)."""
        first = i * self.batch_size
        epochs = range(first // self.images, (first + self.batch_size - 1) // self.images + 1)
        order = np.concatenate([self._permutation(epoch) for epoch in epochs])
        return order[first - epochs[0] * self.images :][: self.batch_size]

    def generator(self, stream: int, place: int, position: int = 0) -> np.random.Generator:
        """Return the generator of a kind of decisions for an epoch or a batch, and a position in the batch."""
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, position, place, stream]))

    def _draw_permutation(self, epoch: int) -> NDArray[np.int64]:
        return self.generator(stream=0, place=epoch).permutation(self.images)


class Decisions(Order):
    """Random decisions of a run: the images of each batch, and their augmentation.

    Args:
        key, images, batch_size: those of `Order`.
        policy: ranges of the augmentation.
    """

    def __init__(self, key: str, images: int, batch_size: int, policy: Policy) -> None:
        super().__init__(key, images, batch_size)
        self.policy = policy

    def augmentation(self, i: int) -> Draws:
        """Return the augmentation of the images of batch i."""
        return draw(self.generator(stream=1, place=i), self.batch_size, self.policy)


@DATASETS.register_module()
class TrainingBatches(Dataset[Batch]):
    """Training batches: item i is the whole batch i.

    Args:
        source: config of the training split, a `DatasetSplit`.
        batch_size: images in the global batch; a process of a distributed job gets its share.
        augmentation: settings of `augmentation.Policy`.
        protocol: name of the protocol.
        seed: seed of the run.
        length: number of batches of the run.
        void: label of void pixels, the networks' last output if they learn void like a class.
    """

    def __init__(
        self,
        source: Mapping[str, Any],
        batch_size: int,
        augmentation: Mapping[str, Any],
        protocol: str,
        seed: int,
        length: int,
        void: int = VOID,
    ) -> None:
        self.void = void
        self.source = _build(source)
        self.pixels = cached(self.source)
        self.metainfo = _metainfo(self.source)
        self.policy = Policy(**augmentation)
        key = f"{split_digest(self.source)}:{protocol}:{seed}"
        self.decisions = Decisions(key, len(self.source), batch_size, self.policy)
        self._length = length

    def __len__(self) -> int:
        return self._length

    def share(self, i: int) -> tuple[NDArray[np.int64], Draws]:
        """Return this process' share of batch i: indices of images, and their augmentation."""
        rank, processes = get_dist_info()
        mine = slice(rank, None, processes)
        return self.decisions.indices(i)[mine], self.decisions.augmentation(i).of(mine)

    def __getitem__(self, i: int) -> Batch:
        indices, draws = self.share(i)
        # One allocation for all images of the batch: an allocation per image costs as much as filling it.
        inputs = np.empty((len(indices), 3, *self.policy.crop_size), np.uint8)
        labels = np.empty((len(indices), *self.policy.crop_size), np.uint8)
        for index, drawn, picture, classes in zip(indices, draws.each(), inputs, labels, strict=True):
            image, label = self.pixels.image(index), self.pixels.label(index)
            apply(image, label, drawn, self.policy, picture, classes, self.void)
        return {"inputs": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}


@DATASETS.register_module()
class EvaluationImages(Dataset[dict[str, Any]]):
    """Unaugmented images, one per item, in the order of the split.

    Args:
        source: config of the split, a `DatasetSplit`.

    Raises:
        UserError: all labels are void.
    """

    def __init__(self, source: Mapping[str, Any]) -> None:
        self.source = _build(source)
        self.pixels = cached(self.source)
        require_labels("the split to evaluate", self.pixels.label, len(self.pixels))
        self.metainfo = _metainfo(self.source)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = self.pixels.image(index).copy(), self.pixels.label(index).copy()  # the originals are read-only
        name = self.source.names[index]
        return {"inputs": torch.from_numpy(image), "data_samples": sample(torch.from_numpy(label), name)}


@DATA_SAMPLERS.register_module()
class IterationSampler(Sampler[int]):
    """Iterations of a training in order; a resumed run begins at `start`."""

    def __init__(self, dataset: Sized, seed: int | None = None) -> None:
        self.dataset = dataset
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, len(self.dataset)))

    def __len__(self) -> int:
        return len(self.dataset) - self.start


@FUNCTIONS.register_module()
def whole_batch(batch: Batch) -> Batch:
    """Return the item unchanged: it is a whole batch."""
    return batch


def _build(source: Mapping[str, Any]) -> DatasetSplit:
    with DefaultScope.overwrite_default_scope("mmseg"):  # the process may have used another library's scope
        built: DatasetSplit = DATASETS.build(dict(source))
    return built


def sample(label: Tensor, name: str = "") -> SegDataSample:
    """Return the data sample that mmsegmentation expects for an image.

    Args:
        label: shape (height, width).
        name: the image's name.
    """
    shape = tuple(label.shape)
    made = SegDataSample(metainfo={"img_path": name, "ori_shape": shape, "img_shape": shape, "pad_shape": shape})
    made.gt_sem_seg = PixelData(data=label[None])
    return made


def _metainfo(source: DatasetSplit) -> dict[str, Any]:
    return {"classes": tuple(source.classes), "palette": [list(colour) for colour in source.palette]}
