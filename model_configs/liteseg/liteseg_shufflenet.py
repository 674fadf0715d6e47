"""LiteSeg on ShuffleNet, 1x with 8 groups, output stride 32 (Emara et al., arXiv 1912.06683)."""

_base_ = "./liteseg_mobilenetv2.py"

model = dict(
    backbone=dict(_delete_=True, type="ShuffleNet", norm_cfg=dict(type="SyncBN", requires_grad=True)),
    decode_head=dict(in_channels=(384, 1536), reduced_channels=48),
)
