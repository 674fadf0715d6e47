"""The encoder of ESPNet in its three forms: Figure 4a to 4c of Mehta et al., ECCV 2018, arXiv 1803.06815."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from benchmark.models.layers.espnet import ESP, Conv3, NormAct, batch_norm
from benchmark.models.layers.memory_format import concatenate


@MODELS.register_module()
class ESPNetEncoder(BaseModule):
    """Three halvings: a convolution, then twice a strided ESP module and ESP modules that keep the size.

    ESPNet-A is only that. ESPNet-B has skips: the output of the strided module is concatenated with the output of the
    last one. ESPNet-C, the encoder of ESPNet, also concatenates the image, averaged down to the size of the map. As in
    the authors' code, `train/Model.py`, every concatenation is followed by batch normalisation and PReLU; they did not
    release A and B, in which a level without concatenation ends with its last module, which includes both.

    Args:
        norm_cfg: mmsegmentation's config of the normalisation layers.
        p: number of ESP modules at level 2 in addition to the strided one (alpha_2 of the paper).
        q: number of ESP modules at level 3 in addition to the strided one (alpha_3); the authors have 3, 5 and 8.
        skips: whether levels 2 and 3 concatenate their first and last maps (ESPNet-B).
        reinforcement: whether levels 1 and 2 concatenate the image (ESPNet-C).
    """

    def __init__(
        self,
        norm_cfg: Mapping[str, Any],
        p: int = 2,
        q: int = 8,
        skips: bool = True,
        reinforcement: bool = True,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.skips, self.reinforcement = skips, reinforcement
        norm = batch_norm(norm_cfg)
        image = 3 if reinforcement else 0
        times = 2 if skips else 1
        width1, width2, width3 = 16 + image, times * 64 + image, times * 128

        self.level1 = Conv3(3, 16, norm, stride=2)
        self.concat1 = NormAct(width1, norm) if reinforcement else nn.Identity()
        self.level2_strided = ESP(width1, 64, norm, stride=2)
        self.level2 = nn.Sequential(*(ESP(64, 64, norm) for _ in range(p)))
        self.concat2 = NormAct(width2, norm) if skips or reinforcement else nn.Identity()
        self.level3_strided = ESP(width2, 128, norm, stride=2)
        self.level3 = nn.Sequential(*(ESP(128, 128, norm) for _ in range(q)))
        self.concat3 = NormAct(width3, norm) if skips else nn.Identity()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Compute the maps that the classifier or the decoder needs.

        Args:
            image: (N, 3, H, W).

        Returns:
            The image; the output of the first convolution (N, 16, H/2, W/2); then the output of each level. For
            ESPNet-C these are (N, 19, H/2, W/2), (N, 131, H/4, W/4) and (N, 256, H/8, W/8); B has 3 channels less in
            the first two, A has (16, 64, 128) channels. A size that does not divide is rounded up at each halving.
        """
        half = [_halve(image)] if self.reinforcement else []
        quarter = [_halve(each) for each in half]

        conv = self.level1(image)
        level1 = self.concat1(concatenate([conv, *half]))

        first = self.level2_strided(level1)
        last = self.level2(first)
        level2 = self.concat2(concatenate([last, first, *quarter]) if self.skips else last)

        first = self.level3_strided(level2)
        last = self.level3(first)
        level3 = self.concat3(concatenate([first, last]) if self.skips else last)
        return image, conv, level1, level2, level3


def _halve(image: Tensor) -> Tensor:
    """Average 3x3 windows with stride 2; pixels beyond the border are zero."""
    return F.avg_pool2d(image, 3, stride=2, padding=1)
