"""DeepLabv3: ASPP with image pooling on a dilated ResNet-50, output stride 8 (Chen et al., arXiv 1706.05587)."""

_base_ = "mmseg::_base_/models/deeplabv3_r50-d8.py"
