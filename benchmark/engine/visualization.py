"""Hook that draws predictions where mmsegmentation's tools ask for it: `tools/test.py --show-dir`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmseg.engine.hooks import SegVisualizationHook

if TYPE_CHECKING:
    from mmseg.structures import SegDataSample


@HOOKS.register_module()
class BatchVisualizationHook(SegVisualizationHook):
    """mmsegmentation's hook for images that are drawn from their batch, as they need not be in a file.

    Every `interval`-th image is drawn, not every `interval`-th batch, which has several.
    """

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any],
        outputs: Sequence[SegDataSample],
        mode: str = "val",
    ) -> None:
        if not self.draw or mode == "train":
            return
        first = batch_idx * (runner.val_dataloader if mode == "val" else runner.test_dataloader).batch_size
        for index, (image, sample) in enumerate(zip(data_batch["inputs"], outputs, strict=True), start=first + 1):
            if index % self.interval == 0:
                height, width = sample.ori_shape
                self._visualizer.add_datasample(
                    f"{mode}_{sample.img_path.replace('/', '_')}",
                    cv2.resize(image.permute(1, 2, 0).cpu().numpy(), (width, height)),
                    data_sample=sample,
                    show=self.show,
                    wait_time=self.wait_time,
                    step=runner.iter,
                )
