"""EfficientDet-D0 for segmentation: EfficientNet-B0, BiFPN over P2 to P7, P2 classified (after arXiv 1911.09070).

The paper has a D4 for segmentation only. This is its analogue: the backbone, the 64 channels and the 3 layers of D0 in
Table 1, and a head of 3 layers, twice as wide as the BiFPN, as in section 5.2.
"""

_base_ = "./efficientdet-seg_d4.py"

model = dict(
    backbone=dict(variant="b0", init_cfg=dict(checkpoint="torchvision://efficientnet_b0")),
    neck=dict(in_channels=[24, 40, 112, 320], channels=64),
    decode_head=dict(in_channels=64, channels=128),
)
