"""The blocks of GCN (Peng et al., arXiv 1703.02719, Figure 2 and sections 3.1 and 3.2).

The parameter counts of Table 2, in thousands, do not show whether the convolutions have biases; here they do, the
default of Caffe. The paper only states that the deconvolutions are learned; here they are FCN's (arXiv 1411.4038):
4x4, without bias, initialized with bilinear interpolation.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchmark.models.layers.upsampling import bilinear


class GlobalConvolution(nn.Module):
    """A k x k convolution of low rank: the sum of k x 1 then 1 x k, and 1 x k then k x 1 (Figure 2B).

    There is no normalisation or activation in between.

    Args:
        in_channels: channels of the input.
        channels: channels of the output, in the paper the number of classes.
        k: size of the kernel, odd.
    """

    def __init__(self, in_channels: int, channels: int, k: int) -> None:
        super().__init__()
        vertical = partial(nn.Conv2d, kernel_size=(k, 1), padding=(k // 2, 0))
        horizontal = partial(nn.Conv2d, kernel_size=(1, k), padding=(0, k // 2))
        self.left = nn.Sequential(vertical(in_channels, channels), horizontal(channels, channels))
        self.right = nn.Sequential(horizontal(in_channels, channels), vertical(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        return self.left(x) + self.right(x)


class BoundaryRefinement(nn.Module):
    """A score map S and its residual: S + R(S), R being 3x3 convolution, ReLU, 3x3 convolution (Figure 2C)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(classes, classes, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(classes, classes, 3, padding=1),
        )

    def forward(self, score: Tensor) -> Tensor:
        """Map (N, classes, H, W) to (N, classes, H, W)."""
        return score + self.residual(score)


class Deconvolution(nn.ConvTranspose2d):
    """Learned upsampling of a score map by two, initialized with bilinear interpolation of each class."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, classes, 4, stride=2, padding=1, bias=False)

    def reset_parameters(self) -> None:
        """Initialize with separate bilinear interpolation of each class."""
        with torch.no_grad():
            self.weight.copy_(torch.eye(self.in_channels)[..., None, None] * bilinear(4))
