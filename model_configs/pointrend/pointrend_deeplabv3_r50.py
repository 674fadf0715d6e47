"""PointRend: DeepLabv3 on a ResNet-50, refined with the features of res2 (Kirillov et al., arXiv 1912.08193).

Of output stride 16, with the 3x3 convolutions in the stem that the paper counts as ResNet-103; four steps of
subdivision lead to the resolution of the image.
"""

_base_ = "../_base_/models/point_head.py"

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="PointRend",
    pretrained="open-mmlab://resnet50_v1c",
    backbone=dict(
        type="ResNetV1c",
        depth=50,
        strides=(1, 2, 2, 1),
        multi_grid=(2, 4, 8),
        norm_cfg=norm_cfg,
    ),
    decode_head=[
        dict(
            type="DeepLabv3Head",
            in_channels=2048,
            in_index=3,
            channels=256,
            dilations=(1, 6, 12, 18),
            dropout_ratio=0.1,
            num_classes=19,
            norm_cfg=norm_cfg,
            align_corners=False,
            loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
        ),
        _base_.point_head,
    ],
    train_cfg=_base_.points_learned,
    test_cfg=dict(_base_.points_refined, mode="whole", subdivision_steps=4),
)
