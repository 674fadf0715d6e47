"""Context modules compared: none, but the scores refined at uncertain points (PointRend, arXiv 1912.08193)."""

_base_ = ["./context-none_r50-d8.py", "../_base_/models/point_head.py"]

model = dict(
    type="PointRend",
    decode_head=[_base_.model.decode_head, _base_.point_head],
    train_cfg=_base_.points_learned,
    test_cfg=dict(_base_.points_refined, subdivision_steps=3),
)
