"""PointRend: Semantic FPN on a ResNet-50, refined at uncertain points (Kirillov et al., arXiv 1912.08193).

The network of mmsegmentation's zoo, whose weights it takes: coarse scores enter every layer of the point head, and 8196
points are refined a step. Its heads start from the initial weights that they ask for, which in mmsegmentation's own
cascade are never set.
"""

_base_ = "./pointrend_fpn_r101.py"

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    pretrained="open-mmlab://resnet50_v1c",
    backbone=dict(depth=50),
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
            type="PointRendHead",
            in_channels=[256],
            in_index=[0],
            channels=256,
            num_fcs=3,
            coarse_pred_each_layer=True,
            dropout_ratio=-1,
            num_classes=19,
            align_corners=False,
            loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
        ),
    ],
    test_cfg=dict(subdivision_num_points=8196),
)
