"""The network of U-Net's Figure 1 (Ronneberger et al., arXiv 1505.04597), up to its last layer.

Details that the paper does not specify follow the authors' release of 2015-10-02, `phseg_v5-train.prototxt`: dropout of
one half at the end of the last two levels of the contracting path, and the order of concatenation, with up-convolved
maps before copied ones. If the release differs from the paper, the paper is followed: no ReLU after an up-convolution,
and the last one has 64 channels, not 128.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from benchmark.models.layers.memory_format import concatenate
from benchmark.models.layers.upsampling import crop

BORDER = 92
"""Pixels by which the output is smaller than the input, on each side.

Two unpadded 3x3 convolutions remove 2 pixels from each side of a map. At level l, where a pixel is 2^l of the image,
that is 2^(l+1): 2 + 4 + 8 + 16 in the contracting path, 32 at the lowest level, 16 + 8 + 4 + 2 in the expanding path.
"""

STRIDE = 16
"""Stride of the lowest level, in pixels of the image. Inputs that start at multiples of it have the same pooling
windows."""

OVERLAP = 4
"""Remainder of the side of an output on division by `STRIDE`; adjacent tiles on that grid share it.

Every pooling needs an even size: an input has 16n + 188 pixels, the output 184 fewer, 16n + 4 (Figure 1: 572 and
388, n = 24).
"""


class FigureOne(nn.Module):
    """Five levels down, four up, unpadded: 22 of the 23 convolutional layers; the head has the last one.

    Args:
        channels: channels of the first level; each further level has twice as many.
        dropout: dropout probability at the end of the contracting path.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(5)]
        upward = widths[::-1]
        self.down = nn.ModuleList(_convolutions(i, o) for i, o in pairwise([3, *widths]))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.up_conv = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in pairwise(upward))
        self.up = nn.ModuleList(_convolutions(i, o) for i, o in pairwise(upward))

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, 16n + 188, 16m + 188) to (N, channels, 16n + 4, 16m + 4); Figure 1: 572 -> 388."""
        copies = []
        x = image
        for level, convolutions in enumerate(self.down):
            x = convolutions(self.pool(x) if level else x)
            if level >= 3:
                x = self.dropout(x)
            copies.append(x)
        x = copies.pop()
        for up_conv, convolutions in zip(self.up_conv, self.up, strict=True):
            x = up_conv(x)
            x = convolutions(concatenate((x, _crop(copies.pop(), x))))
        return x


def _convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3),
        nn.ReLU(inplace=True),
    )


def _crop(x: Tensor, like: Tensor) -> Tensor:
    """Crop the centre of a map to the size of another."""
    height, width = like.shape[-2:]
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return crop(x, (height, width), top, left)
