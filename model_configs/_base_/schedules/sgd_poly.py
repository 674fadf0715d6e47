"""mmsegmentation's schedule: SGD with the poly learning rate of DeepLab, which ends at 1e-4."""

optim_wrapper = dict(
    type="Float32OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005),
    clip_grad=None,
)
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, begin=0, end=1, by_epoch=False)]
