"""The encoder of ENet: Table 1 of Paszke et al., arXiv 1606.02147, from `initial` to stage 3."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.enet import Bottleneck, DownsamplingBottleneck, InitialBlock, batch_norm


@MODELS.register_module()
class ENetEncoder(BaseModule):
    """Three halvings in 22 bottlenecks.

    Weights start from PyTorch's defaults, which for convolutions equal Torch's, used by the authors.

    Args:
        norm_cfg: mmsegmentation's config of the normalisation layers.
    """

    def __init__(self, norm_cfg: Mapping[str, Any], init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        norm = batch_norm(norm_cfg)
        downsampling = partial(DownsamplingBottleneck, norm=norm)
        bottleneck = partial(Bottleneck, norm=norm, dropout=0.1)

        def section2() -> nn.Sequential:
            return nn.Sequential(
                bottleneck(128),
                bottleneck(128, dilation=2),
                bottleneck(128, asymmetric=5),
                bottleneck(128, dilation=4),
                bottleneck(128),
                bottleneck(128, dilation=8),
                bottleneck(128, asymmetric=5),
                bottleneck(128, dilation=16),
            )

        self.initial = InitialBlock(3, 16, norm)
        self.bottleneck1_0 = downsampling(16, 64, dropout=0.01)
        self.stage1 = nn.Sequential(*(bottleneck(64, dropout=0.01) for _ in range(4)))
        self.bottleneck2_0 = downsampling(64, 128, dropout=0.1)
        self.stage2 = section2()
        self.stage3 = section2()  # section 2 again, without bottleneck2.0

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Compute the maps that the decoder needs.

        Args:
            image: (N, 3, H, W).

        Returns:
            The outputs of `initial` (N, 16, H/2, W/2), of stage 1 (N, 64, H/4, W/4) and of stage 3 (N, 128, H/8, W/8);
            then the indices of the maxima in bottleneck1.0 (N, 16, H/4, W/4) and in bottleneck2.0 (N, 64, H/8, W/8).
            A size that does not divide is rounded up at each halving.
        """
        initial = self.initial(image)
        x, indices1_0 = self.bottleneck1_0(initial)
        stage1 = self.stage1(x)
        x, indices2_0 = self.bottleneck2_0(stage1)
        stage3 = self.stage3(self.stage2(x))
        return initial, stage1, stage3, indices1_0, indices2_0
