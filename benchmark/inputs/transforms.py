"""Load images and labels in pipelines of mmsegmentation by the suite's own reader, `benchmark.datasets.decoding`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from benchmark.datasets.decoding import decode_image, decode_label
from benchmark.datasets.source import DatasetSplit


class LoadImage(BaseTransform):
    """Loads an image; replaces mmcv's `LoadImageFromFile`.

    Reads `img_path`; adds `img`, of shape (height, width, 3), BGR, `img_shape` and `ori_shape`.

    Args:
        to_float32: convert the image to float32.
    """

    def __init__(self, to_float32: bool = False) -> None:
        self.to_float32 = to_float32

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image; raises `UserError` like `decode_image`."""
        image = decode_image(Path(results["img_path"]), "BGR")
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results


class LoadLabel(BaseTransform):
    """Loads a label; replaces mmsegmentation's `LoadAnnotations`.

    Reads `seg_map_path`, `img_path`, `ori_shape`, `label_map` and `reduce_zero_label`; adds `gt_seg_map`, uint8 of
    shape (height, width), 255 for void.

    Args:
        classes: number of classes in the files, before `label_map` is applied.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the label; raises `UserError` like `decode_label`."""
        first = int(bool(results["reduce_zero_label"]))
        image, label_file = Path(results["img_path"]), Path(results["seg_map_path"])
        label = decode_label(label_file, image, self.classes, first, shape=results.get("ori_shape"))
        if results.get("label_map"):
            chosen = np.arange(256, dtype=np.uint8)
            chosen[list(results["label_map"])] = list(results["label_map"].values())
            label = chosen[label]
        results["gt_seg_map"] = label
        results["seg_fields"].append("gt_seg_map")
        return results


class LoadSourceImage(BaseTransform):
    """Loads an image of a split by its index, instead of mmcv's `LoadImageFromFile`.

    Reads `index`; adds what `LoadImage` adds.

    Args:
        source: the split.
        to_float32: convert the image to float32.
    """

    def __init__(self, source: DatasetSplit, to_float32: bool = False) -> None:
        self.source, self.to_float32 = source, to_float32

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image; raises `UserError` as the split does."""
        image = np.ascontiguousarray(self.source.image(results["index"])[..., ::-1])
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results


class LoadSourceLabel(BaseTransform):
    """Loads the label of an image of a split by its index, instead of mmsegmentation's `LoadAnnotations`.

    Args:
        source: the split.
    """

    def __init__(self, source: DatasetSplit) -> None:
        self.source = source

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the label; raises `UserError` as the split does."""
        results["gt_seg_map"] = self.source.label(results["index"])
        results["seg_fields"].append("gt_seg_map")
        return results
