"""LiteSeg: deeper ASPP and separable convolutions on MobileNetV2, output stride 32 (Emara et al., arXiv 1912.06683)."""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    backbone=dict(
        type="TorchvisionMobileNetV2",
        norm_cfg=norm_cfg,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://mobilenet_v2"),
    ),
    decode_head=dict(
        type="LiteSegHead",
        in_channels=(24, 1280),
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=True,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
