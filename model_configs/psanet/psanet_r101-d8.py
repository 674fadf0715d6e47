"""PSANet: point-wise spatial attention on a dilated ResNet-101, output stride 8 (Zhao et al., ECCV 2018)."""

_base_ = "./psanet_r50-d8.py"

model = dict(pretrained="open-mmlab://resnet101_v1c", backbone=dict(depth=101))
