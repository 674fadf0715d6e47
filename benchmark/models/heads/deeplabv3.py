"""The last layers of DeepLabv3: Figure 5 of Chen et al., arXiv 1706.05587."""

from __future__ import annotations

from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import ASPPHead
from mmseg.registry import MODELS


@MODELS.register_module()
class DeepLabv3Head(ASPPHead):
    """Atrous spatial pyramid pooling, then a 1x1 convolution and the classifier (section 3.3).

    mmsegmentation's has a 3x3 convolution instead of the 1x1.

    Args:
        **kwargs: arguments of mmsegmentation's `ASPPHead`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        concatenated = (len(self.dilations) + 1) * self.channels
        self.bottleneck = ConvModule(concatenated, self.channels, 1, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
