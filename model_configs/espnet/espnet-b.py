"""ESPNet-B: ESPNet-A whose levels concatenate their first and last maps (Mehta et al., arXiv 1803.06815)."""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    backbone=dict(type="ESPNetEncoder", norm_cfg=norm_cfg, p=2, q=8, reinforcement=False),
    decode_head=dict(
        type="ESPNetClassifier",
        in_channels=256,
        num_classes=19,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
