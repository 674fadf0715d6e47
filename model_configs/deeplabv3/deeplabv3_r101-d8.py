"""DeepLabv3: ASPP with image pooling on a dilated ResNet-101, output stride 8 (Chen et al., arXiv 1706.05587)."""

_base_ = "./deeplabv3_r50-d8.py"

model = dict(pretrained="open-mmlab://resnet101_v1c", backbone=dict(depth=101))
