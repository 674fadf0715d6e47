"""FCN-32s: VGG16 made convolutional, its scores upsampled by 32 (Long et al., arXiv 1411.4038)."""

model = dict(
    type="EncoderDecoder",
    backbone=dict(type="FCNVGG16", init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16")),
    decode_head=dict(
        type="FCNSkipHead",
        stride=32,
        num_classes=19,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
