"""DeepLabv3: block4 of a ResNet-50 and three copies of it in cascade, output stride 16 (arXiv 1706.05587, Fig. 3b)."""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    pretrained="torchvision://resnet50",
    backbone=dict(type="CascadedResNet", depth=50, norm_cfg=norm_cfg, multi_grid=(1, 2, 1)),
    decode_head=dict(
        type="FCNHead",
        in_channels=2048,
        in_index=0,
        channels=2048,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
