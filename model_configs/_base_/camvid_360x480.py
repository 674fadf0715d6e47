"""What the protocols on CamVid at its full 360x480 share: whole images, not augmented, and no pre-training."""

_base_ = ["./datasets/camvid.py", "./normalisation.py", "./runtime.py"]

protocol = dict(
    size=(360, 480),
    inference=dict(mode="whole"),
    pretraining=None,
    keep_weights=True,
    threads=None,  # of a run on a CPU: all cores
)
train_dataloader = dict(
    dataset=dict(
        augmentation=dict(crop_size=(360, 480), scale=(1.0, 1.0), cat_max_ratio=1.0, flip=0.0, photometric=False),
    )
)
train_cfg = dict(type="StatelessTrainLoop")
