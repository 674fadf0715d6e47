"""Batches from mmsegmentation's pipelines, for datasets that are too large or of too varied sizes for cached pixels.

mmsegmentation's dataset class lists the images, its pipeline augments them, and worker processes prefetch batches.
Files are listed and decoded as in the rest of the package (`benchmark.datasets.listing`, `.decoding`):
`benchmark.inputs.transforms` replaces `LoadImageFromFile` and `LoadAnnotations` of a pipeline. As in
`benchmark.inputs.batches`, batch i is a function of (data, protocol, seed, i), independent of the worker and its
earlier batches.

The data loader sets the number of workers, which does not affect results. In a protocol:

    crop_size = (512, 1024)
    train_dataloader = dict(
        batch_size=None,  # an item is a whole batch
        num_workers=8,  # not persistent: a training starts them once and would wait for them at the end
        prefetch_factor=2,  # prefetched batches per worker
        pin_memory=True,  # so that copying to the device is asynchronous
        sampler=dict(type="IterationSampler"),
        collate_fn=dict(type="whole_batch"),
        dataset=dict(
            type="PipelineBatches",
            batch_size=8,
            crop_size=crop_size,
            dataset=dict(
                type="CityscapesDataset",
                data_root="data/cityscapes",
                data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
                pipeline=[
                    dict(type="LoadImageFromFile"),
                    dict(type="LoadAnnotations"),
                    dict(type="RandomResize", scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
                    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
                    dict(type="RandomFlip", prob=0.5),
                    dict(type="PhotoMetricDistortion"),
                    dict(type="PackSegInputs"),
                ],
            ),
        ),
    )

mmsegmentation's pipelines use OpenCV's channel order, BGR. It is converted once, at the end, so that a protocol's data
preprocessor gets RGB from every source of batches.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.dist import get_dist_info
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from benchmark.confusion import VOID
from benchmark.datasets.card import open_card
from benchmark.datasets.digest import listing_digest
from benchmark.datasets.listing import pairs_below, pairs_of, read_names, require_file
from benchmark.datasets.source import Split, require_labels
from benchmark.errors import UserError
from benchmark.inputs.augmentation import FILL
from benchmark.inputs.batches import Batch, Order, sample
from benchmark.inputs.transforms import LoadImage, LoadLabel, LoadSourceImage, LoadSourceLabel

AUGMENTATION = 2
"""Random stream of the decisions of a pipeline, separate from that of `augmentation.draw`."""


class Pipeline:
    """A dataset of mmsegmentation with its pipeline, as images and labels by index.

    Args:
        config: config of the dataset, with the name of its class.

    Attributes:
        names: one name per image, sorted: its path below the common folder, without the suffix. The order of lists
            is ignored, because the script that creates them for VOC with SBD does not fix it.
        metainfo: names and colours of the classes.
        digest: digest of the dataset, see `benchmark.datasets.digest.listing_digest`.

    Raises:
        UserError: the dataset is missing or empty, or lacks a file.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        try:
            with DefaultScope.overwrite_default_scope("mmseg"):  # the process may have used another library's scope
                self._dataset = DATASETS.build(_lazy(config))
                _replace_io(self._dataset)
                self._dataset.full_init()
        except (OSError, AssertionError, ValueError) as error:  # mmsegmentation's error for a missing or empty folder
            raise UserError(f"{config['type']} has no images, or wrong settings: {error}") from error
        found = [self._dataset.get_data_info(index) for index in range(len(self._dataset))]
        images = [Path(info["img_path"]) for info in found]
        names = [info["name"] for info in found] if isinstance(self._dataset, CardDataset) else _names(images)
        self._order = sorted(range(len(names)), key=names.__getitem__)
        self._images = [images[index] for index in self._order]
        self.names = [names[index] for index in self._order]
        self.digest = listing_digest(self.names, self._images)
        for info in found:
            require_file(Path(info["seg_map_path"]))
        known = self._dataset.metainfo
        self.metainfo = {"classes": tuple(known["classes"]), "palette": [list(colour) for colour in known["palette"]]}

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Run the pipeline on an image.

        Returns:
            The image, RGB, uint8 of shape (3, height, width); its label, uint8 of the shape after the pipeline; and
            the (height, width) of the file.

        Raises:
            UserError: a file cannot be decoded, a label value is not a class, or the pipeline has an unexpected
                output.
        """
        try:
            made = self._dataset[self._order[index]]
        except (OSError, AssertionError) as error:
            raise UserError(f"{self._images[index]}, or its label, cannot be decoded: {error}") from error
        if not (isinstance(made, dict) and "data_samples" in made and "gt_sem_seg" in made["data_samples"]):
            raise UserError("a pipeline of mmsegmentation must load the labels and end in PackSegInputs")
        image, packed = made["inputs"], made["data_samples"]
        if image.dtype != torch.uint8 or len(image) != 3:
            raise UserError(
                f"the pipeline returns images of {len(image)} channels in {image.dtype}: they must keep 3 channels "
                "of 8 bits, and are normalized on the device"
            )
        label = packed.gt_sem_seg.data[0]  # in 64 bits: values from other loaders may not fit in 8
        wrong = label[((label < 0) | (label >= len(self.metainfo["classes"]))) & (label != VOID)]
        if len(wrong):
            raise UserError(
                f"{self._images[index]}: its label has the value {wrong[0]}, but there are "
                f"{len(self.metainfo['classes'])} classes: are these the labels to train with?"
            )
        height, width = packed.ori_shape[:2]
        return image.flip(0), label.to(torch.uint8), (height, width)


@DATASETS.register_module()
class CardDataset(BaseSegDataset):
    """A split of a dataset that a card describes, for pipelines of mmsegmentation.

    Args:
        data_root: the card.
        split: "train", "val" or "test".
        kwargs: those of `BaseSegDataset`.

    Raises:
        UserError: the card cannot be read, or its data are not there.
    """

    def __init__(self, data_root: str, split: Split, **kwargs: Any) -> None:
        self.source = open_card(data_root, split)
        palette = [list(colour) for colour in self.source.palette]
        super().__init__(metainfo={"classes": self.source.classes, "palette": palette}, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the images of the split, each with its index."""
        return [
            {"img_path": str(image), "seg_map_path": str(label), "name": name, "index": index, "seg_fields": []}
            for index, (name, image, label) in enumerate(self.source.pairs())
        ]


