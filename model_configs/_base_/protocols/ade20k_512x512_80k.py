"""ADE20K, crops of 512x512, 80k iterations of 16 images: mmsegmentation's schedule of that name."""

_base_ = ["../datasets/ade20k.py", "../normalisation.py", "../schedules/sgd_poly.py", "../runtime.py"]

protocol = dict(
    size=(512, 512),
    inference=dict(mode="whole"),
    pretraining="imagenet",
    keep_weights=True,
    threads=None,  # for a run on a CPU: all cores
    crop_dependent=dict(mask_size=(66, 66)),  # of PSANet
)
train_dataloader = dict(dataset=dict(batch_size=16))
train_cfg = dict(type="StatelessTrainLoop", max_iters=80000, val_interval=8000)
