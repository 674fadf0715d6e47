"""MobileNetV2 (Sandler et al., arXiv 1801.04381) at output stride 32, as used by LiteSeg."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torchvision
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

LOW = 4
"""Layers up to the last bottleneck of stride 4: the first convolution, one bottleneck of 16 channels, two of 24."""


@MODELS.register_module()
class TorchvisionMobileNetV2(BaseModule):
    """torchvision's MobileNetV2 with its last 1x1 convolution and without its classifier.

    mmsegmentation's own ends before that convolution, with 320 channels. Names and initial weights are torchvision's,
    so that its ImageNet weights load unchanged.

    Args:
        norm_cfg: mmsegmentation's config of the normalisation layers.
        init_cfg: mmengine's config of initial weights, such as `torchvision://mobilenet_v2`.
    """

    def __init__(self, norm_cfg: Mapping[str, Any], init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        network = torchvision.models.mobilenet_v2(
            weights=None, norm_layer=lambda channels: build_norm_layer(norm_cfg, channels)[1]
        )
        self.features = network.features

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) to (N, 24, H/4, W/4) and (N, 1280, H/32, W/32), rounded up."""
        low = self.features[:LOW](image)
        return low, self.features[LOW:](low)
