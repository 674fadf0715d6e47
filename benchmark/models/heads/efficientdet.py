"""The per-pixel classifier of EfficientDet (Tan, Pang and Le, arXiv 1911.09070, section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.efficientdet import SeparableConv


@MODELS.register_module()
class EfficientDetHead(BaseDecodeHead):
    """Separable 3x3 convolutions on P2 and a 1x1 classifier.

    The paper specifies width and repetitions of the classification head. The order of convolution, batch normalisation
    and activation is that of the class network in the authors' code, github.com/google/automl; the 1x1 convolution at a
    quarter of the resolution, upsampled bilinearly, is that of Panoptic FPN (arXiv 1901.02446), which the paper
    follows.

    Args:
        in_channels: channels of P2.
        channels: channels of the convolutions.
        num_convs: number of convolutions.
        num_classes: number of classes.
        norm_cfg: mmsegmentation's config of the normalisation layers.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_convs: int,
        num_classes: int,
        norm_cfg: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=channels,
            num_classes=num_classes,
            in_index=0,
            dropout_ratio=0,
            norm_cfg=norm_cfg,
            **kwargs,
        )
        layers: list[nn.Module] = []
        for _ in range(num_convs):
            layers += [SeparableConv(in_channels, channels, norm_cfg), nn.SiLU(inplace=True)]
            in_channels = channels
        self.convs = nn.Sequential(*layers)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the logits.

        Args:
            inputs: P2, (N, in_channels, H/4, W/4), first in a sequence.

        Returns:
            (N, num_classes, H/4, W/4).
        """
        return self.cls_seg(self.convs(self._transform_inputs(inputs)))
