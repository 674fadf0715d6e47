"""Darknet-19 (Redmon and Farhadi, arXiv 1612.08242, Table 6) at output stride 16, as used by LiteSeg."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class Darknet19(BaseModule):
    """All convolutions of Table 6 except its classifier, without the last pooling, and dilated from there on.

    Padding is that of LiteSeg's authors, github.com/tahaemara/LiteSeg, `models/backbone_networks/darknet.py`, because
    the published cost and accuracy are of that network: three 1x1 convolutions pad their input by a pixel, and the
    dilated 3x3 convolutions, whose padding of 1 is one too small, remove these pixels again. Sizes equal those with the
    usual padding.

    Weights start from PyTorch's defaults.

    Args:
        norm_cfg: mmsegmentation's config of the normalisation layers.
        init_cfg: mmengine's config of initial weights.
    """

    def __init__(self, norm_cfg: Mapping[str, Any], init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(init_cfg)

        def norm(channels: int) -> nn.Module:
            return build_norm_layer(norm_cfg, channels)[1]

        conv3x3 = partial(_convolution, norm=norm, kernel_size=3, padding=1)
        conv1x1 = partial(_convolution, norm=norm, kernel_size=1)
        dilated = partial(conv3x3, dilation=2)

        self.stage1 = conv3x3(3, 32)
        self.stage2 = conv3x3(32, 64)
        self.stage3 = nn.Sequential(conv3x3(64, 128), conv1x1(128, 64), conv3x3(64, 128))
        self.stage4 = nn.Sequential(conv3x3(128, 256), conv1x1(256, 128), conv3x3(128, 256))
        self.stage5 = nn.Sequential(
            conv3x3(256, 512),
            conv1x1(512, 256, padding=1),
            conv3x3(256, 512),
            conv1x1(512, 256, padding=1),
            conv3x3(256, 512),
        )
        self.stage6 = nn.Sequential(
            dilated(512, 1024),
            conv1x1(1024, 512, padding=1),
            dilated(512, 1024),
            conv1x1(1024, 512),
            dilated(512, 1024),
        )
        self.maxpool = nn.MaxPool2d(2, stride=2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) to (N, 128, H/4, W/4) and (N, 1024, H/16, W/16), rounded down."""
        x = self.maxpool(self.stage1(image))
        x = self.maxpool(self.stage2(x))
        low = self.stage3(x)
        x = self.stage4(self.maxpool(low))
        x = self.stage5(self.maxpool(x))
        return low, self.stage6(x)


def _convolution(
    in_channels: int,
    out_channels: int,
    norm: Callable[[int], nn.Module],
    kernel_size: int,
    padding: int = 0,
    dilation: int = 1,
) -> nn.Sequential:
    """Build a convolution with batch normalization and leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False),
        norm(out_channels),
        nn.LeakyReLU(0.1, inplace=True),
    )
