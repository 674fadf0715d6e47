"""ShuffleNet, 1x with 8 groups (Zhang et al., arXiv 1707.01083, Table 1 and Figure 2), as used by LiteSeg.

Details that the paper does not specify follow the code of LiteSeg's authors, github.com/tahaemara/LiteSeg,
`models/backbone_networks/ShuffleNet.py`, so that their ImageNet weights load: all convolutions have a bias, and neither
normalisation nor activation follows Conv1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.memory_format import concatenate, is_channels_last

GROUPS = 8

Norm = Callable[[int], nn.Module]


@MODELS.register_module()
class ShuffleNet(BaseModule):
    """Conv1, MaxPool and stages 2 to 4 of Table 1; weights start from PyTorch's defaults.

    Args:
        norm_cfg: mmsegmentation's config of the normalisation layers.
        init_cfg: mmengine's config of initial weights.
    """

    def __init__(self, norm_cfg: Mapping[str, Any], init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(init_cfg)

        def norm(channels: int) -> nn.Module:
            return build_norm_layer(norm_cfg, channels)[1]

        unit = partial(ShuffleNetUnit, norm=norm)
        self.conv1 = nn.Conv2d(3, 24, 3, stride=2, padding=1)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        # The first pointwise convolution is not grouped: its input is narrow (section 3.2).
        self.stage2 = nn.Sequential(unit(24, 384, stride=2, groups=1), *(unit(384, 384) for _ in range(3)))
        self.stage3 = nn.Sequential(unit(384, 768, stride=2), *(unit(768, 768) for _ in range(7)))
        self.stage4 = nn.Sequential(unit(768, 1536, stride=2), *(unit(1536, 1536) for _ in range(3)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) to (N, 384, H/8, W/8) and (N, 1536, H/32, W/32), rounded up at each halving."""
        stage2 = self.stage2(self.maxpool(self.conv1(image)))
        return stage2, self.stage4(self.stage3(stage2))


class ShuffleNetUnit(nn.Module):
    """Pointwise group convolution, channel shuffle, depthwise convolution, pointwise group convolution (Figure 2b, c).

    With stride 1 it adds its input. With stride 2 it concatenates the average-pooled input, so that its last
    convolution has fewer output channels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; the bottleneck has a quarter of them.
        norm: returns a normalisation layer for a number of channels.
        stride: 1 or 2.
        groups: groups of the first pointwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: Norm, stride: int = 1, groups: int = GROUPS) -> None:
        super().__init__()
        narrow = out_channels // 4
        self.stride = stride
        expanded = out_channels if stride == 1 else out_channels - in_channels
        self.compress = nn.Sequential(
            nn.Conv2d(in_channels, narrow, 1, groups=groups), norm(narrow), nn.ReLU(inplace=True)
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(narrow, narrow, 3, stride=stride, padding=1, groups=narrow), norm(narrow)
        )
        self.expand = nn.Sequential(nn.Conv2d(narrow, expanded, 1, groups=GROUPS), norm(expanded))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride), rounded up."""
        residual = self.expand(self.depthwise(shuffle(self.compress(x))))
        if self.stride == 1:
            return F.relu(x + residual)
        return F.relu(concatenate((F.avg_pool2d(x, 3, stride=2, padding=1), residual)))


def shuffle(x: Tensor) -> Tensor:
    """Shuffle channels (Figure 1c): of (N, GROUPS * n, H, W) channel i of group g becomes channel g of group i."""
    batch, channels, height, width = x.shape
    if is_channels_last(x):
        last = x.permute(0, 2, 3, 1).unflatten(-1, (GROUPS, channels // GROUPS))
        return last.transpose(-2, -1).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
    grouped = x.view(batch, GROUPS, channels // GROUPS, height, width)
    return grouped.transpose(1, 2).reshape(batch, channels, height, width)
