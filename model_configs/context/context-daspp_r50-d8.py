"""Context modules compared: LiteSeg's deeper ASPP of separable convolutions (DASPP, Emara et al., arXiv 1912.06683)."""

_base_ = "../_base_/models/context_r50-d8.py"

model = dict(decode_head=dict(type="DASPPContextHead", rates=(1, 3, 6, 9)))
