"""PointRend: Semantic FPN on a ResNet-101, refined by the paper's point head (Kirillov et al., arXiv 1912.08193).

As in the authors' code, github.com/facebookresearch/detectron2, projects/PointRend, the coarse scores enter the first
layer of the point head alone, and 8192 points are refined in each of the two steps; the paper's text says 8096,
mmsegmentation has 8196.
"""

_base_ = "./pointrend_fpn_r50.py"

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    pretrained="open-mmlab://resnet101_v1c",
    backbone=dict(depth=101),
    decode_head=[
        dict(
            type="FPNHead",
            in_channels=[256, 256, 256, 256],
            in_index=[0, 1, 2, 3],
            feature_strides=[4, 8, 16, 32],
            channels=128,
            dropout_ratio=-1,
            num_classes=19,
            norm_cfg=norm_cfg,
            align_corners=False,
            loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
        ),
        dict(
            type="PointHead",
            in_channels=[256],
            in_index=[0],
            channels=256,
            num_fcs=3,
            coarse_pred_each_layer=False,
            dropout_ratio=-1,
            num_classes=19,
            align_corners=False,
            loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
        ),
    ],
    test_cfg=dict(subdivision_num_points=8192),
)
