"""The decoders of SegNet and SegNet-Basic (Badrinarayanan et al., arXiv 1511.00561, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.segnet import INITIAL_WEIGHTS, Pooling, convolutions
from benchmark.models.layers.unpool import max_unpool


class _Decoder(BaseDecodeHead):
    """A decoder with one stage for each pooling of the encoder; each begins with unpooling by its indices."""

    stages: nn.ModuleList

    def __init__(self, in_channels: int, num_classes: int, norm_cfg: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=64,
            num_classes=num_classes,
            dropout_ratio=0,
            norm_cfg=norm_cfg,
            init_cfg=INITIAL_WEIGHTS,
            **kwargs,
        )

    def forward(self, inputs: tuple[Tensor, list[Pooling]]) -> Tensor:
        """Compute the logits.

        Args:
            inputs: outputs of the encoder for an image of (H, W).

        Returns:
            (N, num_classes, H, W).
        """
        x, poolings = inputs
        for stage, (indices, size) in zip(self.stages, reversed(poolings), strict=True):
            x = stage(max_unpool(x, indices, size))
        return self.cls_seg(x)


@MODELS.register_module()
class SegNetDecoder(_Decoder):
    """13 3x3 convolutions that mirror VGG16's, with batch normalisation and ReLU after each but the last.

    The last one, 64 -> classes, is the classifier (`conv1_1_D` in the authors' `Models/segnet_train.prototxt`).

    Args:
        num_classes: number of classes.
        norm_cfg: mmsegmentation's config of the normalisation layers.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(self, num_classes: int, norm_cfg: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(512, num_classes, norm_cfg, **kwargs)
        stages = ((512, 512, 512, 512), (512, 512, 512, 256), (256, 256, 256, 128), (128, 128, 64), (64, 64))
        self.stages = nn.ModuleList(nn.Sequential(*convolutions(widths, 3, norm_cfg)) for widths in stages)
        self.conv_seg = nn.Conv2d(64, self.out_channels, 3, padding=1)


@MODELS.register_module()
class SegNetBasicDecoder(_Decoder):
    """Four 7x7 convolutions of 64 channels with batch normalisation, without biases or ReLU; a 1x1 classifier.

    Args:
        num_classes: number of classes.
        norm_cfg: mmsegmentation's config of the normalisation layers.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(self, num_classes: int, norm_cfg: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(64, num_classes, norm_cfg, **kwargs)
        self.stages = nn.ModuleList(
            nn.Sequential(*convolutions((64, 64), 7, norm_cfg, bias=False, relu=False)) for _ in range(4)
        )
