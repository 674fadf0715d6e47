"""PointRend: Semantic FPN on a ResNet-50, refined at uncertain points (Kirillov et al., arXiv 1912.08193).

The network of mmsegmentation's zoo, whose weights it takes: coarse scores enter every layer of the point head, and 8196
points are refined a step. Its heads start from the initial weights that they ask for, which in mmsegmentation's own
cascade are never set.
"""

_base_ = "./pointrend_fpn_r101.py"

model = dict(
    pretrained="open-mmlab://resnet50_v1c",
    backbone=dict(depth=50),
    decode_head=[_base_.model.decode_head[0], dict(_base_.point_head, coarse_pred_each_layer=True)],
    test_cfg=dict(subdivision_num_points=8196),
)
