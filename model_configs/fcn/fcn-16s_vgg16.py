"""FCN-16s: FCN-32s with the scores of pool4 added, then upsampled by 16 (Long et al., arXiv 1411.4038)."""

_base_ = "./fcn-32s_vgg16.py"

model = dict(decode_head=dict(stride=16))
