"""DASPP and decoder of LiteSeg (Emara et al., arXiv 1912.06683)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.daspp import DASPP, separable_conv
from benchmark.models.layers.memory_format import concatenate


@MODELS.register_module()
class LiteSegHead(BaseDecodeHead):
    """DASPP on the last features, upsampled, concatenated with early ones, two separable convolutions, a classifier.

    The early features are the paper's long residual connection. Outside of DASPP's branches weights start from
    PyTorch's defaults, as in the authors' code, github.com/tahaemara/LiteSeg, `models/liteseg_*.py`: the other
    initialisation in that code is never called.

    Args:
        in_channels: channels of the early and of the last features.
        num_classes: number of classes.
        norm_cfg: mmsegmentation's config of the normalisation layers.
        channels: channels of DASPP and of the decoder.
        reduced_channels: channels that the early features are reduced to; by default they are not reduced.
        rates: dilation rates of DASPP.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        norm_cfg: Mapping[str, Any],
        channels: int = 96,
        reduced_channels: int | None = None,
        rates: Sequence[int] = (1, 3, 6, 9),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            in_index=(0, 1),
            input_transform="multiple_select",
            channels=channels,
            num_classes=num_classes,
            dropout_ratio=0,
            norm_cfg=norm_cfg,
            init_cfg=None,
            **kwargs,
        )

        def norm(channels: int) -> nn.Module:
            return build_norm_layer(norm_cfg, channels)[1]

        early, last = in_channels
        self.daspp = DASPP(last, channels, norm, rates)
        self.reduction: nn.Module = nn.Identity()
        if reduced_channels is not None:
            self.reduction = nn.Sequential(
                separable_conv(early, reduced_channels, 1), norm(reduced_channels), nn.ReLU()
            )
            early = reduced_channels
        self.decoder = nn.Sequential(
            separable_conv(channels + early, channels, 3),
            norm(channels),
            nn.ReLU(),
            separable_conv(channels, channels, 3),
            norm(channels),
            nn.ReLU(),
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the logits.

        Args:
            inputs: the early features (N, in_channels[0], h, w) and the last ones, of any size.

        Returns:
            (N, num_classes, h, w); mmsegmentation upsamples them bilinearly to the image, as in the paper.
        """
        early, last = self._transform_inputs(inputs)
        x = self.daspp(last)
        x = F.interpolate(x, size=early.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        return self.cls_seg(self.decoder(concatenate((x, self.reduction(early)))))
