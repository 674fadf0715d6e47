"""Inference path of a segmentor, from one image to its full-resolution class scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from benchmark.engine import segmentor


class Inference(nn.Module):
    """A segmentor as a plain function of images, in evaluation mode.

    `EncoderDecoder.forward(mode="tensor")` is not sufficient: it skips the upsampling to the input size, and heads that
    refine an earlier prediction (PointRend).

    Args:
        model_cfg: config of the segmentor, as returned by `compose.model_config`.
        size: height and width of the input in pixels.
        meta: build it on the meta device, without weights.

    Raises:
        UserError: see `segmentor.build`.
    """

    def __init__(self, model_cfg: Mapping[str, Any], size: tuple[int, int], *, meta: bool = False) -> None:
        super().__init__()
        self.segmentor: Any = segmentor.build(model_cfg, meta=meta)
        self.size = size
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Compute class scores of normalized images.

        Args:
            images: (N, 3, height, width).

        Returns:
            (N, classes, height, width).
        """
        image = {"img_shape": self.size, "ori_shape": self.size, "pad_shape": self.size}
        scores: Tensor = self.segmentor.encode_decode(images, [image])
        return scores
