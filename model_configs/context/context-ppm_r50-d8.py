"""Context modules compared: pyramid pooling over 1, 2, 3 and 6 bins a side (PPM, Zhao et al., arXiv 1612.01105)."""

_base_ = "../_base_/models/context_r50-d8.py"

model = dict(decode_head=dict(type="PSPHead", pool_scales=(1, 2, 3, 6)))
