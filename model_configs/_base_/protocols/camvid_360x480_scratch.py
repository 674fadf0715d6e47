"""CamVid at its full 360x480, every weight trained from scratch: the leaderboard that one GPU regenerates."""

_base_ = ["../datasets/camvid.py", "../normalisation.py", "../schedules/adamw_poly.py", "../runtime.py"]

protocol = dict(
    size=(360, 480),
    inference=dict(mode="whole"),
    pretraining=None,
    keep_weights=True,
    threads=None,  # of a run on a CPU: all cores
)
train_dataloader = dict(
    dataset=dict(
        batch_size=8,
        augmentation=dict(crop_size=(360, 480), scale=(0.5, 2.0), cat_max_ratio=0.75, flip=0.5, photometric=True),
    )
)
train_cfg = dict(type="StatelessTrainLoop", max_iters=6000, val_interval=600)
