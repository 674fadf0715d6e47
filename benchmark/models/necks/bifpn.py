"""BiFPN, the bidirectional feature pyramid of EfficientDet (Tan, Pang and Le, arXiv 1911.09070, section 3).

Details that the paper does not specify follow the authors' code, github.com/google/automl,
`efficientdet/keras/fpn_configs.py` and `efficientdet_keras.py`: P6 is P5, projected and pooled, and P7 is P6 pooled;
the fused map of a node is activated, convolved and normalised, in this order; maps are upsampled by nearest neighbour
and downsampled by 3x3 max-pooling of stride 2; the first layer projects P3 to P5 twice, for the top-down path and for
the extra edges. Max-pooling pads both sides equally, like the backbone's convolutions, so that its windows have the
same positions; TensorFlow pads an even size at the bottom and right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add, mul
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.efficientdet import PointwiseConv, SeparableConv


@MODELS.register_module()
class BiFPN(BaseModule):
    """Layers of a top-down and a bottom-up path over P2 to P7, for a head that reads only P2 (section 5.2).

    P2 is complete at the end of the top-down path. The last layer ends there, because its bottom-up path would be
    unused and never trained.

    Args:
        in_channels: channels of P2 to P5.
        channels: channels of all levels in the pyramid.
        layers: number of layers, at least 2.
        norm_cfg: mmsegmentation's config of the normalisation layers.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        layers: int,
        norm_cfg: Mapping[str, Any],
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.p6 = PointwiseConv(in_channels[-1], channels, norm_cfg)
        self.laterals = nn.ModuleList(PointwiseConv(c, channels, norm_cfg) for c in in_channels)
        self.extra_laterals = nn.ModuleList(PointwiseConv(c, channels, norm_cfg) for c in in_channels[1:])
        self.top_down = nn.ModuleList(TopDownPath(channels, norm_cfg) for _ in range(layers))
        self.bottom_up = nn.ModuleList(BottomUpPath(channels, norm_cfg) for _ in range(layers - 1))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """Compute P2 of the last layer.

        Args:
            maps: P2 to P5, (N, C, H/s, W/s) for the strides s of 4, 8, 16, 32.

        Returns:
            (N, channels, H/4, W/4), in a tuple.
        """
        p6 = _downsample(self.p6(maps[-1]))
        p7 = _downsample(p6)
        inputs = [*(lateral(m) for lateral, m in zip(self.laterals, maps, strict=True)), p6, p7]
        extra = [*(lateral(m) for lateral, m in zip(self.extra_laterals, maps[1:], strict=True)), p6, p7]
        for top_down, bottom_up in zip(self.top_down[:-1], self.bottom_up, strict=True):
            inputs = bottom_up(extra, top_down(inputs))
            extra = inputs[1:]
        return (self.top_down[-1](inputs)[0],)


class TopDownPath(nn.Module):
    """From P7 to P2, of which P2 is an output of the layer and the others are intermediate (Figure 2d)."""

    def __init__(self, channels: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.nodes = nn.ModuleDict({f"p{level}": Node(2, channels, norm_cfg) for level in (6, 5, 4, 3, 2)})

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Fuse every level with the one above it.

        Args:
            inputs: P2 to P7, (N, channels, h, w) each.

        Returns:
            P2 to P6, in unchanged sizes.
        """
        *levels, above = inputs
        fused: list[Tensor] = []
        for node, level in zip(self.nodes.values(), reversed(levels), strict=True):
            enlarged = F.interpolate(above, size=level.shape[-2:], mode="nearest").to(above.dtype)  # undo autocast
            above = node(level, enlarged)
            fused.insert(0, above)
        return fused


class BottomUpPath(nn.Module):
    """From P2 to P7: the outputs of the layer (Figure 2d)."""

    def __init__(self, channels: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        # P7 has no intermediate feature: a node with one input edge has nothing to fuse.
        edges = {"p3": 3, "p4": 3, "p5": 3, "p6": 3, "p7": 2}
        self.nodes = nn.ModuleDict({level: Node(number, channels, norm_cfg) for level, number in edges.items()})

    def forward(self, extra: Sequence[Tensor], intermediate: Sequence[Tensor]) -> list[Tensor]:
        """Fuse every level with the one below it.

        Args:
            extra: the layer's inputs P3 to P7, (N, channels, h, w) each: the edges from an input to the output of
                its level.
            intermediate: P2 to P6 of the top-down path.

        Returns:
            P2 to P7, in unchanged sizes.
        """
        *nodes, p7 = self.nodes.values()
        p2, *between = intermediate
        outputs = [p2]
        for node, *level in zip(nodes, extra[:-1], between, strict=True):
            outputs.append(node(*level, _downsample(outputs[-1])))
        outputs.append(p7(extra[-1], _downsample(outputs[-1])))
        return outputs


class Node(nn.Module):
    """Fast normalised fusion of maps of one size, then activation and convolution (section 3.3).

    Args:
        edges: number of maps.
        channels: channels of the maps and of the output.
        norm_cfg: mmsegmentation's config of the normalisation layers.
    """

    def __init__(self, edges: int, channels: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(edges))
        self.conv = SeparableConv(channels, channels, norm_cfg)

    def fuse(self, *maps: Tensor) -> Tensor:
        """Return approximately the weighted mean: the weights are at least 0 and sum to slightly less than 1."""
        weights = F.relu(self.weights)
        weights = weights / (weights.sum() + 1e-4)
        fused: Tensor = reduce(add, map(mul, weights.unbind(), maps))
        return fused

    def forward(self, *maps: Tensor) -> Tensor:
        """Map one (N, channels, H, W) per edge to (N, channels, H, W)."""
        return self.conv(F.silu(self.fuse(*maps)))


def _downsample(x: Tensor) -> Tensor:
    """Map (N, C, H, W) to (N, C, H/2, W/2), rounded up."""
    return F.max_pool2d(x, 3, stride=2, padding=1)
