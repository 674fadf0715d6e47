"""PSPNet: pyramid pooling on a dilated ResNet-101, output stride 8 (Zhao et al., arXiv 1612.01105)."""

_base_ = "./pspnet_r50-d8.py"

model = dict(pretrained="open-mmlab://resnet101_v1c", backbone=dict(depth=101))
