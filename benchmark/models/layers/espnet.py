"""The blocks of ESPNet (Mehta et al., ECCV 2018, arXiv 1803.06815, section 3).

Details that the paper does not specify follow the authors' code, github.com/sacmehta/ESPNet, `train/Model.py`:
convolutions have no bias, batch normalisation adds 1e-3 to the variance, PReLU has one slope per channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from benchmark.models.layers.memory_format import concatenate

Norm = Callable[[int], nn.Module]
"""Returns the normalisation layer for a number of channels."""

DILATIONS = (1, 2, 4, 8, 16)
"""Rates of the K = 5 parallel convolutions of an ESP module: 2^(k-1)."""


def batch_norm(norm_cfg: Mapping[str, Any]) -> Norm:
    """Return ESPNet's normalization layer; `norm_cfg` selects whether it is synchronized between processes.

    The authors use PyTorch's initial weights. In 2018 it drew the scales of batch normalisation uniformly from [0, 1];
    since PyTorch 1.2 they start at 1 (pytorch/pytorch#12259). Its other defaults have not changed.
    """

    def layer(channels: int) -> nn.Module:
        norm: nn.BatchNorm2d | nn.SyncBatchNorm = build_norm_layer({"eps": 1e-3, **norm_cfg}, channels)[1]
        nn.init.uniform_(norm.weight)
        return norm

    return layer


class NormAct(nn.Module):
    """Batch normalization and PReLU, which follow every convolution, ESP module and concatenation."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return self.act(self.norm(x))


class Conv3(NormAct):
    """3x3 convolution with normalisation and PReLU: Conv-3 of Figure 4."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm, stride: int = 1) -> None:
        super().__init__(out_channels, norm)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride), rounded up."""
        return super().forward(self.conv(x))


class ESP(NormAct):
    """Efficient spatial pyramid: reduce, split, transform, merge (Figure 1).

    The reduction has a fifth of the output channels, rounded down; the convolution with dilation 1 has the remaining
    ones. Maps are merged hierarchically against gridding artifacts: the maps of dilation 2 to 16 are summed
    successively before all are concatenated. In the authors' code the map of dilation 1 is concatenated, but not
    summed.

    Args:
        in_channels: channels of the input. If it equals `out_channels` and the stride is 1, the input is added to
            the output.
        out_channels: channels of the output.
        norm: returns a normalisation layer.
        stride: 2 for the strided module, which reduces with a 3x3 convolution instead of the pointwise one.

    Raises:
        ValueError: fewer output channels than dilations.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: Norm, stride: int = 1) -> None:
        super().__init__(out_channels, norm)
        narrow = out_channels // len(DILATIONS)
        if not narrow:
            raise ValueError(f"an ESP module needs at least {len(DILATIONS)} output channels, not {out_channels}")
        first = out_channels - narrow * (len(DILATIONS) - 1)
        kernel = 1 if stride == 1 else 3
        self.reduce = nn.Conv2d(in_channels, narrow, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.transform = nn.ModuleList(
            nn.Conv2d(narrow, first if rate == 1 else narrow, 3, padding=rate, dilation=rate, bias=False)
            for rate in DILATIONS
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride), rounded up."""
        reduced = self.reduce(x)
        first, *maps = (conv(reduced) for conv in self.transform)
        merged = [first, maps[0]]
        for each in maps[1:]:
            merged.append(merged[-1] + each)
        output = concatenate(merged)
        return super().forward(x + output if self.residual else output)
