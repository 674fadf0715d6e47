"""The decoder of GCN: Figure 2A of Peng et al., arXiv 1703.02719."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from benchmark.models.layers.gcn import BoundaryRefinement, Deconvolution, GlobalConvolution
from benchmark.models.layers.upsampling import crop


@MODELS.register_module()
class GCNHead(BaseDecodeHead):
    """Score maps by global convolution at four resolutions, summed from the coarsest to that of the image.

    Boundary refinement follows each global convolution, each sum, and each of the two last deconvolutions, nine times
    in total. The paper does not state the initial weights: with a standard deviation of 0.01 the refinements are close
    to the identity and the scores close to zero.

    Args:
        num_classes: number of classes.
        in_channels: channels of res-2 to res-5.
        k: size of the global convolutions, 15 in the paper: the map of res-5 is 16x16 for its input of 512x512.
        boundary_refinement: whether boundary refinement is used (Table 5 has both).
        **kwargs: further arguments of mmsegmentation's heads: loss, ignore_index, align_corners.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        k: int = 15,
        boundary_refinement: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            in_index=tuple(range(len(in_channels))),
            input_transform="multiple_select",
            channels=num_classes,
            num_classes=num_classes,
            dropout_ratio=0,
            init_cfg={"type": "Normal", "layer": "Conv2d", "std": 0.01},
            **kwargs,
        )
        del self.conv_seg  # the classifier of mmsegmentation's heads; here all maps are scores
        classes = self.out_channels
        refinement = partial(BoundaryRefinement, classes) if boundary_refinement else nn.Identity
        self.gcn = nn.ModuleList(
            nn.Sequential(GlobalConvolution(channels, classes, k), refinement()) for channels in in_channels
        )
        self.deconvolution = nn.ModuleList(Deconvolution(classes) for _ in range(len(in_channels) + 1))
        self.refinement = nn.ModuleList(refinement() for _ in self.deconvolution)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the logits.

        Args:
            inputs: res-2 to res-5 of an image of (H, W): (N, in_channels[i], H/2^(i+2), W/2^(i+2)), rounded up.

        Returns:
            (N, num_classes, 4 ceil(H/4), 4 ceil(W/4)).
        """
        *finer, score = (gcn(x) for gcn, x in zip(self.gcn, inputs, strict=True))
        for deconvolution, refinement in zip(self.deconvolution, self.refinement, strict=True):
            score = deconvolution(score)
            if finer:
                lateral = finer.pop()
                score = lateral + crop(score, lateral.shape[-2:])
            score = refinement(score)
        return score

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Compute mmsegmentation's losses of scores cropped to the labels."""
        losses: dict[str, Tensor] = super().loss_by_feat(
            crop(seg_logits, batch_data_samples[0].gt_sem_seg.shape), batch_data_samples
        )
        return losses

    def predict_by_feat(self, seg_logits: Tensor, batch_img_metas: Sequence[Mapping[str, Any]]) -> Tensor:
        """Crop scores to the image; mmsegmentation's heads resize them."""
        image = batch_img_metas[0]
        window = isinstance(image["img_shape"], torch.Size)  # set by mmsegmentation in sliding-window inference
        return crop(seg_logits, image["img_shape"] if window else image.get("pad_shape", image["img_shape"]))
