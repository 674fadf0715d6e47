"""U-Net: unpadded convolutions, cropped skips, mirrored overlapping tiles (Ronneberger et al., arXiv 1505.04597)."""

model = dict(
    type="EncoderDecoder",
    backbone=dict(type="OverlapTileUNet"),
    decode_head=dict(
        type="FCNHead",
        in_channels=64,
        in_index=0,
        channels=64,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=19,
        align_corners=False,
        init_cfg=dict(type="Kaiming", mode="fan_in", override=dict(name="conv_seg")),
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
