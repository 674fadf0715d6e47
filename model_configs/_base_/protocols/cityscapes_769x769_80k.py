"""Cityscapes, crops of 769x769, 80k iterations of 8 images: mmsegmentation's schedule of that name."""

_base_ = ["../datasets/cityscapes_769x769.py", "../normalisation.py", "../schedules/sgd_poly.py", "../runtime.py"]

protocol = dict(
    size=(769, 769),
    inference=dict(mode="slide", crop_size=(769, 769), stride=(513, 513)),
    pretraining="imagenet",
    keep_weights=True,
    threads=None,  # for a run on a CPU: all cores
    crop_dependent=dict(align_corners=True),  # for crops of 8 n + 1 pixels
)
train_dataloader = dict(dataset=dict(batch_size=8))
train_cfg = dict(type="StatelessTrainLoop", max_iters=80000, val_interval=8000)
