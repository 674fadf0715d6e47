"""The scores, skips and upsamplings of FCN: Figure 3 of Long et al., arXiv 1411.4038.

Sizes and crops are those of the authors' code, github.com/shelhamer/fcn.berkeleyvision.org, `voc-fcn*s/net.py`. A crop
starts where two maps have the same position in the image. Output i of a layer of stride s, kernel k and padding p has
its centre at s * i + (k - 1) / 2 - p in its input, and a transposed convolution puts input i at s * i + (k - 1) / 2 in
its output. Since conv1_1 pads by 100, in pixels of the image

    pool3[i]           is at  8i + 3.5 - 99  =  8i - 95.5
    pool4[i]           is at 16i + 7.5 - 99  = 16i - 91.5
    score_fr[i]        is at 32(i + 3) + 15.5 - 99 = 32i + 12.5     (fc6 is 7x7)
    upscore2[i]        is at 16i + 12.5 - 24 = 16i - 11.5           as is pool4[i + 5]
    upscore_pool4[i]   is at  8i - 11.5 - 12 =  8i - 23.5           as is pool3[i + 9]
    the final upsampling's [i] is at i + 12.5 - 31.5 = i - 19 (32s), i - 11.5 - 15.5 = i - 27 (16s) and
                                     i - 23.5 - 7.5 = i - 31 (8s)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.upsampling import bilinear, crop

OFFSETS = {32: 19, 16: 27, 8: 31}
"""Start of the image in the output of the final upsampling, by its stride."""


@MODELS.register_module()
class FCNSkipHead(BaseDecodeHead):
    """FCN-32s, FCN-16s or FCN-8s on `FCNVGG16`.

    The final upsampling is fixed; the others are initialized with bilinear interpolation and learned (section 4.3,
    dense prediction). The authors' later code fixes all, which makes no significant difference according to its README;
    this class follows the paper. Scoring layers are initialized with zeros (section 4.3, optimization).

    Args:
        num_classes: number of classes.
        stride: stride of the finest scores: 32 has no skip, 16 that of pool4, 8 those of pool4 and pool3.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(self, num_classes: int, stride: int, **kwargs: Any) -> None:
        # fc7 includes dropout. The head's 1x1 classifier, conv_seg, is the authors' score_fr.
        super().__init__(4096, 4096, num_classes=num_classes, dropout_ratio=0, init_cfg=None, **kwargs)
        zero(self.conv_seg)
        self.fuse_pool4 = Fusion(512, num_classes, offset=5) if stride <= 16 else None
        self.fuse_pool3 = Fusion(256, num_classes, offset=9) if stride <= 8 else None
        self.upscore = Interpolation(num_classes, stride)
        self.offset = OFFSETS[stride]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the logits.

        Args:
            inputs: outputs of `FCNVGG16` for an image of (H, W).

        Returns:
            (N, num_classes, H, W).
        """
        image, pool3, pool4, fc7 = inputs
        score = self.cls_seg(fc7)
        if self.fuse_pool4 is not None:
            score = self.fuse_pool4(score, pool4)
        if self.fuse_pool3 is not None:
            score = self.fuse_pool3(score, pool3)
        return crop(self.upscore(score), image.shape[-2:], self.offset)


class Fusion(nn.Module):
    """Scores upsampled by 2, plus scores of a finer map.

    The transposed convolution is a full one, from every class to every class, as the authors define it.

    Args:
        channels: channels of the finer map.
        classes: number of classes.
        offset: start of the upsampled scores in the finer map.
    """

    def __init__(self, channels: int, classes: int, offset: int) -> None:
        super().__init__()
        self.upscore = nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False)
        self.score = nn.Conv2d(channels, classes, 1)
        self.offset = offset
        with torch.no_grad():
            self.upscore.weight.copy_(torch.eye(classes)[..., None, None] * bilinear(4))
        zero(self.score)

    def forward(self, score: Tensor, pool: Tensor) -> Tensor:
        """Map (N, classes, h, w) and (N, channels, about 2h, about 2w) to (N, classes, 2h + 2, 2w + 2)."""
        score = self.upscore(score)
        return score + crop(self.score(pool), score.shape[-2:], self.offset)


class Interpolation(nn.Module):
    """The fixed upsampling: a transposed convolution of kernel 2 * stride with one bilinear kernel for all classes.

    It has no parameters. The paper does not count any either: with those of a full 64x64 convolution its 134 M (Table
    1) would be 136 M.

    Args:
        classes: number of classes.
        stride: factor of the upsampling.
    """

    kernel: Tensor

    def __init__(self, classes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("kernel", bilinear(2 * stride).repeat(classes, 1, 1, 1), persistent=False)

    def forward(self, score: Tensor) -> Tensor:
        """Map (N, classes, h, w) to (N, classes, stride * (h + 1), stride * (w + 1))."""
        return F.conv_transpose2d(score, self.kernel, stride=self.stride, groups=len(self.kernel))


def zero(layer: nn.Conv2d) -> None:
    """Initialize a scoring layer with zeros."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
