"""PointRend: Semantic FPN on a ResNet-101, refined by the paper's point head (Kirillov et al., arXiv 1912.08193).

As in the authors' code, github.com/facebookresearch/detectron2, projects/PointRend, the coarse scores enter the first
layer of the point head alone, and 8192 points are refined in each of the two steps; the paper's text says 8096,
mmsegmentation has 8196.
"""

_base_ = "../_base_/models/point_head.py"

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="PointRend",
    pretrained="open-mmlab://resnet101_v1c",
    backbone=dict(type="ResNetV1c", depth=101, norm_cfg=norm_cfg),
    neck=dict(type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=4),
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
        _base_.point_head,
    ],
    train_cfg=_base_.points_learned,
    test_cfg=dict(_base_.points_refined, mode="whole", subdivision_steps=2),
)
