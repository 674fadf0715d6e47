"""FCN head on a dilated ResNet-50, output stride 8: mmsegmentation's, not the paper's (cf. arXiv 1411.4038)."""

_base_ = "mmseg::_base_/models/fcn_r50-d8.py"
