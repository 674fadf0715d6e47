"""FCN head on a dilated ResNet-101, output stride 8: mmsegmentation's, not the paper's (cf. arXiv 1411.4038)."""

_base_ = "./fcn_r50-d8.py"

model = dict(pretrained="open-mmlab://resnet101_v1c", backbone=dict(depth=101))
