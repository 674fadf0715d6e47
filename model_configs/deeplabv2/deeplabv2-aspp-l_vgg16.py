"""DeepLab v2 ASPP-L: four branches fc6-fc7-fc8 of rates 6 to 24 on VGG16, summed (Chen et al., arXiv 1606.00915)."""

model = dict(
    type="EncoderDecoder",
    backbone=dict(
        type="DeepLabVGG16",
        rates=(6, 12, 18, 24),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16"),
    ),
    decode_head=dict(
        type="FC8Head",
        branches=4,
        num_classes=19,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
