"""The blocks of ENet (Paszke et al., arXiv 1606.02147, Figure 2 and section 3).

Details that the paper does not specify follow the authors' code, github.com/e-lab/ENet-training,
`train/models/encoder.lua` and `decoder.lua`: an extension reduces to a quarter of its *output* channels, the
convolution in its middle has a bias, no layer separates the two asymmetric convolutions, and batch normalisation adds
1e-3 to the variance.

In the paper all sizes that are halved are even. Here an odd size is rounded up, by the 3x3 convolution of the initial
block and by every pooling, and the decoder restores the sizes of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from benchmark.models.layers.memory_format import concatenate
from benchmark.models.layers.unpool import max_unpool
from benchmark.models.layers.upsampling import crop

Layer = Callable[[int], nn.Module]
"""Returns the layer for a number of channels."""


def batch_norm(norm_cfg: Mapping[str, Any]) -> Layer:
    """Return ENet's normalization layer; `norm_cfg` selects whether it is synchronized between processes."""
    return lambda channels: build_norm_layer({"eps": 1e-3, **norm_cfg}, channels)[1]


def relu(channels: int) -> nn.Module:
    """Return a ReLU: the decoder's activation; the encoder has PReLU with one slope per channel (section 4)."""
    return nn.ReLU(inplace=True)


class InitialBlock(nn.Module):
    """3x3 convolution of stride 2 and 2x2 max-pooling of the image, concatenated (Figure 2a)."""

    def __init__(self, in_channels: int, out_channels: int, norm: Layer) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels - in_channels, 3, stride=2, padding=1)
        self.norm = norm(out_channels)
        self.act = nn.PReLU(out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/2, W/2)."""
        pooled = F.max_pool2d(image, 2, ceil_mode=True)
        return self.act(self.norm(concatenate((self.conv(image), pooled))))


class Bottleneck(nn.Module):
    """The bottleneck that keeps its size: regular, dilated or asymmetric (Figure 2b).

    Args:
        channels: channels of input and output.
        norm: returns a normalisation layer.
        act: returns an activation layer.
        dilation: dilation of the 3x3 convolution.
        asymmetric: 5 for a 5x5 convolution decomposed into 1x5 and 5x1, in place of the 3x3 convolution.
        dropout: probability of the regulariser, spatial dropout.
    """

    def __init__(
        self,
        channels: int,
        norm: Layer,
        act: Layer = nn.PReLU,
        dilation: int = 1,
        asymmetric: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        narrow = channels // 4
        conv: nn.Module
        if asymmetric:
            conv = nn.Sequential(
                nn.Conv2d(narrow, narrow, (1, asymmetric), padding=(0, asymmetric // 2), bias=False),
                nn.Conv2d(narrow, narrow, (asymmetric, 1), padding=(asymmetric // 2, 0)),
            )
        else:
            conv = nn.Conv2d(narrow, narrow, 3, padding=dilation, dilation=dilation)
        projection = nn.Conv2d(channels, narrow, 1, bias=False)
        self.extension = _extension(projection, conv, channels, norm, act, dropout)
        self.act = act(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return self.act(x + self.extension(x))


class DownsamplingBottleneck(nn.Module):
    """The bottleneck that halves its input (Figure 2b).

    The main branch has a 2x2 max-pooling and zeros as further channels, the extension a 2x2 projection of stride 2.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: Layer, dropout: float) -> None:
        super().__init__()
        narrow = out_channels // 4
        projection = nn.Conv2d(in_channels, narrow, 2, stride=2, bias=False)
        conv = nn.Conv2d(narrow, narrow, 3, padding=1)
        self.extension = _extension(projection, conv, out_channels, norm, nn.PReLU, dropout)
        self.padding = out_channels - in_channels
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, in_channels, H, W) to (N, out_channels, H/2, W/2) and the indices of in_channels maxima."""
        main, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        main = F.pad(main, (0, 0, 0, 0, 0, self.padding))
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2))
        return self.act(main + self.extension(x)), indices


class UpsamplingBottleneck(nn.Module):
    """The decoder's bottleneck that doubles its input (Figure 2b, section 3).

    In the main branch a 1x1 convolution without bias replaces the padding and max-unpooling the max-pooling; in the
    extension a transposed convolution (the paper's full convolution) replaces the convolution in the middle.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: Layer) -> None:
        super().__init__()
        narrow = out_channels // 4
        self.main = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), norm(out_channels))
        projection = nn.Conv2d(in_channels, narrow, 1, bias=False)
        conv = nn.ConvTranspose2d(narrow, narrow, 3, stride=2, padding=1, output_padding=1)
        self.extension = _extension(projection, conv, out_channels, norm, relu, dropout=0.0)
        self.act = relu(out_channels)

    def forward(self, x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (N, in_channels, h, w) to (N, out_channels, H, W).

        Args:
            x: the input.
            indices: (N, out_channels, h, w), of the downsampling bottleneck that this one mirrors.
            size: (H, W) before that bottleneck: 2h or, if that was odd, 2h - 1; the same for W.
        """
        main = max_unpool(self.main(x), indices, size)
        return self.act(main + crop(self.extension(x), size))


def _extension(
    projection: nn.Conv2d, conv: nn.Module, out_channels: int, norm: Layer, act: Layer, dropout: float
) -> nn.Sequential:
    """Build projection, convolution, expansion and regulariser, without final activation (Figure 2b, right branch)."""
    narrow = projection.out_channels
    return nn.Sequential(
        projection,
        norm(narrow),
        act(narrow),
        conv,
        norm(narrow),
        act(narrow),
        nn.Conv2d(narrow, out_channels, 1, bias=False),
        norm(out_channels),
        nn.Dropout2d(dropout) if dropout else nn.Identity(),
    )
