"""Classifiers and decoder of ESPNet: Figure 4 of Mehta et al., ECCV 2018, arXiv 1803.06815."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.espnet import DILATIONS, ESP, Conv3, NormAct, batch_norm
from benchmark.models.layers.memory_format import concatenate
from benchmark.models.layers.upsampling import crop


@MODELS.register_module()
class ESPNetClassifier(BaseDecodeHead):
    """The last pointwise convolution of ESPNet-A, B and C, at an eighth of the image's size; without bias.

    Args:
        in_channels: channels of the encoder's last map: 128 for A, 256 for B and C.
        num_classes: number of classes.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(self, in_channels: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=in_channels,
            num_classes=num_classes,
            in_index=-1,
            dropout_ratio=0,
            init_cfg=None,
            **kwargs,
        )
        self.conv_seg = nn.Conv2d(in_channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map the outputs of `ESPNetEncoder` for an image of (H, W) to logits (N, num_classes, H/8, W/8)."""
        return self.cls_seg(inputs[-1])


@MODELS.register_module()
class ESPNetDecoder(BaseDecodeHead):
    """The light decoder of ESPNet: reduce, upsample, merge, to full resolution (Figure 4d).

    Every map in it has one channel per class. The authors published two versions that differ in the last skip:
    `train/Model.py`, of their CamVid release, uses level 1 concatenated with the image (19 channels), `test/Model.py`,
    of their Cityscapes releases, the convolution only (16 channels).

    Args:
        num_classes: number of classes, at least 5.
        norm_cfg: mmsegmentation's config of the normalisation layers.
        skip_channels: number of channels of the last skip.
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.

    Raises:
        ValueError: fewer classes than an ESP module has branches.
    """

    def __init__(
        self, num_classes: int, norm_cfg: Mapping[str, Any], skip_channels: Literal[16, 19] = 19, **kwargs: Any
    ) -> None:
        super().__init__(
            in_channels=256,
            channels=num_classes,
            num_classes=num_classes,
            in_index=-1,
            dropout_ratio=0,
            norm_cfg=norm_cfg,
            init_cfg=None,
            **kwargs,
        )
        if num_classes < len(DILATIONS):
            raise ValueError(
                f"its decoder has one channel a class, and its ESP module at least {len(DILATIONS)} output channels, "
                f"not {num_classes}; espnet-a, espnet-b and espnet-c take fewer classes"
            )
        if skip_channels not in (16, 19):
            raise ValueError(f"skip_channels must be 16 or 19, not {skip_channels}")
        self.skip_channels = skip_channels
        norm = batch_norm(norm_cfg)
        self.level3 = nn.Conv2d(256, num_classes, 1, bias=False)
        self.norm3 = norm(num_classes)
        self.deconv3 = _deconv(num_classes)
        self.level2 = nn.Conv2d(131, num_classes, 1, bias=False)
        self.concat2 = NormAct(2 * num_classes, norm)
        self.esp2 = ESP(2 * num_classes, num_classes, norm)
        self.deconv2 = _deconv(num_classes)
        self.norm_act2 = NormAct(num_classes, norm)
        self.conv1 = Conv3(skip_channels + num_classes, num_classes, norm)
        self.conv_seg = _deconv(num_classes)  # replaces the classifier of mmsegmentation's heads

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the logits.

        Args:
            inputs: outputs of `ESPNetEncoder` for an image of (H, W).

        Returns:
            (N, num_classes, H, W).
        """
        image, conv, level1, level2, level3 = inputs
        x = crop(self.deconv3(self.norm3(self.level3(level3))), level2.shape[-2:])
        x = self.esp2(self.concat2(concatenate([self.level2(level2), x])))
        x = self.norm_act2(crop(self.deconv2(x), level1.shape[-2:]))
        x = self.conv1(concatenate([x, conv if self.skip_channels == 16 else level1]))
        return crop(self.cls_seg(x), image.shape[-2:])


def _deconv(channels: int) -> nn.ConvTranspose2d:
    """Build DeConv of Figure 4, which doubles the size without overlap."""
    return nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)
