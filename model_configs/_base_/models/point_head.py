"""What PointRend's networks share: the point head on the features of res2, and the points that it learns and refines.

An architecture adds `point_head` to its decode heads, and sets the number of steps of subdivision.
"""

point_head = dict(
    type="PointRendHead",
    in_channels=[256],
    in_index=[0],
    channels=256,
    num_fcs=3,
    coarse_pred_each_layer=False,
    dropout_ratio=-1,
    num_classes=19,
    align_corners=False,
    loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
)
points_learned = dict(num_points=2048, oversample_ratio=3, importance_sample_ratio=0.75)
points_refined = dict(subdivision_num_points=8192, scale_factor=2)
