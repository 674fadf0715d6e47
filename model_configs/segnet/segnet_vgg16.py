"""SegNet: VGG16 and its mirror image, max-unpooling by indices (Badrinarayanan et al., arXiv 1511.00561, Figure 2)."""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    backbone=dict(
        type="SegNetEncoder",
        norm_cfg=norm_cfg,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16"),
    ),
    decode_head=dict(
        type="SegNetDecoder",
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
