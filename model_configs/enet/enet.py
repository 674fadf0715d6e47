"""ENet: asymmetric, dilated and max-unpooling bottlenecks for real time (Paszke et al., arXiv 1606.02147, Table 1)."""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    backbone=dict(type="ENetEncoder", norm_cfg=norm_cfg),
    decode_head=dict(
        type="ENetDecoder",
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
first_stage = dict(  # the encoder alone, under a 1x1 classifier that the decoder replaces (section 5.1; encoder.lua)
    decode_head=dict(
        type="EncoderClassifier",
        in_channels=128,
        in_index=2,
        num_classes=19,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    handed_on={"backbone": "backbone"},
)
