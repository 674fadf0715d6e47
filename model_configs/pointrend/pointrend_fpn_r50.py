"""PointRend: Semantic FPN on a ResNet-50, refined at uncertain points (Kirillov et al., arXiv 1912.08193)."""

_base_ = "mmseg::_base_/models/pointrend_r50.py"
