"""EfficientNet (Tan and Le, arXiv 1905.11946) as the backbone of a feature pyramid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torchvision
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

LAST_OF_STRIDE = (2, 3, 5, 7)
"""Stages whose output is the last of its stride: 4, 8, 16, 32. Stage 0 is the stem; stages 4 and 6 share a stride with
the one after them."""


@MODELS.register_module()
class EfficientNet(BaseModule):
    """torchvision's EfficientNet up to its seventh stage, without the following 1x1 convolution and classifier.

    Names and padding are those of torchvision, because its ImageNet weights depend on them: it pads both sides equally,
    while the original in TensorFlow pads an even size more at the bottom and right. Stochastic depth is torchvision's,
    too: its probability increases linearly from block to block, up to 0.2.

    Args:
        variant: b0 to b4.
        norm_cfg: mmsegmentation's config of the normalisation layers. torchvision's weights of B0 to B4 need an
            epsilon of 1e-5, the original's 1e-3.
        init_cfg: mmengine's config of the initial weights, such as `torchvision://efficientnet_b4`.
    """

    def __init__(self, variant: str, norm_cfg: Mapping[str, Any], init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        network = torchvision.models.get_model(
            f"efficientnet_{variant}",
            weights=None,
            norm_layer=lambda channels: build_norm_layer(norm_cfg, channels)[1],
        )
        self.features = network.features[: LAST_OF_STRIDE[-1] + 1]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute P2 to P5.

        Args:
            image: (N, 3, H, W).

        Returns:
            For every stride s of 4, 8, 16, 32 a map (N, C, H/s, W/s), rounded up. C is 24, 40, 112, 320 in B0 and 32,
            56, 160, 448 in B4.
        """
        maps = []
        x = image
        for index, stage in enumerate(self.features):
            x = stage(x)
            if index in LAST_OF_STRIDE:
                maps.append(x)
        return tuple(maps)
