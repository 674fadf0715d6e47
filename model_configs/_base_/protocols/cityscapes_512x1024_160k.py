"""Cityscapes, crops of 512x1024, 160k iterations of 8 images: mmsegmentation's schedule of that name."""

_base_ = "./cityscapes_512x1024_80k.py"

train_cfg = dict(max_iters=160000, val_interval=16000)
