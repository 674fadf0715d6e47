"""The inference path of a segmentor: what runs between one image and its full-resolution class scores."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.registry import DefaultScope
from torch import Tensor, nn

import benchmark.registration  # noqa: F401
from benchmark.errors import UserError, one_line

from mmseg.registry import MODELS  # isort: skip


class Inference(nn.Module):
    """A segmentor as a plain function of images, in evaluation mode.

    `EncoderDecoder.forward(mode="tensor")` would not do: it leaves out the upsampling to the size of the input, and
    heads that refine an earlier prediction (PointRend) do not run in it.

    Args:
        model_cfg: config of the segmentor, as `compose.model_config` returns it.
        size: height and width of the input in pixels.

    Raises:
        UserError: a part of it is not installed, not registered, or does not take the arguments given.
    """

    def __init__(self, model_cfg: Mapping[str, Any], size: tuple[int, int]) -> None:
        super().__init__()
        with DefaultScope.overwrite_default_scope("mmseg"):
            try:
                self.segmentor = MODELS.build(copy.deepcopy(model_cfg))  # some segmentors write into their config
            except (KeyError, ImportError, TypeError, ValueError, AssertionError) as error:
                raise UserError(f"cannot be built: {one_line(error)}") from error
        self.size = size
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Class scores of normalised images.

        Args:
            images: (N, 3, height, width).

        Returns:
            (N, classes, height, width).
        """
        image = {"img_shape": self.size, "ori_shape": self.size, "pad_shape": self.size}
        scores: Tensor = self.segmentor.encode_decode(images, [image])
        return scores
