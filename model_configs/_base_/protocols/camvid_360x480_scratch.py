"""CamVid at its full 360x480, every weight trained from scratch: the leaderboard for one GPU.

1,500 steps of 16 crops are 24,000 images, 65 epochs, under bfloat16 autocast; evaluation is in float32. The learning
rate, the same for all, was fixed before any training: docs/schedule.md has the arithmetic.
"""

_base_ = ["../camvid_360x480.py", "../schedules/adamw_poly.py"]

train_dataloader = dict(
    dataset=dict(
        batch_size=16,
        augmentation=dict(scale=(0.5, 2.0), cat_max_ratio=0.75, flip=0.5, photometric=True),
    )
)
optim_wrapper = dict(type="BFloat16OptimWrapper")
train_cfg = dict(max_iters=1500, val_interval=500)
