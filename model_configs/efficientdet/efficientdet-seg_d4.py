"""EfficientDet-D4 for segmentation: EfficientNet-B4, BiFPN over P2 to P7, P2 classified (Tan et al., arXiv 1911.09070).

Section 5.2: 128 channels in the BiFPN and 256 in the head, each repeated 3 times. Batch normalisation has the paper's
decay of 0.99 (0.01 in torch's sense) and epsilon of 1e-3; the backbone has the epsilon of its ImageNet weights.
"""

norm_cfg = dict(type="SyncBN", momentum=0.01, eps=1e-3, requires_grad=True)
model = dict(
    type="EncoderDecoder",
    backbone=dict(
        type="EfficientNet",
        variant="b4",
        norm_cfg=dict(type="SyncBN", momentum=0.01, eps=1e-5, requires_grad=True),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://efficientnet_b4"),
    ),
    neck=dict(type="BiFPN", in_channels=[32, 56, 160, 448], channels=128, layers=3, norm_cfg=norm_cfg),
    decode_head=dict(
        type="EfficientDetHead",
        in_channels=128,
        channels=256,
        num_convs=3,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
