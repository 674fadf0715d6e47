"""FCN-8s: FCN-16s with the scores of pool3 added, then upsampled by 8 (Long et al., arXiv 1411.4038)."""

_base_ = "./fcn-32s_vgg16.py"

model = dict(decode_head=dict(stride=8))
