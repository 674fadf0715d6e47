"""LiteSeg on Darknet-19, output stride 16 (Emara et al., arXiv 1912.06683)."""

_base_ = "./liteseg_mobilenetv2.py"

model = dict(
    backbone=dict(_delete_=True, type="Darknet19", norm_cfg=dict(type="SyncBN", requires_grad=True)),
    decode_head=dict(in_channels=(128, 1024), reduced_channels=32),
)
