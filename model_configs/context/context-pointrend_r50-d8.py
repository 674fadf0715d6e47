"""Context modules compared: none, but the scores refined at uncertain points (PointRend, arXiv 1912.08193)."""

_base_ = "./context-none_r50-d8.py"

model = dict(
    type="PointRend",
    decode_head=[
        {{_base_.model.decode_head}},
        dict(
            type="PointRendHead",
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
    train_cfg=dict(num_points=2048, oversample_ratio=3, importance_sample_ratio=0.75),
    test_cfg=dict(subdivision_steps=3, subdivision_num_points=8192, scale_factor=2),
)
