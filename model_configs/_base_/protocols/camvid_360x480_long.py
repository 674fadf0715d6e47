"""CamVid at its full 360x480 as in camvid_360x480_scratch, four times as long: 6,000 steps of 16, 262 epochs."""

_base_ = "./camvid_360x480_scratch.py"

train_cfg = dict(max_iters=6000, val_interval=2000)
