"""DeepLabv3: the paper's training network, multi-grid and ASPP on a ResNet-101 at output stride 16 (arXiv 1706.05587).

The rates of block4 are twice the unit rates (1, 2, 4), which mmsegmentation's `multi_grid` does not multiply. The
dropout is that of the authors' code, github.com/tensorflow/models, research/deeplab/model.py.
"""

norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    pretrained="torchvision://resnet101",
    backbone=dict(
        type="ResNet",
        depth=101,
        strides=(1, 2, 2, 1),
        multi_grid=(2, 4, 8),
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type="DeepLabv3Head",
        in_channels=2048,
        in_index=3,
        channels=256,
        dilations=(1, 6, 12, 18),
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
