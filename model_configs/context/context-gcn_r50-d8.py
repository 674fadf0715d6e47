"""Context modules compared: one global convolution of 15x15 to 512 channels (GCN, Peng et al., arXiv 1703.02719)."""

_base_ = "../_base_/models/context_r50-d8.py"

model = dict(decode_head=dict(type="GCNContextHead", k=15))
