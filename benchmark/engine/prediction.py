"""Prediction of label maps for single images, with given weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine import Config
from numpy.typing import NDArray
from torch import Tensor

from benchmark.confusion import VOID
from benchmark.engine import segmentor
from benchmark.engine.arithmetic import float32_arithmetic
from benchmark.engine.evaluation import predict
from benchmark.inputs.batches import sample


class Predictor:
    """A network that predicts label maps as in an evaluation.

    Args:
        config: from `compose.compose`.
        state: weights by name; auxiliary heads may be missing.
        device: "cpu" or "cuda".
        classes: number of classes; a network may have an output for void after them.
    """

    def __init__(self, config: Config, state: Mapping[str, Tensor], device: str, classes: int) -> None:
        self._model: Any = segmentor.build(config.model)
        self._model.load_state_dict(state, strict=False)
        self._model.to(device).eval()
        self._classes = classes

    @torch.no_grad()
    def __call__(self, image: NDArray[np.uint8], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Predict the label map of an image.

        Args:
            image: RGB, shape (height, width, 3).
            size: height and width that the image is resized to for the network, bilinearly, without aliasing; None
                for its own. Scores are resized to the size of the image.

        Returns:
            Class indices, 255 for void, shape (height, width).
        """
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        if size not in (None, image.shape[:2]):
            resized = F.interpolate(pixels[None].float(), size, mode="bilinear", antialias=True)
            pixels = resized[0].round().clamp(0, 255).to(torch.uint8)
        facts = sample(torch.empty(pixels.shape[1:], dtype=torch.uint8))
        facts.set_metainfo({"ori_shape": image.shape[:2]})
        with float32_arithmetic(tf32=False):
            (found,) = predict(self._model, {"inputs": [pixels], "data_samples": [facts]})
        labels: NDArray[np.uint8] = found.pred_sem_seg.data[0].cpu().numpy()
        return np.where(labels < self._classes, labels, np.uint8(VOID))
