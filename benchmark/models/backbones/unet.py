"""U-Net of mmsegmentation for images of any size."""

from __future__ import annotations

from itertools import accumulate
from operator import mul

import torch.nn.functional as F
from mmseg.models.backbones import UNet
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class PaddedUNet(UNet):
    """U-Net whose input may have any size.

    mmsegmentation's refuses sizes that are not divisible by its stride, such as CamVid's 360x480. Here such an input is
    zero-padded at the bottom and right, and the maps are cropped. For divisible sizes, results are the same.
    """

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the maps from the coarsest to the finest.

        Args:
            x: (N, in_channels, H, W).

        Returns:
            A map (N, C, ceil(H/s), ceil(W/s)) for every stage of stride s.
        """
        halved = (stride == 2 or down for stride, down in zip(self.strides[1:], self.downsamples, strict=True))
        strides = list(accumulate((2 if half else 1 for half in halved), mul, initial=1))
        height, width = x.shape[-2:]
        below, right = -height % strides[-1], -width % strides[-1]
        if below or right:
            x = F.pad(x, (0, right, 0, below))
        maps = super().forward(x)
        return [m[..., : -(-height // s), : -(-width // s)] for m, s in zip(maps, reversed(strides), strict=True)]
