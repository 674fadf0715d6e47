"""CamVid at its full 360x480, every weight trained from scratch: the leaderboard for one GPU.

1,500 steps of 16 crops are 24,000 images, 65 epochs, under bfloat16 autocast; evaluation is in float32. The learning
rate, the same for all, was fixed before any training: docs/schedule.md has the arithmetic.
"""

_base_ = ["../datasets/camvid.py", "../normalisation.py", "../schedules/adamw_poly.py", "../runtime.py"]

protocol = dict(
    size=(360, 480),
    inference=dict(mode="whole"),
    pretraining=None,
    keep_weights=True,
    threads=None,  # for a run on a CPU: all cores
)
train_dataloader = dict(
    dataset=dict(
        batch_size=16,
        augmentation=dict(crop_size=(360, 480), scale=(0.5, 2.0), cat_max_ratio=0.75, flip=0.5, photometric=True),
    )
)
optim_wrapper = dict(type="BFloat16OptimWrapper")
train_cfg = dict(type="StatelessTrainLoop", max_iters=1500, val_interval=500)
