"""Cityscapes, crops of 512x1024, 40k iterations of 8 images: mmsegmentation's schedule of that name."""

_base_ = "./cityscapes_512x1024_80k.py"

train_cfg = dict(max_iters=40000, val_interval=4000)
