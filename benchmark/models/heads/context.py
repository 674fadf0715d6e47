"""Context modules of other networks between a dilated ResNet and the last layers of PSPNet.

PPM and ASPP are mmsegmentation's own modules, PSA is that of PSANet's authors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule, build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.daspp import DASPP
from benchmark.models.layers.gcn import GlobalConvolution


class ContextHead(BaseDecodeHead):
    """A context module, a 3x3 convolution with batch normalisation and ReLU, dropout, and the classifier.

    A subclass sets `context`, a module from (N, in_channels, H, W) to (N, channels, H, W).

    Args:
        **kwargs: arguments of mmsegmentation's heads; `channels` applies to context module and convolution.
    """

    context: nn.Module

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bottleneck = ConvModule(
            self.channels, self.channels, 3, padding=1, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map the backbone's maps to logits (N, num_classes, H, W) of the size of the map at `in_index`."""
        return self.cls_seg(self.bottleneck(self.context(self._transform_inputs(inputs))))


@MODELS.register_module()
class GCNContextHead(ContextHead):
    """Global convolution of GCN as a context module.

    In the paper it outputs scores, one channel per class; here it outputs `channels` features. Its input is the last
    map only, at output stride 8, where 15 pixels are 120 of the image; on the paper's res-5 they are 480. Boundary
    refinement and deconvolutions, which operate on scores, are not included.

    Args:
        k: size of the kernel, odd.
        **kwargs: arguments of `ContextHead`.
    """

    def __init__(self, k: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.context = GlobalConvolution(self.in_channels, self.channels, k)


@MODELS.register_module()
class DASPPContextHead(ContextHead):
    """DASPP of LiteSeg as a context module, with `channels` instead of LiteSeg's 96 in every branch.

    Args:
        rates: dilation rate of each branch.
        **kwargs: arguments of `ContextHead`.
    """

    def __init__(self, rates: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)

        def norm(channels: int) -> nn.Module:
            return build_norm_layer(self.norm_cfg, channels)[1]

        self.context = DASPP(self.in_channels, self.channels, norm, rates)
