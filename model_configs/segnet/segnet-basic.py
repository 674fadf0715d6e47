"""SegNet-Basic: four 7x7 encoders and four decoders of 64 channels (Badrinarayanan et al., arXiv 1511.00561)."""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    backbone=dict(type="SegNetBasicEncoder", norm_cfg=norm_cfg),
    decode_head=dict(
        type="SegNetBasicDecoder",
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
