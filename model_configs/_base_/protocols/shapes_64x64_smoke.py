"""Drawn scenes at 64x64, sixteen iterations: every architecture in minutes on a laptop's CPU.

It shows that an architecture trains, not how good it is: sixteen iterations from scratch say little about its
final accuracy.
"""

_base_ = ["../datasets/shapes.py", "../normalisation.py", "../schedules/adamw_poly.py", "../runtime.py"]

protocol = dict(
    size=(64, 64),
    inference=dict(mode="whole"),
    pretraining=None,
    keep_weights=False,
    threads=1,  # for a run on a CPU: maps are small, so runs are parallel instead
)
train_dataloader = dict(
    dataset=dict(
        batch_size=4,
        augmentation=dict(crop_size=(64, 64), scale=(0.75, 1.5), cat_max_ratio=1.0, flip=0.5, photometric=False),
    )
)
optim_wrapper = dict(optimizer=dict(lr=3e-3), clip_grad=dict(max_norm=5.0))
train_cfg = dict(type="StatelessTrainLoop", max_iters=16, val_interval=16)
default_hooks = dict(logger=dict(interval=4))
custom_hooks = [dict(type="LossHook", interval=4), dict(type="WeightsHook"), dict(type="ResumeHook")]
