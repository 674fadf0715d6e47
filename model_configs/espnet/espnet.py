"""ESPNet: ESPNet-C with a light decoder to full resolution, p=2, q=8 (Mehta et al., arXiv 1803.06815)."""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    backbone=dict(type="ESPNetEncoder", norm_cfg=norm_cfg, p=2, q=8),
    decode_head=dict(
        type="ESPNetDecoder",
        num_classes=19,
        norm_cfg=norm_cfg,
        skip_channels=19,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
first_stage = dict(  # ESPNet-C, whose classifier becomes the decoder's first layer (train/Model.py)
    decode_head=dict(
        type="EncoderClassifier",
        in_channels=256,
        in_index=-1,
        num_classes=19,
        bias=False,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    handed_on={"backbone": "backbone", "decode_head.conv_seg": "decode_head.level3"},
)
