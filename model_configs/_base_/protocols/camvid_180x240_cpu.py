"""CamVid at half its size, every weight trained from scratch: a leaderboard for a CPU.

A light network (ENet, ESPNet, LiteSeg) takes about ten minutes on one core, and two cores run two at a time. It shows
the progress of networks in 800 steps, not their final accuracy: light ones lead here.

The learning rate, the same for all, was chosen on val: docs/schedule.md.
"""

_base_ = ["../datasets/camvid_180x240.py", "../normalisation.py", "../schedules/adamw_poly.py", "../runtime.py"]

protocol = dict(
    size=(180, 240),
    inference=dict(mode="whole"),
    pretraining=None,
    keep_weights=True,
    threads=1,  # for a run on a CPU: two parallel runs are a third faster than one on both cores
)
train_dataloader = dict(
    dataset=dict(
        batch_size=8,
        augmentation=dict(crop_size=(120, 160), scale=(0.75, 1.5), cat_max_ratio=0.75, flip=0.5, photometric=True),
    )
)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
train_cfg = dict(type="StatelessTrainLoop", max_iters=800, val_interval=200)
