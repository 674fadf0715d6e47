"""GCN: the paper's own, global convolutions and boundary refinement on a ResNet-152 (Peng et al., arXiv 1703.02719)."""

_base_ = "./gcn_r50.py"

model = dict(pretrained="torchvision://resnet152", backbone=dict(depth=152))
