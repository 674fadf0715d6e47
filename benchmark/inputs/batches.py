"""Batches without state: what a network sees is a function of (data, protocol, seed, i) and of nothing else.

Batch i holds the samples i x B to i x B + B - 1 of an endless sequence of epochs, each a permutation drawn from
(data digest, protocol, seed, epoch); its augmentation is drawn from (data digest, protocol, seed, i). So every
architecture of a leaderboard sees the very same batches, a run that was killed and resumed equals one that was not, and
the processes of a distributed job split the same global batch.
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
from benchmark.datasets.source import Source, require_labels
from benchmark.inputs.augmentation import Draws, Policy, apply, draw
from benchmark.inputs.pixel_cache import cached


class Batch(TypedDict):
    """A batch for training, as narrow as it lies on disk: what widens it is cheaper on the device."""

    inputs: Tensor
    """RGB, uint8, shape (batch, 3, height, width)"""
    labels: Tensor
    """uint8, shape (batch, height, width)"""


class Order:
    """Which images are in batch i, and where the other random decisions of a run come from.

    A counter-based generator (Philox, Salmon et al., SC 2011) is set to the place of each decision, so that none
    depends on how many were taken before it.

    Args:
        key: names the run's batches, for example by digest, protocol and seed.
        images: number of images in the dataset.
        batch_size: images a batch.
    """

    def __init__(self, key: str, images: int, batch_size: int) -> None:
        self.images, self.batch_size = images, batch_size
        self._key = np.frombuffer(hashlib.sha256(key.encode()).digest()[:16], dtype="<u8")
        self._permutation = lru_cache(maxsize=2)(self._draw_permutation)

    def indices(self, i: int) -> NDArray[np.int64]:
        """Indices into the dataset of the images of batch i, shape (batch_size,)."""
        first = i * self.batch_size
        epochs = range(first // self.images, (first + self.batch_size - 1) // self.images + 1)
        order = np.concatenate([self._permutation(epoch) for epoch in epochs])
        return order[first - epochs[0] * self.images :][: self.batch_size]

    def generator(self, stream: int, place: int, position: int = 0) -> np.random.Generator:
        """The generator of a kind of decisions at a place: an epoch or a batch, and a position in the batch."""
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, position, place, stream]))

    def _draw_permutation(self, epoch: int) -> NDArray[np.int64]:
        return self.generator(stream=0, place=epoch).permutation(self.images)


class Decisions(Order):
    """The random decisions of a run: which images are in batch i, and how each is augmented.

    Args:
        key, images, batch_size: those of `Order`.
        policy: what may be drawn.
    """

    def __init__(self, key: str, images: int, batch_size: int, policy: Policy) -> None:
        super().__init__(key, images, batch_size)
        self.policy = policy

    def augmentation(self, i: int) -> Draws:
        """How the images of batch i are augmented."""
        return draw(self.generator(stream=1, place=i), self.batch_size, self.policy)


@DATASETS.register_module()
class TrainingBatches(Dataset[Batch]):
    """Batches for training: item i is the whole batch i.

    Args:
        source: config of the training split, a `Source`.
        batch_size: images in the global batch; a process of a distributed job gets its share.
        augmentation: settings of `augmentation.Policy`.
        protocol: name of the protocol.
        seed: seed of the run.
        length: number of batches of the run.
        void: label of pixels without ground truth, the networks' last output where they learn void like a class.
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
        """This process' share of batch i: which images, and how they are augmented."""
        rank, processes = get_dist_info()
        mine = slice(rank, None, processes)
        return self.decisions.indices(i)[mine], self.decisions.augmentation(i).of(mine)

    def __getitem__(self, i: int) -> Batch:
        indices, draws = self.share(i)
        # Two blocks of memory for the batch: taking one for each image from the system costs as much as filling it.
        inputs = np.empty((len(indices), 3, *self.policy.crop_size), np.uint8)
        labels = np.empty((len(indices), *self.policy.crop_size), np.uint8)
        for index, drawn, picture, classes in zip(indices, draws.each(), inputs, labels, strict=True):
            image, label = self.pixels.image(index), self.pixels.label(index)
            apply(image, label, drawn, self.policy, picture, classes, self.void)
        return {"inputs": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}


@DATASETS.register_module()
class EvaluationImages(Dataset[dict[str, Any]]):
    """Images as they are, one an item, in the order of the split.

    Args:
        source: config of the split, a `Source`.

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
    """Iterations of training in their order, from `start` on: where a resumed run goes on."""

    def __init__(self, dataset: Sized, seed: int | None = None) -> None:
        self.dataset = dataset
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, len(self.dataset)))

    def __len__(self) -> int:
        return len(self.dataset) - self.start


@FUNCTIONS.register_module()
def whole_batch(batch: Batch) -> Batch:
    """Collate nothing: the item is the batch already."""
    return batch


def _build(source: Mapping[str, Any]) -> Source:
    with DefaultScope.overwrite_default_scope("mmseg"):  # whatever library the process worked with before
        built: Source = DATASETS.build(dict(source))
    return built


def sample(label: Tensor, name: str = "") -> SegDataSample:
    """What mmsegmentation wants to know of an image besides its pixels.

    Args:
        label: shape (height, width).
        name: the image's name.
    """
    shape = tuple(label.shape)
    made = SegDataSample(metainfo={"img_path": name, "ori_shape": shape, "img_shape": shape, "pad_shape": shape})
    made.gt_sem_seg = PixelData(data=label[None])
    return made


def _metainfo(source: Source) -> dict[str, Any]:
    return {"classes": tuple(source.classes), "palette": [list(colour) for colour in source.palette]}
