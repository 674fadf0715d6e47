"""Cityscapes, crops of 769x769, 40k iterations of 8 images: mmsegmentation's schedule of that name."""

_base_ = "./cityscapes_769x769_80k.py"

train_cfg = dict(max_iters=40000, val_interval=4000)
