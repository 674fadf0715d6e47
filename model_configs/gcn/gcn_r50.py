"""GCN: global convolutions of 15x15 and boundary refinement on a ResNet-50 (Peng et al., arXiv 1703.02719, Fig. 2)."""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    pretrained="torchvision://resnet50",
    backbone=dict(type="ResNet", depth=50, norm_cfg=norm_cfg),
    decode_head=dict(
        type="GCNHead",
        num_classes=19,
        k=15,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
