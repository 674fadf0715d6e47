"""U-Net of mmsegmentation: padded convolutions, batch norm, bilinear upsampling (cf. arXiv 1505.04597)."""

_base_ = "mmseg::_base_/models/fcn_unet_s5-d16.py"

model = dict(
    backbone=dict(type="PaddedUNet"),
    decode_head=dict(num_classes=19),
    auxiliary_head=dict(num_classes=19),
    test_cfg=dict(_delete_=True, mode="whole"),
)
