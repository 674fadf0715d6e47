"""Cityscapes, crops of 512x1024, 80k iterations of 8 images: mmsegmentation's schedule of that name."""

_base_ = ["../datasets/cityscapes.py", "../normalisation.py", "../schedules/sgd_poly.py", "../runtime.py"]

protocol = dict(
    size=(1024, 2048),
    inference=dict(mode="whole"),
    pretraining="imagenet",
    keep_weights=True,
    threads=None,  # for a run on a CPU: all cores
)
train_dataloader = dict(dataset=dict(batch_size=8))
train_cfg = dict(type="StatelessTrainLoop", max_iters=80000, val_interval=8000)