@DATASETS.register_module()
class PipelineBatches(Dataset[Batch]):
    """Training batches: item i is the whole batch i.

    A pipeline draws from the global generators of Python, NumPy and PyTorch, which are seeded for each image from
    (data, protocol, seed, i, position in the batch), and restored. Generators that a transform owns are not seeded.

    Args:
        dataset: config of mmsegmentation's dataset, with its pipeline.
        batch_size: images in the global batch; a process of a distributed job gets its share.
        crop_size: (height, width) of a batch. A smaller image is placed at its top left, and padded with FILL, which
            normalization turns into 0, and void: mmsegmentation pads by the same rule, after normalization.
        protocol: name of the protocol.
        seed: seed of the run.
        length: number of batches of the run.
        void: label of void pixels, the networks' last output if they learn void like a class.

    Raises:
        UserError: the dataset is missing, or the images of its pipeline do not fit the crop.
    """

    def __init__(
        self,
        dataset: Mapping[str, Any],
        batch_size: int,
        crop_size: tuple[int, int],
        protocol: str,
        seed: int,
        length: int,
        void: int = VOID,
    ) -> None:
        self.pipeline = Pipeline(dataset)
        self.metainfo = self.pipeline.metainfo
        self.crop_size, self.void = crop_size, void
        self.order = Order(f"{self.pipeline.digest}:{protocol}:{seed}", len(self.pipeline), batch_size)
        self._length = length
        self._rank, self._processes = get_dist_info()  # a worker may not know
        self._image(0, 0, 0)  # reports an error of the pipeline in one line, not in a worker's traceback

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> Batch:
        indices = self.order.indices(i)
        mine = range(self._rank, len(indices), self._processes)
        inputs = torch.tensor(FILL, dtype=torch.uint8)[:, None, None].repeat(len(mine), 1, *self.crop_size)
        labels = torch.full((len(mine), *self.crop_size), self.void, dtype=torch.uint8)
        for position, picture, classes in zip(mine, inputs, labels, strict=True):
            image, label = self._image(int(indices[position]), i, position)
            height, width = label.shape
            picture[:, :height, :width] = image
            classes[:height, :width] = label if self.void == VOID else label.masked_fill(label == VOID, self.void)
        return {"inputs": inputs, "labels": labels}

    def _image(self, index: int, i: int, position: int) -> tuple[Tensor, Tensor]:
        """Return an image and its label, augmented for a position of batch i."""
        with _seeded(self.order.generator(AUGMENTATION, i, position)):
            image, label, _ = self.pipeline[index]
        size, largest = label.shape, self.crop_size
        if size != image.shape[1:]:
            raise UserError(
                f"the pipeline returns an image of {_by(image.shape[1:])} and a label of {_by(size)} pixels"
            )
        if size[0] > largest[0] or size[1] > largest[1]:
            raise UserError(
                f"the pipeline returns an image of {_by(size)} pixels, but a batch has {_by(largest)}: "
                f"crop it (RandomCrop with crop_size={tuple(largest)})"
            )
        return image, label


