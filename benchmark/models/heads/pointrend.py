"""PointRend's point head with the initial weights of its authors."""

from __future__ import annotations

from typing import Any

from mmseg.models.decode_heads import PointHead
from mmseg.registry import MODELS


@MODELS.register_module()
class PointRendHead(PointHead):
    """Multilayer perceptron that reclassifies uncertain points (Kirillov et al., arXiv 1912.08193, section 3.3).

    Its predictor is initialized from a normal distribution with deviation 0.001, as in the authors' code (detectron2,
    `projects/PointRend/point_rend/point_head.py`); mmsegmentation uses 0.01.

    Args:
        **kwargs: arguments of mmsegmentation's `PointHead`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_cfg = {"type": "Normal", "std": 0.001, "override": {"name": "fc_seg"}}
