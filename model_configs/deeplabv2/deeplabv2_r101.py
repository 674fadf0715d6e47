"""DeepLab v2: dilated ResNet-101 with ASPP, maximum over three scales of the image (Chen et al., arXiv 1606.00915).

The strides are in the 3x3 convolutions, as in torchvision's ResNet, whose weights it starts from; the paper of ResNet
has them in the 1x1 before. Batch normalisation is trained, so that training from scratch is possible too; the port of
the authors' models has it frozen at ImageNet's statistics.
"""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="MultiScaleEncoderDecoder",
    scales=(0.5, 0.75, 1.0),
    pretrained="torchvision://resnet101",
    backbone=dict(
        type="ResNet",
        depth=101,
        out_indices=(3,),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type="ASPPv2Head",
        in_channels=2048,
        rates=(6, 12, 18, 24),
        num_classes=19,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