@DATASETS.register_module()
class PipelineImages(Dataset[dict[str, Any]]):
    """Images for evaluation through a test pipeline, one per item, with labels of the size of the files.

    mmsegmentation's test pipelines resize an image before they load its label; the scores of a network are resized
    back.

    Args:
        dataset: config of mmsegmentation's dataset, with its pipeline.

    Raises:
        UserError: the dataset is missing, or all of its labels are void.
    """

    def __init__(self, dataset: Mapping[str, Any]) -> None:
        self.pipeline = Pipeline(dataset)
        self.metainfo = self.pipeline.metainfo
        require_labels("the split to evaluate", lambda index: self.pipeline[index][1].numpy(), len(self.pipeline))

    def __len__(self) -> int:
        return len(self.pipeline)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label, original = self.pipeline[index]
        if label.shape != original:
            raise UserError(
                f"the pipeline resizes the label of {_by(original)} pixels to {_by(label.shape)}: "
                "to evaluate at the size of the files, load labels after the resize"
            )
        made = sample(label, self.pipeline.names[index])
        shape = tuple(image.shape[1:])
        made.set_metainfo({"img_shape": shape, "pad_shape": shape})
        return {"inputs": image, "data_samples": made}


@contextmanager
def _seeded(rng: np.random.Generator) -> Iterator[None]:
    """Seed the global generators from another one, and restore them afterwards."""
    generator = torch.default_generator
    before = random.getstate(), np.random.get_state(), generator.get_state()
    random.seed(rng.bytes(16))
    np.random.seed(rng.integers(1 << 32, size=4))
    generator.manual_seed(int(rng.integers(1 << 32)))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        generator.set_state(before[2])


def _lazy(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a dataset, and of its parts, with lazy file listing."""
    lazy = {**config, "lazy_init": True}
    if "datasets" in config:
        lazy["datasets"] = [_lazy(each) for each in config["datasets"]]
    if "dataset" in config:
        lazy["dataset"] = _lazy(config["dataset"])
    return lazy


def _parts(dataset: Any) -> list[BaseSegDataset]:
    """Yield the datasets that read files, for a dataset that may consist of others."""
    inner = getattr(dataset, "datasets", None) or [each for each in [getattr(dataset, "dataset", None)] if each]
    return [part for each in inner for part in _parts(each)] or [dataset]


def _replace_io(dataset: Any) -> None:
    """Replace the file listing and the file readers of a dataset by the suite's.

    Raises:
        UserError: it has no images. Parts of a joined dataset may be empty, such as VOC without SBD.
    """
    parts = _parts(dataset)
    for part in parts:
        _replace_readers(part)
    if not any(part.load_data_list() for part in parts):
        places = " and ".join(dict.fromkeys(part.ann_file or part.data_prefix["img_path"] for part in parts))
        raise UserError(f"{type(parts[0]).__name__} has no images in {places}")
    if hasattr(dataset, "datasets"):
        dataset.datasets = [each for each in dataset.datasets if any(part.load_data_list() for part in _parts(each))]


def _replace_readers(dataset: BaseSegDataset) -> None:
    if isinstance(dataset, CardDataset):
        readers: dict[type, Any] = {
            LoadImageFromFile: lambda step: LoadSourceImage(dataset.source, step.to_float32),
            LoadAnnotations: lambda _: LoadSourceLabel(dataset.source),
        }
        steps = dataset.pipeline.transforms
        steps[:] = [readers[type(step)](step) if type(step) in readers else step for step in steps]
        return
    if type(dataset).load_data_list is BaseSegDataset.load_data_list:
        dataset.load_data_list = partial(_listed, dataset)
    classes = len(dataset.METAINFO.get("classes") or dataset.metainfo["classes"])
    steps = dataset.pipeline.transforms
    for place, step in enumerate(steps):
        if type(step) is LoadImageFromFile:
            steps[place] = LoadImage(step.to_float32)
        elif type(step) is LoadAnnotations:
            if step.reduce_zero_label not in (None, dataset.reduce_zero_label):
                raise UserError(
                    f"reduce_zero_label is {dataset.reduce_zero_label} of {type(dataset).__name__} and "
                    f"{step.reduce_zero_label} of LoadAnnotations: set it for the dataset only"
                )
            steps[place] = LoadLabel(classes)


def _listed(dataset: BaseSegDataset) -> list[dict[str, Any]]:
    """Return the file list, like `BaseSegDataset.load_data_list`."""
    images, labels = (Path(dataset.data_prefix[kind]) for kind in ("img_path", "seg_map_path"))
    suffixes = dataset.img_suffix, dataset.seg_map_suffix
    if dataset.ann_file and not Path(dataset.ann_file).is_dir():
        found = pairs_of(read_names(Path(dataset.ann_file)), images, suffixes[0], labels, suffixes[1])
    else:
        found = pairs_below(images, suffixes[0], labels, suffixes[1])
    facts = {"label_map": dataset.label_map, "reduce_zero_label": dataset.reduce_zero_label}
    return [
        {"img_path": str(image), "seg_map_path": str(label), **facts, "seg_fields": []} for _, image, label in found
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    folder = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(folder).with_suffix("").as_posix() for path in paths]


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
