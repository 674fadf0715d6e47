"""The decoder of ENet: Table 1 of Paszke et al., arXiv 1606.02147, from stage 4 to `fullconv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.enet import Bottleneck, UpsamplingBottleneck, batch_norm, relu


@MODELS.register_module()
class ENetDecoder(BaseDecodeHead):
    """Two max-unpoolings with the encoder's indices, then a transposed convolution to full resolution.

    The indices of the initial block's pooling are not used: it pools the 3 channels of the image, but the output has
    one channel per class (section 3).

    Args:
        num_classes: number of classes.
        norm_cfg: mmsegmentation's config of the normalisation layers.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(self, num_classes: int, norm_cfg: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(
            in_channels=128,
            channels=16,
            num_classes=num_classes,
            in_index=2,
            dropout_ratio=0,
            norm_cfg=norm_cfg,
            init_cfg=None,
            **kwargs,
        )
        norm = batch_norm(norm_cfg)
        self.bottleneck4_0 = UpsamplingBottleneck(128, 64, norm)
        self.stage4 = nn.Sequential(Bottleneck(64, norm, relu), Bottleneck(64, norm, relu))
        self.bottleneck5_0 = UpsamplingBottleneck(64, 16, norm)
        self.stage5 = Bottleneck(16, norm, relu)
        # The paper's fullconv replaces the 1x1 classifier that every head of mmsegmentation has.
        self.conv_seg = nn.ConvTranspose2d(16, self.out_channels, 2, stride=2)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the logits.

        Args:
            inputs: outputs of `ENetEncoder` for an image of (H, W).

        Returns:
            (N, num_classes, H, W), with one pixel more if H or W is odd.
        """
        initial, stage1, x, indices1_0, indices2_0 = inputs
        x = self.bottleneck4_0(x, indices2_0, size=stage1.shape[-2:])
        x = self.stage4(x)
        x = self.bottleneck5_0(x, indices1_0, size=initial.shape[-2:])
        x = self.stage5(x)
        return self.cls_seg(x)
