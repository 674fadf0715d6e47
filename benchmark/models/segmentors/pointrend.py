"""PointRend cascade whose heads are initialized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import ModuleList
from mmseg.models.segmentors import CascadeEncoderDecoder
from mmseg.registry import MODELS


@MODELS.register_module()
class PointRend(CascadeEncoderDecoder):
    """A head for coarse scores and a point head that refines them (Kirillov et al., arXiv 1912.08193).

    mmsegmentation's own cascade stores its heads in a list that mmengine does not search, so that their initial weights
    are never set; classifiers then start from PyTorch's defaults, unlike those of every other network.

    Args:
        **kwargs: arguments of mmsegmentation's `CascadeEncoderDecoder`, without the number of stages, which is two.
    """

    decode_head: ModuleList

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(num_stages=2, **kwargs)

    def _init_decode_head(self, decode_head: Sequence[dict[str, Any]]) -> None:
        super()._init_decode_head(decode_head)
        self.decode_head = ModuleList(self.decode_head)
