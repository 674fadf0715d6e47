"""PSANet head as in the authors' code."""

from __future__ import annotations

from typing import Any

from mmseg.models.decode_heads import PSAHead
from mmseg.registry import MODELS


@MODELS.register_module()
class PSANetHead(PSAHead):
    """Point-wise spatial attention with a 1x1 projection that keeps the size of the map (Zhao et al., ECCV 2018).

    mmsegmentation's `PSAHead` pads that projection by one pixel: a map of 8x8 becomes 10x10, is resized, and the
    attended features are shifted and shrunk relative to those that they are concatenated with. The authors' own code
    (github.com/hszhao/semseg, `model/psanet.py`, `self.proj`) has no padding. Names and shapes of the weights are the
    same, but weights trained with the padding belong to mmsegmentation's head.

    Args:
        **kwargs: arguments of mmsegmentation's `PSAHead`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.proj.conv.padding = (0, 0)
