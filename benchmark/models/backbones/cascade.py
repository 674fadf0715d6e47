"""The cascade of DeepLabv3: Figure 3b of Chen et al., arXiv 1706.05587."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import Tensor, nn

RATES = (2, 4, 8, 16)
"""Rates of block4 to block7 at output stride 16: each doubles that of the block before it."""


@MODELS.register_module()
class CascadedResNet(ResNet):
    """ResNet at output stride 16 whose last block, block4 in the paper, is followed by three copies of it.

    block4 is `layer4` here, so that ImageNet weights load; block5 to block7 have none. A copy needs no projection,
    since its input has the same number of channels as its output.

    Args:
        depth: depth of the ResNet, 50 or more.
        norm_cfg: mmsegmentation's config of the normalisation layers.
        multi_grid: unit rates of the three units in each block, multiplied by the block's rate (section 3.2.1).
        **kwargs: `pretrained` or `init_cfg`, see mmsegmentation's ResNet.
    """

    def __init__(self, depth: int, norm_cfg: Mapping[str, Any], multi_grid: Sequence[int], **kwargs: Any) -> None:
        block4, *copies = ([rate * unit for unit in multi_grid] for rate in RATES)
        super().__init__(depth, strides=(1, 2, 2, 1), out_indices=(3,), multi_grid=block4, norm_cfg=norm_cfg, **kwargs)
        self.copies = nn.Sequential(
            *(
                self.make_res_layer(
                    block=self.block,
                    inplanes=self.feat_dim,
                    planes=self.feat_dim // self.block.expansion,
                    num_blocks=len(rates),
                    multi_grid=rates,
                    norm_cfg=norm_cfg,
                    init_cfg=self.layer4[0].init_cfg,
                )
                for rates in copies
            )
        )

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Map (N, 3, H, W) to the output of block7, (N, 2048, H/16, W/16), rounded up."""
        (block4,) = super().forward(image)
        return (self.copies(block4),)
