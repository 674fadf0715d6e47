"""VOC 2012 with SBD, crops of 512x512, 40k iterations of 16 images: mmsegmentation's schedule of that name."""

_base_ = ["../datasets/voc12aug.py", "../normalisation.py", "../schedules/sgd_poly.py", "../runtime.py"]

protocol = dict(
    size=(512, 512),
    inference=dict(mode="whole"),
    pretraining="imagenet",
    keep_weights=True,
    threads=None,  # for a run on a CPU: all cores
)
train_dataloader = dict(dataset=dict(batch_size=16))
train_cfg = dict(type="StatelessTrainLoop", max_iters=40000, val_interval=4000)
