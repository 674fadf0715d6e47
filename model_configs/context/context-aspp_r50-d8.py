"""Context modules compared: atrous convolutions of rates 12, 24, 36 and image pooling (ASPP, arXiv 1706.05587)."""

_base_ = "../_base_/models/context_r50-d8.py"

model = dict(decode_head=dict(type="ASPPHead", dilations=(1, 12, 24, 36)))
