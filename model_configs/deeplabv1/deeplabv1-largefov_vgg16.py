"""DeepLab v1 LargeFOV: VGG16 at output stride 8, fc6 3x3 with dilation 12 (Chen et al., arXiv 1412.7062, Table 2)."""

model = dict(
    type="EncoderDecoder",
    backbone=dict(
        type="DeepLabVGG16",
        rates=(12,),
        average_pool=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16"),
    ),
    decode_head=dict(
        type="FC8Head",
        branches=1,
        num_classes=19,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
